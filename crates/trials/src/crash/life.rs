//! One server under load, from the moment it answers to its end.

use super::aftermath::lock;
use super::callers::{Pace, follow, visit, write};
use super::ledger::Ledger;
use super::server::Server;
use super::socket::Socket;
use super::state::WRITERS;
use super::tally::Tally;
use super::told::Told;
use super::violation;
use crate::random::Random;
use anyhow::{Result, anyhow};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// For writes to be acknowledged.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a checkpoint is waited for.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Kill,
    /// While the database file is being written, which only a checkpoint does.
    KillInCheckpoint,
    KillWhileStopping,
    /// SIGTERM: must end well.
    Stop,
}

impl Ending {
    pub fn draw(random: &mut Random) -> Self {
        [Self::Kill, Self::KillInCheckpoint, Self::KillWhileStopping, Self::Stop][random.weighted(&[45, 25, 12, 18])]
    }
}

/// What one server's life has to do with those before and after it.
pub struct Life<'a> {
    pub ledger: &'a Arc<Mutex<Ledger>>,
    pub database: &'a Path,
    pub random: &'a mut Random,
    pub tally: &'a mut Tally,
}

impl Life<'_> {
    /// Writes and listens until some writes are acknowledged, then ends the server. Gives what the subscribers were
    /// told.
    pub async fn live(
        self,
        server: &mut Server,
        subscribers: Vec<(Socket, Told)>,
        ending: Ending,
    ) -> Result<Vec<Told>> {
        let Self { ledger, database, random, tally } = self;
        let over = watch::Sender::new(false);
        let mut acks = lock(ledger).acks();
        let enough = *acks.borrow() + random.between(10, 400);
        let (mut followers, mut writers, mut visitors) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        for (socket, told) in subscribers {
            let pace = Pace { acks: acks.clone(), is_over: over.subscribe() };
            visitors.spawn(visit(server.address, told.newcomer(), Arc::clone(ledger), pace));
            followers.spawn(follow(socket, told, Arc::clone(ledger)));
        }
        for writer in 0..WRITERS {
            let random = Random::new(random.below(usize::MAX) as u64, writer as u64);
            writers.spawn(write(server.address, Arc::clone(ledger), writer, random));
        }
        let early = |ended: Result<()>| match ended {
            Ok(()) => anyhow!("a connection ended before the server did"),
            Err(error) => error,
        };
        tokio::select! {
            reached = tokio::time::timeout(PATIENCE, acks.wait_for(|acks| *acks >= enough)) => {
                reached.map_err(|_| violation!("writes were not acknowledged within {PATIENCE:?}"))??;
            }
            Some(ended) = writers.join_next() => return Err(early(ended?)),
            Some(ended) = followers.join_next() => return Err(early(ended?.map(|_| ()))),
            Some(ended) = visitors.join_next() => return Err(early(ended?.map(|_| ()))),
        }
        end(server, database, ending, random, tally).await?;
        over.send_replace(true);
        while let Some(ended) = writers.join_next().await {
            ended??;
        }
        while let Some(visits) = visitors.join_next().await {
            tally.visits += visits??;
        }
        let mut told = Vec::new();
        while let Some(ended) = followers.join_next().await {
            told.push(ended??);
        }
        Ok(told)
    }
}

async fn end(
    server: &mut Server,
    database: &Path,
    ending: Ending,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<()> {
    match ending {
        Ending::Kill => {
            tally.kills += 1;
            a_moment(random, 3000);
            server.kill()
        }
        Ending::KillInCheckpoint => {
            tally.kills += 1;
            tally.kills_in_checkpoint += usize::from(checkpoint_begins(database)?);
            a_moment(random, 1000);
            server.kill()
        }
        Ending::KillWhileStopping => {
            tally.kills_at_the_edge += 1;
            server.terminate()?;
            a_moment(random, 20_000);
            server.kill()
        }
        Ending::Stop => {
            tally.stops += 1;
            server.terminate()?;
            let status = server.ended().await?;
            if status.success() { Ok(()) } else { Err(violation!("asked to stop, the server ended with {status}")) }
        }
    }
}

/// Not to wait for anything: the moment is what is tried.
pub fn a_moment(random: &mut Random, microseconds_max: usize) {
    std::thread::sleep(Duration::from_micros(random.below(microseconds_max) as u64));
}

/// Waits until the database file itself is written to. False if that did not happen in time.
fn checkpoint_begins(database: &Path) -> Result<bool> {
    let before = std::fs::metadata(database)?.modified()?;
    let started = Instant::now();
    while started.elapsed() < CHECKPOINT_WAIT {
        if std::fs::metadata(database)?.modified()? != before {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    Ok(false)
}
