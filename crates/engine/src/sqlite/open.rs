//! How a database file is opened: the settings every connection has, and those of each kind of connection.

use super::{Sqlite, clock};
use crate::error::{Error, Result};
use crate::storage::private;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use std::ffi::CString;
use std::path::Path;
use std::time::Duration;

/// Older libraries may corrupt a WAL file that two programs write (sqlite.org/wal.html#walresetbug).
const OLDEST_SAFE: i32 = 3_051_003;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The one that writes and checkpoints.
    Write,
    Read,
    /// Evaluates live queries: plans do not depend on bound values, and a look at the clock is noticed.
    Live,
}

/// Opens the file, or makes it, for its owner alone, if it is missing and this is the writer.
///
/// # Errors
/// `unsupported` for an unsafe SQLite, `invalid` for a file that is no database, `unavailable` if it cannot be opened.
pub fn open(path: &Path, vfs: Option<&str>, purpose: Purpose, lock_wait: Duration) -> Result<Sqlite> {
    if rusqlite::version_number() < OLDEST_SAFE {
        return Err(Error::unsupported(format!(
            "This build uses SQLite {}, which can corrupt a database that two programs write. 3.51.3 or newer is needed.",
            rusqlite::version()
        )));
    }
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if purpose == Purpose::Write {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
        if vfs.is_none() {
            private::make(path);
        }
    }
    let connection = match (vfs, purpose) {
        (Some(name), _) => {
            let name = CString::new(name).map_err(|_| Error::invalid("A VFS name has no NUL."))?;
            Connection::open_with_flags_and_vfs(path, flags, name.as_c_str())
        }
        (None, Purpose::Live) => Connection::open_with_flags_and_vfs(path, flags, clock::vfs()),
        (None, _) => Connection::open_with_flags(path, flags),
    };
    let connection = connection.map_err(|error| cannot_open(path, error))?;
    configure(&connection, purpose, lock_wait).map_err(|error| cannot_open(path, error))?;
    Sqlite::new(connection, purpose)
}

/// A database of its own, in memory, where a look at the clock is noticed: for what is thrown away.
///
/// # Errors
/// SQLite's own.
pub fn in_memory() -> Result<Sqlite> {
    let connection = Connection::open_in_memory_with_flags_and_vfs(OpenFlags::default(), clock::vfs())?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    Sqlite::new(connection, Purpose::Live)
}

/// Bytes of one value, and of one row: past it SQLite says that it is too big. Its own bound, 1 GB, is more memory than
/// a server may have.
pub const VALUE_BYTES_MAX: i32 = 128 << 20;

fn configure(connection: &Connection, purpose: Purpose, lock_wait: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(lock_wait)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Only the writer checkpoints: by anyone else it would look like another program's write.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    if purpose == Purpose::Write {
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
                Some(format!("the file cannot be used in WAL mode (it stays in mode {mode})")),
            ));
        }
        connection.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864;
             PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON;",
        )?;
    } else {
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0;")?;
    }
    if purpose == Purpose::Live {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    }
    // A lane's snapshot is another at every step, for which SQLite forgets all pages: the more there are, the longer.
    let kilobytes = if purpose == Purpose::Live { 2048 } else { 16384 };
    connection.execute_batch(&format!("PRAGMA cache_size = -{kilobytes}; PRAGMA cell_size_check = ON;"))
}

/// The file was opened, and something that must be readable in it is not.
pub fn damaged(path: &str, error: Error) -> Error {
    let message = format!(
        "{path} is damaged ({error}).\nKeep a copy of it as it is, look at it with `tidebase doctor --db {path}`, and restore a backup."
    );
    Error::unavailable(message).caused_by(error)
}

fn cannot_open(path: &Path, error: rusqlite::Error) -> Error {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => {
            Error::invalid(format!("{path} is not an SQLite database (or it is encrypted)."))
        }
        Some(
            rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::PermissionDenied,
        ) => Error::unavailable(format!(
            "{path} cannot be opened for writing: {error}. Check the folder and its permissions."
        )),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            Error::unavailable(format!("{path} is locked by another program. Close it, or wait until it is done."))
        }
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => return damaged(&path.to_string(), error.into()),
        _ => Error::unavailable(format!("{path} cannot be opened: {error}.")),
    }
    .caused_by(error)
}
