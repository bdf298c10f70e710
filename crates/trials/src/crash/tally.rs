//! What a run did: a run that killed nobody and checked nothing has proved nothing.

use super::told::Counts;
use crate::power_loss::Cut;
use std::fmt;

#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub rounds: usize,
    /// SIGKILL under load, of these while the database file itself was being written, and while starting or stopping.
    pub kills: usize,
    pub kills_in_checkpoint: usize,
    pub kills_at_the_edge: usize,
    /// SIGTERM under load.
    pub stops: usize,
    pub cuts: usize,
    /// Images of databases that were not yet complete.
    pub cuts_early: usize,
    pub files: usize,
    pub sectors_stale: usize,
    pub sectors_torn: usize,
    /// Acknowledged writes that were looked for, once for each time they were.
    pub acked: usize,
    /// Writes under way that had come to be.
    pub extra: usize,
    /// Requests sent again with their Idempotency-Key, and of these such as had not been done before.
    pub repeats: usize,
    pub retries: usize,
    pub told: Counts,
    /// Subscribers that came while others wrote.
    pub visits: usize,
}

impl Tally {
    pub fn cut(&mut self, cut: Cut) {
        self.cuts += 1;
        self.files += cut.files;
        self.sectors_stale += cut.sectors_stale;
        self.sectors_torn += cut.sectors_torn;
    }

    pub fn told(&mut self, counts: Counts) {
        self.told.add(counts);
    }

    /// What the looking at images found, which goes on beside the rest.
    pub fn add(&mut self, images: &Self) {
        self.cuts += images.cuts;
        self.cuts_early += images.cuts_early;
        self.files += images.files;
        self.sectors_stale += images.sectors_stale;
        self.sectors_torn += images.sectors_torn;
        self.acked += images.acked;
        self.extra += images.extra;
        self.repeats += images.repeats;
        self.retries += images.retries;
        self.told.add(images.told);
        self.visits += images.visits;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, kills, kills_in_checkpoint, kills_at_the_edge, stops, cuts, cuts_early, .. } = self;
        let Self { files, sectors_stale, sectors_torn, acked, extra, repeats, retries, told, visits, .. } = self;
        let Counts { deltas, changes, messages, rows, resumed } = told;
        writeln!(f, "{rounds} rounds")?;
        writeln!(
            f,
            "{kills} kills ({kills_in_checkpoint} while checkpointing), {kills_at_the_edge} while starting or stopping, {stops} stops"
        )?;
        writeln!(
            f,
            "{cuts} power cuts ({cuts_early} before the tables were there), {files} files, {sectors_stale} sectors stale, \
             {sectors_torn} torn"
        )?;
        writeln!(
            f,
            "{acked} acknowledged writes looked for, {extra} more found, {repeats} sent again, {retries} done only then"
        )?;
        write!(
            f,
            "told: {deltas} deltas, {changes} changes, {messages} messages; subscriptions begun with {rows} rows, {resumed} resumed; \
             {visits} newcomers"
        )
    }
}
