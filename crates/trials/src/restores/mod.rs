//! Restores on trial: what comes back is what was there at that moment, to the last write.
//!
//! A process of its own writes into a database with backups, as fast as it is told, and says of each write when it was sent and when
//! it was acknowledged; it is killed now and then and begins again. What the database holds after any number of writes can be worked
//! out (`content`), so a restored file is judged by itself: it holds the first n writes and nothing else. And n must fit the moment:
//! everything acknowledged by then is in it, nothing that was sent later.

mod content;
mod ledger;
mod writer;

use crate::random::Random;
use anyhow::{Context as _, Result, bail, ensure};
use ledger::{Ledger, now_ms};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use tidebase_engine::backups::{Archive, Moment, folder_of, restore, verify};
use writer::Writer;

pub use writer::{WriterArguments, write};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How long is written.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Moments that are restored, of those within that time.
    #[arg(long, default_value_t = 50)]
    restores: usize,
    /// Moments are whole multiples of so many seconds: 60 for minutes.
    #[arg(long, default_value_t = 1)]
    step: u64,
    /// How often the writing process is killed.
    #[arg(long, default_value_t = 3)]
    kills: u64,
    /// Writes in a second, at most.
    #[arg(long, default_value_t = 300)]
    rate: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The stock litestream, which is to restore the same at the end.
    #[arg(long, env = "TIDEBASE_LITESTREAM")]
    litestream: Option<PathBuf>,
}

pub fn restores(arguments: &Arguments) -> Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trial.db");
    println!("restores: seed {}, {} s of writes, {} kills", arguments.seed, arguments.seconds, arguments.kills);
    let mut random = Random::new(arguments.seed, 0);
    let began = now_ms();
    let ledger = written(arguments, &path, &mut random)?;
    let ended = now_ms();
    println!("{} writes, {} of them acknowledged", ledger.last(), ledger.acknowledged());
    let checked = verify(&Archive::read(&folder_of(&path))?, |_| Ok(()), |_, _, _| {})?;
    ensure!(checked.damaged.is_empty(), "damaged: {:?}", checked.damaged);
    let moments = moments(arguments, began, ended, &mut random)?;
    for (index, &moment) in moments.iter().enumerate() {
        let to = folder.path().join("restored.db");
        let judged = restore(&folder_of(&path), Moment::Time(moment), &to)
            .map_err(anyhow::Error::from)
            .and_then(|_| content::judge(&to))
            .and_then(|writes| ledger.judge(writes, moment).map(|()| writes));
        match judged {
            Ok(writes) => println!("{:>3}. {moment}: {writes} writes", index + 1),
            Err(error) => {
                println!("FAILED at {moment}: {error:#}");
                println!("kept in {}", folder.keep().display());
                return Ok(ExitCode::FAILURE);
            }
        }
        std::fs::remove_file(&to)?;
    }
    if let Some(program) = &arguments.litestream {
        compare_with(program, folder.path(), &path)?;
    }
    println!("{} moments restored, each as it was", moments.len());
    Ok(ExitCode::SUCCESS)
}

/// Writes for a while, with kills between, and ends in good order.
fn written(arguments: &Arguments, path: &Path, random: &mut Random) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    let mut left = Duration::from_secs(arguments.seconds);
    for kill in 0..=arguments.kills {
        let is_last = kill == arguments.kills;
        let lives = left / u32::try_from(arguments.kills - kill + 1)?;
        let share = random.between(50, 150);
        let time = if is_last { left } else { lives * u32::try_from(share)? / 100 };
        let began = Instant::now();
        let writer = Writer::start(path, arguments.rate, arguments.seed + kill)?;
        writer.listen(time, &mut ledger)?;
        left = left.saturating_sub(began.elapsed());
        if is_last { writer.stop(&mut ledger)? } else { writer.kill(&mut ledger)? }
    }
    Ok(ledger)
}

/// Whole moments between the first and the last write, each once as long as there are enough.
fn moments(arguments: &Arguments, began: i64, ended: i64, random: &mut Random) -> Result<Vec<i64>> {
    let step = i64::try_from(arguments.step * 1000)?;
    let mut all: Vec<i64> = (began / step + 1..=ended / step).map(|number| number * step).collect();
    if all.is_empty() {
        bail!("there is no whole moment of {} s between the first write and the last", arguments.step);
    }
    while all.len() > arguments.restores {
        all.remove(random.below(all.len()));
    }
    Ok(all)
}

/// Litestream restores the latest state to the same bytes.
fn compare_with(program: &Path, folder: &Path, path: &Path) -> Result<()> {
    let (ours, stock) = (folder.join("ours.db"), folder.join("stock.db"));
    restore(&folder_of(path), Moment::Latest, &ours)?;
    let replica = format!("file://{}", folder_of(path).display());
    let output = Command::new(program).arg("restore").arg("-o").arg(&stock).arg(&replica).output();
    let output = output.with_context(|| format!("{} cannot be run", program.display()))?;
    ensure!(output.status.success(), "litestream: {}", String::from_utf8_lossy(&output.stderr));
    ensure!(std::fs::read(&ours)? == std::fs::read(&stock)?, "litestream restores other bytes");
    println!("litestream restores the same bytes");
    Ok(())
}
