//! What people ask of backups: how they fare, and whether they are whole.

use super::archive::{self, Archive};
use super::damage;
use super::timeline::Gap;
use crate::clock;
use crate::error::{Error, Result};
use serde::Serialize;
use std::fmt;
use tidebase_ltx::{Folder, Level, Record, Stored};

/// How the threads fare.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Since when nothing could be kept, and why.
    pub failing: Option<(i64, String)>,
    pub merging: Option<String>,
}

impl State {
    pub fn is_ok(&self) -> bool {
        self.failing.is_none() && self.merging.is_none()
    }

    pub(super) fn note(&mut self, kept: std::result::Result<(), &Error>) {
        self.failing = kept.err().map(|error| {
            let since = self.failing.as_ref().map_or_else(clock::now_ms, |(since, _)| *since);
            (since, error.to_string())
        });
    }
}

/// As `GET /backups` and `tidebase backup status` tell it.
#[derive(Debug, Serialize)]
pub struct Report {
    pub folder: String,
    /// Is all that is committed kept, or about to be?
    pub ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The oldest moment that can be restored.
    pub oldest: Option<Reached>,
    pub newest: Option<Reached>,
    /// What lies between and was not kept.
    pub gaps: Vec<Gap>,
    pub files: usize,
    pub bytes: u64,
    /// Files that were found damaged, or in no list, and stand apart; and whole folders, beside this one.
    pub set_aside: usize,
    pub levels: Vec<LevelReport>,
}

#[derive(Debug, Serialize)]
pub struct Reached {
    pub time: String,
    pub revision: Option<i64>,
}

impl Reached {
    pub(super) fn of(record: &Record) -> Self {
        Self { time: spoken(record.time_ms), revision: record.revision }
    }
}

/// As in "10:00:00.000 (revision 7)".
impl fmt::Display for Reached {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.time)?;
        self.revision.map_or(Ok(()), |revision| write!(out, " (revision {revision})"))
    }
}

#[derive(Debug, Serialize)]
pub struct LevelReport {
    pub level: &'static str,
    pub files: usize,
    pub bytes: u64,
    pub oldest: String,
    pub newest: String,
}

impl Report {
    pub(super) fn of(archive: &Archive, state: State) -> Result<Self> {
        let kept = archive.kept()?;
        let snapshots = kept.iter().filter(|(file, _)| file.level == Level::SNAPSHOT);
        let reached = |(_, record): &(Stored, &Record)| Reached::of(record);
        let oldest = snapshots.min_by_key(|(file, _)| file.span.last).map(reached);
        let newest = kept.iter().max_by_key(|(file, _)| file.span.last).map(reached);
        let files: Vec<Stored> = kept.iter().map(|(file, _)| *file).collect();
        let levels = [
            ("seconds", Level::GROUP),
            ("minutes", Level::MINUTE),
            ("hours", Level::HOUR),
            ("snapshots", Level::SNAPSHOT),
        ];
        let error = state.failing.as_ref().map(|(_, error)| error.clone()).or(state.merging);
        Ok(Self {
            folder: archive.root().display().to_string(),
            ok: error.is_none(),
            failing_since: state.failing.map(|(since, _)| clock::spoken(since)),
            error,
            oldest,
            newest,
            gaps: archive.timeline(&kept).into_gaps(),
            files: files.len(),
            bytes: files.iter().map(|file| file.size).sum(),
            set_aside: archive.set_aside(),
            levels: levels.into_iter().filter_map(|(name, level)| LevelReport::of(name, level, &files)).collect(),
        })
    }

    /// Of files that no server of this process writes.
    ///
    /// # Errors
    /// `unavailable` if they cannot be listed.
    pub fn of_archive(archive: &Archive) -> Result<Self> {
        Self::of(archive, State::default())
    }
}

impl LevelReport {
    fn of(name: &'static str, level: Level, files: &[Stored]) -> Option<Self> {
        let of_level: Vec<&Stored> = files.iter().filter(|file| file.level == level).collect();
        let times = || of_level.iter().map(|file| file.time_ms);
        Some(Self {
            level: name,
            files: of_level.len(),
            bytes: of_level.iter().map(|file| file.size).sum(),
            oldest: spoken(times().min()?),
            newest: spoken(times().max()?),
        })
    }
}

/// What came of reading every byte.
#[derive(Debug, Default, Serialize)]
pub struct Checked {
    pub files: usize,
    pub bytes: u64,
    /// The files that are not as they were written, and how; lines of the lists too.
    pub damaged: Vec<String>,
}

/// Reads every file and holds it against what was noted of it. `bring` is asked for each before, in case it is not here; `progress`
/// hears (the file, bytes read, bytes in all).
///
/// # Errors
/// `unavailable` if files cannot be listed, or are not all that a restore needs; those of `bring`. A damaged file is none.
pub fn verify(
    archive: &Archive,
    bring: impl Fn(&Stored) -> Result<()>,
    mut progress: impl FnMut(&Stored, u64, u64),
) -> Result<Checked> {
    let _held = archive::hold(archive.root())?;
    let kept = archive.kept()?;
    let total = kept.iter().map(|(file, _)| file.size).sum();
    let mut checked = Checked { damaged: archive.lost_lines(), ..Checked::default() };
    for (file, record) in &kept {
        bring(file)?;
        if let Err(error) = check(&archive.folder, file, record) {
            checked.damaged.push(format!("{file}: {error}"));
        }
        checked.files += 1;
        checked.bytes += file.size;
        progress(file, checked.bytes, total);
    }
    if !kept.is_empty() {
        archive.find(super::Moment::Latest)?;
    }
    Ok(checked)
}

/// Is this file the one that was written?
pub(super) fn check(folder: &Folder, file: &Stored, record: &Record) -> Result<()> {
    let mut read = record.checked(folder.open(file.level, file.span).map_err(damage)?);
    std::io::copy(&mut read, &mut std::io::sink())
        .map_err(|error| damage(tidebase_ltx::Error::io("not as it was written", error)))?;
    let mut decoder = folder.decode(file.level, file.span).map_err(damage)?;
    while decoder.next().map_err(damage)?.is_some() {}
    Ok(())
}

fn spoken(time_ms: u64) -> String {
    clock::spoken(i64::try_from(time_ms).unwrap_or(i64::MAX))
}
