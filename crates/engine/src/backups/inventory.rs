//! What a folder of backups has, what it has lost, and what need not be any more: by all lines, also those of files that have gone.

use super::archive::{key, listed, stored};
use crate::error::Result;
use std::collections::HashSet;
use std::path::PathBuf;
use tidebase_ltx::{Folder, Level, Record, Span, Stored};

#[derive(Debug)]
pub struct Inventory {
    pub root: PathBuf,
    /// By level and span, each with its line.
    pub files: Vec<(Stored, Record)>,
    /// Those that should be there and are not.
    pub lost: Vec<(Stored, Record)>,
    /// Level and span of those that no promise needs any more, there or not.
    pub forgotten: HashSet<(u8, Span)>,
}

impl Inventory {
    /// The last transaction that has a line among those of seconds.
    pub fn newest_group(&self) -> u64 {
        let lines = self.files.iter().chain(&self.lost);
        lines.filter(|(file, _)| file.level == Level::GROUP).map(|(file, _)| file.span.last).max().unwrap_or(0)
    }

    /// Lists the folder. The lines are of before: a file that is made meanwhile has none yet.
    ///
    /// # Errors
    /// `unavailable` if the folder cannot be listed.
    pub(super) fn new(
        root: PathBuf,
        records: Vec<Record>,
        is_forgotten: impl Fn(&[Stored]) -> Vec<Stored>,
    ) -> Result<Self> {
        let there = listed(&Folder::new(&root))?;
        let line = |record: Record| Level::new(record.level).map(|level| (stored(level, &record), record));
        let mut lines: Vec<(Stored, Record)> = records.into_iter().filter_map(line).collect();
        lines.sort_by_key(|(file, _)| (file.level, file.span));
        lines.dedup_by_key(|(file, _)| *file);
        let all: Vec<Stored> = lines.iter().map(|(file, _)| *file).collect();
        let forgotten: HashSet<_> = is_forgotten(&all).iter().map(key).collect();
        let (files, gone): (Vec<_>, Vec<_>) = lines.into_iter().partition(|(file, _)| there.contains(&key(file)));
        let lost = gone.into_iter().filter(|(file, _)| !forgotten.contains(&key(file))).collect();
        Ok(Self { root, files, lost, forgotten })
    }
}
