//! What was sent and what was acknowledged, and when.

use anyhow::{Result, ensure};
use std::time::{SystemTime, UNIX_EPOCH};

/// Of each write when it was sent, and when its answer came if one did; the first has the number 1. One that nothing is known of was
/// on its way when its process was killed.
#[derive(Debug, Default)]
pub struct Ledger(Vec<Option<(i64, i64)>>);

impl Ledger {
    /// A line of the writing process: number, sent, acknowledged.
    pub fn note(&mut self, line: &str) -> Result<()> {
        let mut words = line.split(' ').map(str::parse::<i64>);
        let (Some(Ok(number)), Some(Ok(sent)), Some(Ok(acknowledged)), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            // The last line of one that was killed.
            return Ok(());
        };
        let index = usize::try_from(number - 1)?;
        ensure!(index >= self.0.len(), "write {number} was acknowledged twice");
        self.0.resize(index, None);
        self.0.push(Some((sent, acknowledged)));
        Ok(())
    }

    pub fn last(&self) -> usize {
        self.0.len()
    }

    pub fn acknowledged(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// May the first `writes` be what there was at this time?
    pub fn judge(&self, writes: i64, time: i64) -> Result<()> {
        let writes = usize::try_from(writes)?;
        let by_then = |entry: &Option<(i64, i64)>| entry.is_some_and(|(_, acknowledged)| acknowledged <= time);
        let least = self.0.iter().rposition(by_then).map_or(0, |index| index + 1);
        let later = |entry: &Option<(i64, i64)>| entry.is_some_and(|(sent, _)| sent > time);
        let most = self.0.iter().position(later).unwrap_or(usize::MAX);
        ensure!(writes >= least, "{writes} writes are there, and {least} were acknowledged by then");
        ensure!(writes <= most, "{writes} writes are there, and by then only {most} had been sent");
        Ok(())
    }
}

pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
