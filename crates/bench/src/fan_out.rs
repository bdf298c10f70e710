//! What subscribers do to a writer, for any server: the insert's latency beside N subscribers of one query, and the
//! time until the last of them was told.
//!
//! Two ways to write. *Paced*, an insert every 50 ms: the fan-out of one is over before the next begins, so times until
//! the last subscriber mean one insert. *Back to back*, the next when the last is answered: the writer and the fan-out
//! compete for the machine, as they do in a burst.
//!
//! The two ways and the numbers of subscribers take turns over several rounds, so that a change of the machine's mood
//! falls on all of them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::latency::Latencies;
use crate::procfs::{Meter, Spent};
use crate::report::{Load, Report, ms, ratio};
use crate::targets;
use crate::tidebase;
use crate::told::Audience;
use crate::writer::{Insert, InsertRequest, Order};

pub const SUBSCRIBERS: [usize; 3] = [0, 100, 1000];
const PACE: Duration = Duration::from_millis(50);
const WARM_UP: u64 = 10;
/// How long the last delta may take before it counts as missing.
const TOLD_PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Paced,
    BackToBack,
}

const WAYS: [Way; 2] = [Way::Paced, Way::BackToBack];

impl Way {
    fn words(self) -> &'static str {
        match self {
            Way::Paced => "20 a second",
            Way::BackToBack => "back to back",
        }
    }

    fn pace(self) -> Option<Duration> {
        (self == Way::Paced).then_some(PACE)
    }

    fn count(self) -> u64 {
        match self {
            Way::Paced => 100,
            Way::BackToBack => 3_000,
        }
    }
}

/// What a subscriber's news is about, and so how an insert is found in it.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    /// The revision the insert was answered with.
    Revision,
    /// The sequence number in the row.
    Sequence,
}

/// A server with its subscribers, ready to be written to.
pub struct Stage {
    pub server: &'static str,
    pub pid: u32,
    pub address: SocketAddr,
    pub request: InsertRequest,
    pub audience: Audience,
    pub key: Key,
    /// Of the next insert.
    pub sequence: u64,
    /// What must live as long as the stage.
    pub keep: Option<tidebase::Tidebase>,
}

#[derive(Debug, Default)]
struct Act {
    inserts: Latencies,
    last_told: Latencies,
    missing: u64,
    spent: Spent,
    /// CPU until the last delta had come, which is later than the last insert's answer.
    server_cpu: Duration,
}

/// Runs all rounds; `open` makes the stage with so many subscribers.
pub async fn run(
    rounds: u64,
    window: Duration,
    report: &mut Report,
    open: impl AsyncFn(usize) -> Result<Stage>,
) -> Result<()> {
    let mut acts: Vec<(Way, usize, Act)> =
        WAYS.into_iter().flat_map(|way| SUBSCRIBERS.map(|subscribers| (way, subscribers, Act::default()))).collect();
    let mut server = "";
    for _ in 0..rounds {
        for subscribers in SUBSCRIBERS {
            let mut stage = open(subscribers).await?;
            server = stage.server;
            for (way, _, act) in acts.iter_mut().filter(|(_, size, _)| *size == subscribers) {
                stage.play(*way, window, act).await?;
            }
            if let Some(kept) = stage.keep.take() {
                drop(stage);
                kept.stop()?;
            }
        }
    }
    for (way, subscribers, act) in &acts {
        let alone = acts.iter().find(|(other, size, _)| other == way && *size == 0).map(|(_, _, act)| act);
        tell(report, server, *way, *subscribers, act, alone.context("the baseline is always run")?);
    }
    Ok(())
}

impl Stage {
    async fn play(&mut self, way: Way, window: Duration, act: &mut Act) -> Result<()> {
        self.write(way, WARM_UP, window).await?;
        let meter = Meter::start(self.pid)?;
        let inserts = self.write(way, way.count(), window).await?;
        let spent = meter.read()?;
        act.spent += spent;
        if let Some(last) = inserts.last() {
            self.audience.knows(self.key_of(last)?, TOLD_PATIENCE).await?;
        }
        act.server_cpu += meter.read()?.server;
        for insert in &inserts {
            act.inserts.push(insert.answered - insert.sent);
            match self.audience.last_told(self.key_of(insert)?) {
                Some(last) => act.last_told.push(last.saturating_duration_since(insert.sent)),
                None if self.audience.size() > 0 => act.missing += 1,
                None => {}
            }
        }
        Ok(())
    }

    async fn write(&mut self, way: Way, count: u64, time_max: Duration) -> Result<Vec<Insert>> {
        let (address, request) = (self.address, self.request.clone());
        let order = Order { address, request, first: self.sequence, count, time_max, pace: way.pace() };
        let inserts = order.carry_out()?.await.context("the writer ended without a word")??;
        self.sequence = inserts.last().map_or(self.sequence, |last| last.sequence + 1);
        Ok(inserts)
    }

    fn key_of(&self, insert: &Insert) -> Result<u64> {
        match self.key {
            Key::Revision => insert.revision.context("an insert's answer without a revision"),
            Key::Sequence => Ok(insert.sequence),
        }
    }
}

fn tell(report: &mut Report, server: &'static str, way: Way, subscribers: usize, act: &Act, alone: &Act) {
    let words = way.words();
    let name = format!("insert, {subscribers} subscribers, {words}");
    let load = Load::new(name, server, &act.inserts, act.spent);
    let ours = server == tidebase::NAME;
    if subscribers > 0 {
        let times = ratio(ms(load.latency.p50), ms(alone.inserts.summary().p50));
        let name = format!("insert's p50 with {subscribers} subscribers, {words}, with none = 1");
        if ours && subscribers == 1000 {
            report.judged(name, times, "x", targets::FAN_OUT_RATIO);
        } else {
            report.figure(name, server, times, "x");
        }
        let last = act.last_told.summary();
        let name = format!("until the last of {subscribers} is told, {words}");
        report.figure(format!("{name}, p50"), server, ms(last.p50), "ms");
        // Judged where one insert's fan-out is over before the next begins; in a burst it holds other inserts' work too.
        if ours && subscribers == 1000 && way == Way::Paced {
            report.judged(format!("{name}, p99"), ms(last.p99), "ms", targets::LAST_TOLD);
        } else {
            report.figure(format!("{name}, p99"), server, ms(last.p99), "ms");
        }
        let deliveries = act.inserts.len() as f64 * subscribers as f64;
        let cpu = ratio(act.server_cpu.as_secs_f64() * 1e6, deliveries);
        report.figure(format!("CPU per insert and subscriber, {subscribers} subscribers, {words}"), server, cpu, "µs");
    }
    if act.missing > 0 {
        report.remarks.push(format!(
            "{server}: {} of {} inserts ({words}) were not told to all {subscribers} subscribers within {} s.",
            act.missing,
            act.inserts.len(),
            TOLD_PATIENCE.as_secs()
        ));
    }
    report.loads.push(load);
}
