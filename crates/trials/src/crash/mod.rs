//! Crashes: `kill -9` of the real server, and simulated power loss below the engine, against a ledger of what was
//! acknowledged and what was told.
//!
//! ```text
//! tidebase-trials crash --rounds 200 --seed 7
//! ```
//!
//! Rounds take turns. A *kill* round lets a database file live through several servers, each ended at a bad moment
//! ([`kill`]): what the kernel was given survives that, so it tries what the server believes of itself when it comes
//! back. A *power* round runs the engine on [`crate::power_loss`] and looks at what could be left on the disk
//! ([`power`]): there only what was synced survives. [`ledger`] says what must be left, [`told`] what subscribers were
//! told, [`aftermath`] what a database that came back is asked.
//!
//! The seed chooses requests, moments and fates of sectors; threads and the machine choose how they meet, so a seed
//! gives the same kind of trouble again rather than the same trouble. What was lost is therefore kept: see the message.

mod account;
mod aftermath;
mod callers;
pub mod client;
mod image;
mod inside;
mod kill;
mod ledger;
mod life;
mod listing;
mod operation;
mod power;
pub mod server;
mod socket;
mod stage;
mod state;
mod stream;
mod tally;
mod told;
mod violation;

pub use client::TOKEN;
pub use server::{Program, beside_us};

use crate::random::Random;
use anyhow::{Context as _, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tally::Tally;
use tokio::signal::unix::{SignalKind, signal};
use violation::violation;

/// Cuts in one power round.
const CUTS: usize = 60;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Rounds, in turns of `kill -9` and of power loss.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Of requests, moments and fates.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server to be killed [default: `tidebase` beside this program]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// A fault that must be found: power rounds only, on a disk that has not synced what it says it has.
    #[arg(long, hide = true)]
    plant: Option<Plant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Plant {
    SynchronousOff,
}

/// Runs the rounds and says what they did; fails with the first promise that was not kept.
pub fn crash(arguments: &Arguments) -> ExitCode {
    let mut tally = Tally::default();
    let done = rounds(arguments, &mut tally);
    println!("{tally}\nseed {}", arguments.seed);
    match done.and_then(|()| has_proved_something(arguments, &tally)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            println!("FAILED in {}", causes.join("\n  "));
            ExitCode::FAILURE
        }
    }
}

fn rounds(arguments: &Arguments, tally: &mut Tally) -> Result<()> {
    let server = match &arguments.server {
        Some(server) => server.canonicalize().with_context(|| format!("there is no server {}", server.display()))?,
        None if arguments.plant.is_some() => PathBuf::new(),
        None => server::beside_us()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for number in 0..arguments.rounds {
        let home = tempfile::Builder::new().prefix("tidebase-crash-").tempdir()?;
        let random = Random::new(arguments.seed, number as u64);
        let done = runtime.block_on(async {
            let kind = match arguments.plant {
                Some(Plant::SynchronousOff) => Kind::Power { disk_lies: true },
                None if number % 2 == 1 => Kind::Power { disk_lies: false },
                None => Kind::Kill { server: &server },
            };
            // Whoever ends us must not leave a server behind: its owner is dropped here.
            tokio::select! {
                done = round(kind, home.path(), random, tally) => done,
                signal = ended() => Err(signal),
            }
        });
        tally.rounds += 1;
        if let Err(error) = done {
            let kept = home.keep();
            let place = format!("round {number} of seed {}; its files are kept in {}", arguments.seed, kept.display());
            return Err(error.context(place));
        }
    }
    Ok(())
}

enum Kind<'a> {
    Kill { server: &'a Path },
    Power { disk_lies: bool },
}

async fn round(kind: Kind<'_>, home: &Path, mut random: Random, tally: &mut Tally) -> Result<()> {
    match kind {
        Kind::Kill { server } => kill::round(server, home, &mut random, tally).await,
        Kind::Power { disk_lies } => {
            let home = home.to_owned();
            let plan = stage::Plan { cuts: CUTS, disk_lies };
            let (seen, done) = tokio::task::spawn_blocking(move || power::round(&home, random, plan)).await?;
            tally.add(&seen);
            done
        }
    }
}

/// Waits for a signal to end.
async fn ended() -> anyhow::Error {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return anyhow!("signals cannot be received");
    };
    tokio::select! {
        _ = interrupt.recv() => anyhow!("interrupted"),
        _ = terminate.recv() => anyhow!("asked to stop"),
    }
}

fn has_proved_something(arguments: &Arguments, tally: &Tally) -> Result<()> {
    let killed =
        tally.kills + tally.kills_at_the_edge + tally.stops > 0 || arguments.plant.is_some() || arguments.rounds < 1;
    let cut = tally.files > 0 && tally.sectors_stale > 0 || arguments.rounds < 2;
    if !killed || !cut || tally.told.deltas == 0 && arguments.rounds > 0 {
        bail!("nothing was killed, nothing was lost or nobody was told anything: this run proves nothing");
    }
    Ok(())
}
