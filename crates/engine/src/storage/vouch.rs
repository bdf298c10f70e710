//! Was the file changed while nobody served it? Only a clean stop can vouch that it was not.
//!
//! At a clean stop the WAL is folded into the file, and what the file then looks like is written beside it. A start
//! that finds exactly this, and no WAL, keeps the line of revisions (its `history`); any doubt begins a new one, so
//! that no client ever resumes over a change it was not told.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

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

/// After the last connection was closed and the WAL folded in.
///
/// Waits until a later write could not have the same time of change, a tick at most, and looks again.
pub fn write(database: &Path) {
    let has_wal = fs::metadata(beside(database, "-wal")).is_ok_and(|wal| wal.len() > 0);
    let before = look(database);
    std::thread::sleep(TICK);
    let (false, Some(look)) = (has_wal, look(database).filter(|now| Some(now) == before.as_ref())) else { return };
    if let Err(error) = fs::write(voucher(database), look) {
        tracing::warn!(%error, "could not note how the database was left; clients will read their results anew");
    }
}
