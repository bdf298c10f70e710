//! Worlds in parallel until enough is seen, the time is up or something is wrong: what the trials of policies and of members share.
//!
//! The live oracle has a loop of its own ([`crate::fuzz`]): it makes a failure smaller.

use anyhow::{Error, Result};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub struct Worlds {
    /// Same seed, same worlds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after this time.
    #[arg(long)]
    seconds: Option<u64>,
    /// Run only this world.
    #[arg(long)]
    world: Option<u64>,
}

/// What has been seen in some worlds.
pub trait Seen: Default + Send {
    /// How much, for whoever wants so much and no more.
    fn count(&self) -> u64;
    fn add(&mut self, other: &Self);
    /// For people.
    fn tell(&self, took: Duration) -> String;
}

impl Worlds {
    /// Each by its seed and number, until so much is seen (by default `usual`, unless a time is given).
    pub fn run<S: Seen>(
        &self,
        wanted: Option<u64>,
        usual: u64,
        run: impl Fn(u64, u64, &mut S) -> Result<()> + Sync,
    ) -> ExitCode {
        let started = Instant::now();
        let wanted = wanted.unwrap_or(if self.seconds.is_some() { u64::MAX } else { usual });
        let jobs = if self.world.is_some() { 1 } else { std::thread::available_parallelism().map_or(1, Into::into) };
        println!("seed {}, {jobs} worlds at a time", self.seed);
        let next = AtomicU64::new(self.world.unwrap_or(0));
        let is_done = AtomicBool::new(false);
        let total: Mutex<(S, Option<(u64, Error)>)> = Mutex::default();
        let work = || {
            while !is_done.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let mut seen = S::default();
                let ran = run(self.seed, number, &mut seen);
                let mut total = total.lock().expect("nobody panics with it");
                total.0.add(&seen);
                let is_late = self.seconds.is_some_and(|seconds| started.elapsed().as_secs() >= seconds);
                if total.0.count() >= wanted || is_late || self.world.is_some() || ran.is_err() {
                    is_done.store(true, Ordering::Relaxed);
                }
                if let Err(error) = ran {
                    total.1.get_or_insert((number, error));
                }
            }
        };
        std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
        let (seen, failed) = total.into_inner().expect("nobody panics with it");
        println!("{}", seen.tell(started.elapsed()));
        let Some((number, error)) = failed else { return ExitCode::SUCCESS };
        println!("\nFAILED: {error:#}\nagain: the same command with --seed {} --world {number}", self.seed);
        ExitCode::FAILURE
    }
}
