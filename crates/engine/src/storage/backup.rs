//! A safe copy of a database that is in use: SQLite's own backup interface, a bounded piece at a time.

use super::private;
use crate::error::{Error, Result};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Pages copied between two breaths.
const PAGES_AT_ONCE: i32 = 1024;

/// Copies `from` into the new file `to`; `progress` hears (pages done, pages in all).
///
/// The copy is written under another name and renamed when it is whole and synced, so `to` is never half a database.
/// A read transaction pins one state for the whole copy; writers are not held up. It is its owner's alone, whatever the
/// mode of `from`.
pub fn backup(from: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<()> {
    if to.exists() {
        return Err(Error::conflict(format!("{} exists already; a backup never overwrites a file.", to.display())));
    }
    let source = open(from)?;
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")?;
    let partial = crate::storage::vouch::beside(to, "-partial");
    let cannot = |error: std::io::Error| {
        Error::unavailable(format!("{} cannot be written: {error}.", to.display())).caused_by(error)
    };
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => {}
    }
    let copied = copy(&source, &partial, &mut progress);
    if copied.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    copied?;
    std::fs::File::open(&partial).and_then(|file| file.sync_all()).map_err(cannot)?;
    std::fs::rename(&partial, to).map_err(cannot)?;
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(cannot)?;
    }
    Ok(())
}

/// A connection that reads a file which a server may have open: it neither writes nor checkpoints.
///
/// # Errors
/// `unavailable` if the file cannot be opened.
pub fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| {
        Error::unavailable(format!("{} cannot be opened: {error}.", path.display())).caused_by(error)
    })?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch("PRAGMA query_only = ON")?;
    Ok(connection)
}

fn copy(source: &Connection, to: &Path, progress: &mut impl FnMut(u64, u64)) -> Result<()> {
    private::make(to);
    let mut target = Connection::open(to)?;
    {
        let backup = Backup::new(source, &mut target)?;
        loop {
            let step = backup.step(PAGES_AT_ONCE)?;
            let state = backup.progress();
            let total = u64::try_from(state.pagecount).unwrap_or(0);
            progress(total - u64::try_from(state.remaining).unwrap_or(0), total);
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
    // The copy is one plain file: no WAL beside it until somebody opens it in that mode.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    target.close().map_err(|(_, error)| error)?;
    Ok(())
}
