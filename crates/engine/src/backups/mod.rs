//! Backups, all the time: whatever is committed is kept in a folder of its own within a second, and any moment can be restored.
//!
//! ```text
//! writer ── marks ──▶ keeper ── a file of each second ──▶ archive ◀── merger (minutes, hours, snapshots; removes, reads)
//!    ▲                  │ reads the WAL, writes nothing     │
//!    └── "all is kept" ─┘                                   └──▶ restore (a new file), swap (in place of the database)
//! ```
//!
//! The files are those of `tidebase_ltx`, which Litestream restores as well. What is here is when which of them are written: a
//! commit is never held up, only a checkpoint, for a moment. One copy at one time, without any of this: `storage::backup`.

pub mod archive;
mod book;
pub mod due;
mod inventory;
mod keeper;
mod marks;
mod merger;
pub mod moment;
mod pinned;
mod report;
mod restore;
mod scrub;
pub(crate) mod swap;
mod timeline;

pub use archive::Archive;
pub use inventory::Inventory;
pub use moment::Moment;
pub use report::{Checked, Report, State, verify};
pub use restore::{Restored, restore, restore_from};
/// What files are called, and what is noted of them.
pub use tidebase_ltx::{Hash, Level, ManifestFile, Record, Stored, folder::parse as parse_name};

pub(crate) use marks::{Mark, Marks};

use crate::changes::log;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::limits::Limits;
use crate::sqlite::{Sqlite, pages};
use crate::storage::vouch::beside;
use keeper::Keeper;
use merger::Merger;
use rusqlite::Connection;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use swap::Fork;
use tokio::sync::watch;

/// Backups of an open database.
#[derive(Debug)]
pub struct Backups {
    pub shelf: Arc<Shelf>,
    marks: Arc<Marks>,
    merger: Arc<Merger>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// One restore at a time.
    restoring: Mutex<()>,
}

/// The archive as the threads share it, and how they fare.
#[derive(Debug)]
pub struct Shelf {
    archive: Mutex<Archive>,
    state: Mutex<State>,
    /// All pages are to be written again.
    wants_snapshot: AtomicBool,
    grown: watch::Sender<u64>,
    /// The same moment by the steady clock and by the wall clock.
    begun: (Instant, i64),
}

impl Shelf {
    pub fn archive(&self) -> MutexGuard<'_, Archive> {
        self.archive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is there is not enough to restore the newest state: has all pages written again.
    fn wish(&self) {
        self.wants_snapshot.store(true, Ordering::Release);
    }

    fn wants_snapshot(&self) -> bool {
        self.wants_snapshot.load(Ordering::Acquire)
    }

    fn fulfil(&self) {
        self.wants_snapshot.store(false, Ordering::Release);
    }

    /// True if it is another folder than before.
    fn reopen(&self) -> Result<bool> {
        let mut archive = self.archive();
        let exchanged = archive.exchanged();
        archive.reopen()?;
        Ok(archive.exchanged() > exchanged)
    }

    /// The time that what is old is told by: a clock that leaps ahead while the server runs makes nothing old.
    fn steady_ms(&self) -> i64 {
        let (begun, begun_ms) = self.begun;
        let elapsed_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        clock::now_ms().min(begun_ms.saturating_add(elapsed_ms).saturating_add(CLOCK_LEAP_MS_MAX))
    }

    /// Changes whenever a file was added.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    fn tell(&self) {
        self.grown.send_modify(|grown| *grown += 1);
    }

    fn note(&self, kept: std::result::Result<(), &Error>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).note(kept);
    }

    fn note_merging(&self, error: Option<&Error>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).merging = error.map(ToString::to_string);
    }
}

impl Backups {
    /// Opens the folder and starts the threads. Nothing may be checkpointed before they have begun. `found` is what the WAL holds.
    ///
    /// # Errors
    /// Those of [`Archive::open`].
    pub(crate) fn start(
        root: &Path,
        name: &str,
        database: &Path,
        marks: Arc<Marks>,
        limits: Arc<Limits>,
        found: Mark,
        sqlite: Sqlite,
    ) -> Result<Self> {
        let archive = Archive::open_or_set_aside(root, name, None)?;
        archive.clean()?;
        let wants_snapshot = AtomicBool::new(is_long(&sqlite.own, &archive, found)?);
        let shelf = Shelf {
            archive: Mutex::new(archive),
            state: Mutex::default(),
            wants_snapshot,
            grown: watch::Sender::new(0),
            begun: (Instant::now(), clock::now_ms()),
        };
        let shelf = Arc::new(shelf);
        marks.note(found);
        marks.cut();
        let keeper =
            Keeper { sqlite, wal: beside(database, "-wal"), marks: Arc::clone(&marks), shelf: Arc::clone(&shelf) };
        let merger = Arc::new(Merger::new(Arc::clone(&shelf), Arc::clone(&marks), limits));
        let its = Arc::clone(&merger);
        let threads =
            vec![crate::thread("backup", move || keeper.run())?, crate::thread("backup-merge", move || its.run())?];
        Ok(Self { shelf, marks, merger, threads: Mutex::new(threads), restoring: Mutex::default() })
    }

