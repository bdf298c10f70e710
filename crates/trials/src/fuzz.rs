//! The live oracle's command: worlds in parallel until enough is committed, the time is up or something is wrong.

use crate::live::judge::Stats;
use crate::live::run::{self, Failure};
use crate::shrink;
use crate::world::script;
use crate::world::{Part, World};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Stop after this many commits [default: 100000, unless --seconds is given]
    #[arg(long)]
    commits: Option<u64>,
    /// Same seed, same worlds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after this time.
    #[arg(long)]
    seconds: Option<u64>,
    /// Commits in one world.
    #[arg(long, default_value_t = 1000)]
    world_commits: usize,
    /// Run only this world.
    #[arg(long)]
    world: Option<u64>,
    /// Worlds at a time; by default one a core.
    #[arg(long)]
    jobs: Option<usize>,
    /// Leave these out.
    #[arg(long, value_enum, value_delimiter = ',')]
    without: Vec<Part>,
    /// Report a failure as it is, without making it smaller.
    #[arg(long)]
    no_shrink: bool,
}

/// From a seed, a number and how many commits it shall have.
pub type MakeWorld = fn(u64, u64, usize) -> World;

/// How long a frame may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a failure may be made smaller.
const SHRINKING: Duration = Duration::from_mins(2);

pub fn fuzz(arguments: &Arguments, make: MakeWorld) -> anyhow::Result<ExitCode> {
    let home = ram_disk();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = if arguments.world.is_some() { 1 } else { arguments.jobs.unwrap_or(cores).max(1) };
    println!("seed {}, {jobs} worlds at a time of {} commits each", arguments.seed, arguments.world_commits);
    let started = Instant::now();
    let commits_max = arguments.commits.unwrap_or(if arguments.seconds.is_some() { u64::MAX } else { 100_000 });
    let is_over = |stats: &Stats| {
        stats.commits >= commits_max || arguments.seconds.is_some_and(|seconds| started.elapsed().as_secs() >= seconds)
    };
    let next = AtomicU64::new(arguments.world.unwrap_or(0));
    let is_done = AtomicBool::new(false);
    let total = Mutex::new(Stats::default());
    let failed: Mutex<Option<(u64, World, Failure)>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let mut world = make(arguments.seed, number, arguments.world_commits);
                    arguments.without.iter().for_each(|part| part.leave_out(&mut world));
                    let mut stats = Stats::default();
                    let ran = run::run(&world, home.as_deref(), PATIENCE, &mut stats);
                    let mut total = total.lock().expect("nobody panics with it");
                    total.add(&stats);
                    if is_over(&total) || arguments.world.is_some() {
                        is_done.store(true, Ordering::Relaxed);
                    }
                    if let Err(failure) = ran {
                        is_done.store(true, Ordering::Relaxed);
                        failed.lock().expect("nobody panics with it").get_or_insert((number, world, failure));
                    }
                }
            });
        }
    });
    let total = total.into_inner().expect("nobody panics with it");
    report(&total, started.elapsed(), next.into_inner());
    let Some((number, world, failure)) = failed.into_inner().expect("nobody panics with it") else {
        return Ok(ExitCode::SUCCESS);
    };
    println!("\nFAILED: seed {}, world {number}, event {}: {}", arguments.seed, failure.event, failure.what);
    println!(
        "again: the same command with --seed {} --world {number} --world-commits {}",
        arguments.seed, arguments.world_commits
    );
    let (world, failure) = if arguments.no_shrink {
        let mut world = world;
        world.events.truncate(failure.event + 1);
        (world, failure)
    } else {
        println!("\nmaking it smaller …");
        shrink::shrink(world, failure, home.as_deref(), SHRINKING)
    };
    explain(&world, &failure);
    Ok(ExitCode::FAILURE)
}

fn explain(world: &World, failure: &Failure) {
    println!("\n{}", script::script(world));
    println!("{}", failure.what);
    if let Some(query) = failure.query {
        println!("query q{query}: {}", world.queries[query].sql());
    }
    for (name, rows) in [("expected", &failure.expected), ("got", &failure.got)] {
        println!("{name}, {} rows:", rows.len());
        rows.iter().for_each(|row| println!("    {row}"));
    }
}

fn report(stats: &Stats, time: Duration, worlds: u64) {
    let seconds = time.as_secs_f64();
    println!("\nhits per trap:\n{}", stats.hits);
    println!(
        "{} commits in {worlds} worlds, {} judgements, {} results and {} images compared, {seconds:.1} s, {:.0} commits/s",
        stats.commits,
        stats.judgements,
        stats.results,
        stats.images,
        stats.commits as f64 / seconds
    );
    if stats.broken_indexes > 0 {
        println!("{} worlds ended early: SQLite itself had left an index unlike its table", stats.broken_indexes);
    }
}

/// Not durability but truth is on trial, so a disk in memory does.
pub fn ram_disk() -> Option<PathBuf> {
    let disk = Path::new("/dev/shm");
    disk.is_dir().then(|| disk.to_path_buf())
}
