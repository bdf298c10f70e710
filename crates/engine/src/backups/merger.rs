//! The thread that merges files and removes those that are kept no longer: what is due says `due`.

use super::marks::Marks;
use super::{Shelf, damage, due};
use crate::clock;
use crate::error::{Error, Result};
use crate::limits::Limits;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tidebase_ltx::{Stored, compact_files};

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
    tidying: Mutex<()>,
    /// The keeper was told to begin again.
    told: AtomicBool,
}

impl Merger {
    pub fn new(shelf: Arc<Shelf>, marks: Arc<Marks>, limits: Arc<Limits>) -> Self {
        Self { shelf, marks, limits, end: Arc::default(), tidying: Mutex::default(), told: AtomicBool::default() }
    }

    pub fn run(&self) {
        let till_next =
            || Duration::from_millis((AFTER_MINUTE_MS + 60_000 - clock::now_ms().rem_euclid(60_000)).unsigned_abs());
        while !self.end.wait(till_next()) {
            if let Err(error) = self.tidy(clock::now_ms()) {
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
    /// `unavailable` if a file is damaged, or the folder cannot be written.
    pub fn tidy(&self, now_ms: i64) -> Result<()> {
        let now_ms = u64::try_from(now_ms).unwrap_or(0);
        // One at a time: two would make the same files.
        let _one = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        // While there is nothing at all the first look at all pages is under way; of a large database it takes minutes.
        let is_whole = {
            let archive = self.shelf.archive();
            archive.last().is_none() || archive.is_whole()
        };
        if !is_whole {
            self.begin_again("files are missing");
        }
        let files = self.shelf.archive().files()?;
        // One that is damaged does not keep the others from being merged; the keeper writes all pages behind it.
        let merges = due::merges(&files, now_ms);
        let failed: Vec<Error> = merges.iter().filter_map(|merge| self.merge(merge).err()).collect();
        if failed.iter().any(is_of_damage) {
            self.begin_again("a file is damaged");
        }
        if let Some(error) = failed.into_iter().next() {
            return Err(error);
        }
        let files = self.shelf.archive().files()?;
        if let Some(merge) = due::snapshot(&files, now_ms) {
            self.merge(&merge)?;
        }
        let files = self.shelf.archive().files()?;
        let gone = due::forgotten(&files, now_ms, self.limits.backup_groups_age_max, self.limits.backup_age_max);
        if !gone.is_empty() {
            self.shelf.archive().remove(&gone)?;
        }
        if is_whole {
            self.told.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Not twice for one thing: what is damaged stays so.
    fn begin_again(&self, why: &str) {
        if self.told.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::error!(why, "backups begin with all pages again");
        self.shelf.wish();
        self.marks.lose();
    }

    fn merge(&self, (files, level): &due::Merge) -> Result<()> {
        let folder = self.shelf.archive().folder.clone();
        let Some(last) = files.last().and_then(|last: &Stored| self.shelf.archive().of(last).copied()) else {
            return Ok(());
        };
        let (stored, sha256) = compact_files(&folder, files, *level).map_err(damage)?;
        self.shelf.archive().add(&stored, sha256, last.checksum, last.revision)?;
        self.shelf.tell();
        Ok(())
    }
}

/// And not of a disk that is full, or away.
fn is_of_damage(error: &Error) -> bool {
    let source = error.source.as_deref().and_then(|source| source.downcast_ref::<tidebase_ltx::Error>());
    source.is_some_and(|source| source.code == tidebase_ltx::Code::Damaged)
}