    /// When the writer is gone: keeps what is left and ends the threads.
    pub(crate) fn close(&self) {
        self.marks.end();
        self.merger.end.tell();
        for thread in std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)) {
            let _ = thread.join();
        }
        self.shelf.archive().let_go();
    }

    /// Restores a moment beside the database, to take its place. Blocks.
    ///
    /// # Errors
    /// Those of [`restore`]; `conflict` while another restore is running.
    pub(crate) fn fork(&self, database: &Path, moment: Moment, who: &str) -> Result<Fork> {
        let path = Fork::path_for(database);
        let one = self.restoring.try_lock();
        if one.is_err() || path.exists() {
            return Err(Error::conflict("Another restore is running. Wait until it is done."));
        }
        self.flush(SETTLE_MAX);
        let root = self.shelf.archive().root().to_owned();
        let restored = restore(&root, moment, &path)?;
        Ok(Fork::new(path, restored, who))
    }

    /// Has what was committed kept now, and not when its second is over. True when it is, within this time.
    pub fn flush(&self, time: Duration) -> bool {
        self.marks.settle(time)
    }

    /// Merges and removes what is due at this time, in milliseconds since 1970; done by itself once a minute.
    ///
    /// # Errors
    /// `unavailable` if a file is damaged, or the folder cannot be written.
    pub fn tidy(&self, now_ms: i64) -> Result<()> {
        self.merger.tidy(now_ms)
    }

    /// Is this file as it was written? If not, it is put aside, and made good for.
    ///
    /// # Errors
    /// `unavailable` if it cannot be moved.
    pub fn is_sound(&self, file: &Stored) -> Result<bool> {
        self.merger.put_aside(std::slice::from_ref(file)).map(|any| !any)
    }

    /// What the folder has, and what it has lost, by its lines and `more` from elsewhere. Reads the folder.
    ///
    /// # Errors
    /// `unavailable` if it cannot be listed.
    pub fn inventory(&self, more: &[Record]) -> Result<Inventory> {
        let now_ms = self.shelf.steady_ms();
        // Nobody waits while the folder is listed.
        let (root, records) = {
            let archive = self.shelf.archive();
            (archive.root().to_owned(), archive.records().chain(more).copied().collect())
        };
        Inventory::new(root, records, |files| self.merger.forgotten(files, now_ms))
    }

    /// These lines were found where the backups are carried to: what the folder does not know of them, though it should, is lost, and may
    /// come back.
    ///
    /// # Errors
    /// As [`Backups::inventory`].
    pub fn adopt(&self, found: &[Record]) -> Result<()> {
        let known: HashSet<_> = self.shelf.archive().records().map(|record| (record.level, record.span())).collect();
        let lost = self.inventory(found)?.lost;
        let unknown = lost.iter().filter(|(file, _)| !known.contains(&archive::key(file)));
        let unknown: Vec<Record> = unknown.map(|(_, record)| *record).collect();
        self.shelf.archive().adopt(found, &unknown)
    }

    pub fn report(&self) -> Result<Report> {
        Report::of(&self.shelf.archive(), self.shelf.state())
    }
}

/// When a WAL that was left was written last, in milliseconds since 1970; now, if there is none. Before the database is opened.
pub(crate) fn left_at(database: &Path) -> i64 {
    let now = clock::now_ms();
    let wal = std::fs::metadata(beside(database, "-wal")).ok().filter(|wal| wal.len() > 0);
    let changed = wal.and_then(|wal| wal.modified().ok()).map_or(now, clock::ms);
    changed.min(now)
}

/// Does the WAL hold more than a moment that is not kept? Nobody knows any more which of its frames came when.
fn is_long(connection: &Connection, archive: &Archive, found: Mark) -> Result<bool> {
    let Some(kept) = archive.last().and_then(|record| record.revision) else { return Ok(false) };
    let first = log::first_time_after(connection, kept)?;
    Ok(first.is_some_and(|first| found.time_ms - first > MOMENT_MS_MAX))
}

/// What is in the WAL at a start: one moment, of that time.
pub(crate) fn found(connection: &Connection, time_ms: i64) -> Result<Mark> {
    let reading = connection.unchecked_transaction()?;
    let (revision, _) = log::stand(&reading)?;
    let page_size = reading.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0))?;
    let stand = pages::stand(&reading, page_size as usize)?;
    Ok(Mark { frames: stand.map_or(0, |stand| stand.frames), time_ms, revision })
}

/// What a crash catches before it is kept has come within this time, as a rule.
const MOMENT_MS_MAX: i64 = 5000;

/// What a clock is set by, at most, that is not wrong.
const CLOCK_LEAP_MS_MAX: i64 = 3_600_000;

/// How long a restore waits until what was just committed can be restored too.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Where backups of a database are kept if nobody says: beside it.
pub fn folder_of(database: &Path) -> PathBuf {
    beside(database, "-backups")
}

fn io(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("{} cannot be used: {error}.", path.display())).caused_by(error)
}

fn damage(error: tidebase_ltx::Error) -> Error {
    Error::new(Code::Unavailable, format!("{error}.")).caused_by(error)
}

/// And not of a disk that is full, or away.
fn is_of_damage(error: &Error) -> bool {
    let source = error.source.as_deref().and_then(|source| source.downcast_ref::<tidebase_ltx::Error>());
    source.is_some_and(|source| source.code == tidebase_ltx::Code::Damaged)
}
