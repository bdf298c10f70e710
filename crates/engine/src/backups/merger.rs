//! The thread that looks after the files: it merges them, removes those that are kept no longer (what is due says `due`), and puts those
//! aside that are damaged.

use super::marks::Marks;
use super::scrub::Scrub;
use super::{Shelf, damage, due, is_of_damage, report};
use crate::clock;
use crate::error::Result;
use crate::limits::Limits;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tidebase_ltx::{Record, Span, Stored, compact_files};

/// When a minute is over, what was committed in it is kept a moment later.
const AFTER_MINUTE_MS: i64 = 3000;

/// Says when there is an end.
#[derive(Debug, Default)]
pub struct End {
    is_over: Mutex<bool>,
    told: Condvar,
}

impl End {
    pub fn tell(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// True if there is one within this time.
    fn wait(&self, time: Duration) -> bool {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(is_over, time, |is_over| !*is_over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[derive(Debug)]
pub struct Merger {
    shelf: Arc<Shelf>,
    marks: Arc<Marks>,
    limits: Arc<Limits>,
    pub end: Arc<End>,
    /// One at a time: two would make the same files.
    scrub: Mutex<Scrub>,
}

impl Merger {
    pub fn new(shelf: Arc<Shelf>, marks: Arc<Marks>, limits: Arc<Limits>) -> Self {
        Self { shelf, marks, limits, end: Arc::default(), scrub: Mutex::default() }
    }

    pub fn run(&self) {
        let till_next =
            || Duration::from_millis((AFTER_MINUTE_MS + 60_000 - clock::now_ms().rem_euclid(60_000)).unsigned_abs());
        while !self.end.wait(till_next()) {
            if let Err(error) = self.tidy_at(clock::now_ms(), self.shelf.steady_ms()) {
                // Nothing is lost by it: there are more files than need be.
                tracing::error!(%error, "backups are not merged");
                self.shelf.note_merging(Some(&error));
            } else {
                self.shelf.note_merging(None);
            }
        }
    }

    /// All that is due at this time.
    ///
    /// # Errors
    /// `unavailable` if the folder cannot be read or written. What does not depend on it is done all the same.
    pub fn tidy(&self, now_ms: i64) -> Result<()> {
        self.tidy_at(now_ms, now_ms)
    }

    /// `steady_ms` is the time that what is old is told by.
    fn tidy_at(&self, now_ms: i64, steady_ms: i64) -> Result<()> {
        let now_ms = u64::try_from(now_ms).unwrap_or(0);
        let mut scrub = self.scrub.lock().unwrap_or_else(PoisonError::into_inner);
        // In another's folder nothing is touched; the keeper looks after that.
        self.shelf.archive().check_place()?;
        let lists = self.shelf.archive().keep_up();
        self.mend();
        let done = [lists, self.merge_due(now_ms), self.read_some(&mut scrub), self.remove_forgotten(steady_ms)];
        self.mend();
        done.into_iter().collect()
    }

    /// What does not do for a restore any more begins with all pages again.
    fn mend(&self) {
        let is_whole = {
            let archive = self.shelf.archive();
            // While there is nothing at all the first look at all pages is under way; of a large database it takes minutes.
            archive.last().is_none() || archive.is_whole()
        };
        if !is_whole && !self.shelf.wants_snapshot() {
            tracing::error!("files of the backups are missing; they begin with all pages again");
            self.shelf.wish();
            self.marks.renew();
        }
    }

    fn merge_due(&self, now_ms: u64) -> Result<()> {
        let files = self.shelf.archive().files()?;
        let merges: Vec<Result<()>> = due::merges(&files, now_ms).iter().map(|merge| self.merge_sound(merge)).collect();
        let files = self.shelf.archive().files()?;
        let snapshot = due::snapshot(&files, now_ms).map_or(Ok(()), |merge| self.merge_sound(&merge));
        merges.into_iter().chain([snapshot]).collect()
    }

    fn read_some(&self, scrub: &mut Scrub) -> Result<()> {
        let (folder, kept) = {
            let archive = self.shelf.archive();
            let kept: Vec<(Stored, Record)> =
                archive.kept()?.into_iter().map(|(file, record)| (file, *record)).collect();
            (archive.folder.clone(), kept)
        };
        let (damaged, unread) = scrub.round(&folder, &kept);
        self.put_aside(&damaged)?;
        unread
    }

    fn remove_forgotten(&self, now_ms: i64) -> Result<()> {
        let files = self.shelf.archive().files()?;
        let gone = self.forgotten(&files, now_ms);
        if !gone.is_empty() {
            self.shelf.archive().remove(&gone)?;
        }
        Ok(())
    }

    /// Which of these files no promise needs any more.
    pub fn forgotten(&self, files: &[Stored], now_ms: i64) -> Vec<Stored> {
        let now_ms = u64::try_from(now_ms).unwrap_or(0);
        due::forgotten(files, now_ms, self.limits.backup_groups_age_max, self.limits.backup_age_max)
    }

    /// What is damaged does not keep the rest from being merged, the next time.
    fn merge_sound(&self, merge: &due::Merge) -> Result<()> {
        match self.merge(merge) {
            Err(error) if is_of_damage(&error) && self.put_aside(&merge.0)? => Ok(()),
            merged => merged,
        }
    }

    /// Those of these files that are not as they were written: now, or when nobody reads in the folder any more. True if there are any.
    pub fn put_aside(&self, files: &[Stored]) -> Result<bool> {
        let folder = self.shelf.archive().folder.clone();
        let mut any = false;
        for file in files {
            let Some(record) = self.shelf.archive().of(file).copied() else { continue };
            if let Err(error) = report::check(&folder, file, &record)
                && is_of_damage(&error)
            {
                tracing::error!(%error, %file, "a file of the backups is damaged");
                self.shelf.archive().put_aside(file)?;
                any = true;
            }
        }
        Ok(any)
    }

    fn merge(&self, (files, level): &due::Merge) -> Result<()> {
        let folder = self.shelf.archive().folder.clone();
        let Some(last) = files.last().and_then(|last: &Stored| self.shelf.archive().of(last).copied()) else {
            return Ok(());
        };
        if let (Some(first), Some(last)) = (files.first(), files.last()) {
            self.shelf.archive().make_room(*level, Span { first: first.span.first, last: last.span.last })?;
        }
        let (stored, sha256) = compact_files(&folder, files, *level).map_err(damage)?;
        self.shelf.archive().add(&stored, sha256, last.checksum, last.revision)?;
        self.shelf.tell();
        Ok(())
    }
}
