//! Was the file changed while nobody served it? Only a clean stop can vouch that it was not.
//!
//! At a clean stop the WAL is folded into the file, and what the file then looks like is written beside it. A start
//! that finds exactly this, and no WAL, keeps the line of revisions (its `history`); any doubt begins a new one, so
//! that no client ever resumes over a change it was not told.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `<database>-tide`, beside SQLite's own `-wal` and `-shm`.
fn voucher(database: &Path) -> PathBuf {
    beside(database, "-tide")
}

pub fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Size, time of change and header of the file. The header holds SQLite's change counter.
///
/// Must not be called while this process has the database open: closing any descriptor of it would drop SQLite's locks.
fn look(database: &Path) -> Option<String> {
    let metadata = fs::metadata(database).ok()?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let mut header = [0; 100];
    fs::File::open(database).ok()?.read_exact(&mut header).ok()?;
    let hex: String = header[24..].iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("1 {} {} {hex}", metadata.len(), changed.as_nanos()))
}

/// Before the database is opened: does it look as it was left? The voucher serves once.
pub fn redeem(database: &Path) -> bool {
    let path = voucher(database);
    let Ok(left) = fs::read_to_string(&path) else { return false };
    let removed = fs::remove_file(&path).is_ok();
    let has_wal = fs::metadata(beside(database, "-wal")).is_ok_and(|wal| wal.len() > 0);
    removed && !has_wal && look(database).is_some_and(|now| now == left)
}

/// A file's time of change moves in ticks of the kernel's clock: two writes within one tick have the same time.
const TICK: Duration = Duration::from_millis(25);

/// How the file stood when all of it was known: what is written to it later shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Stand {
    bytes: u64,
    changed: SystemTime,
}

impl Stand {
    /// Waits, a tick at most, until a later write could not have the same time of change. `None` if that never comes.
    ///
    /// Asks for the file's attributes only, so the database may be open.
    pub fn of(database: &Path) -> Option<Self> {
        let before = Self::now(database)?;
        std::thread::sleep(TICK);
        Self::now(database).filter(|now| *now == before)
    }

    fn now(database: &Path) -> Option<Self> {
        let metadata = fs::metadata(database).ok()?;
        Some(Self { bytes: metadata.len(), changed: metadata.modified().ok()? })
    }
}

/// After the last connection was closed: is it still the file that was known?
pub fn write(database: &Path, known: &Stand) {
    let has_wal = fs::metadata(beside(database, "-wal")).is_ok_and(|wal| wal.len() > 0);
    let looked = look(database);
    let is_known = Stand::now(database).as_ref() == Some(known);
    let (false, true, Some(look)) = (has_wal, is_known, looked) else { return };
    if let Err(error) = fs::write(voucher(database), look) {
        tracing::warn!(%error, "could not note how the database was left; clients will read their results anew");
    }
}
