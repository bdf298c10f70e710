//! The bytes beneath SQLite: where a read transaction stands in the WAL, and pages of the database file.
//!
//! The file is read through the handle that SQLite has of it. To open it a second time would be a trap: when any descriptor of
//! it is closed, the system lets go of all locks that this process has on it, SQLite's among them.

use crate::error::{Error, Result};
use rusqlite::{Connection, ffi};
use std::ffi::c_int;

/// Where a read transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Frames of the WAL that belong to what it sees.
    pub frames: u32,
    /// Names the life of the WAL, as its header has them.
    pub salts: [u32; 2],
    /// Pages of the database.
    pub pages: u32,
}

/// Where the read transaction that is open stands; `None` if the WAL is empty.
///
/// SQLite tells it in a `sqlite3_snapshot`, which is its `WalIndexHdr` (wal.c; "The format of the WAL-index" on sqlite.org
/// has the same 48 bytes): page size at 14, frames at 16, pages at 20, salts at 32.
///
/// # Errors
/// SQLite's own; `internal` if the snapshot is not of this form.
pub fn stand(connection: &Connection, page_size: usize) -> Result<Option<Stand>> {
    let mut snapshot: *mut ffi::sqlite3_snapshot = std::ptr::null_mut();
    // SAFETY: the connection is open, and SQLite writes one pointer.
    let code = unsafe { ffi::sqlite3_snapshot_get(connection.handle(), c"main".as_ptr(), &raw mut snapshot) };
    if code == ffi::SQLITE_ERROR {
        return Ok(None);
    }
    if code != ffi::SQLITE_OK || snapshot.is_null() {
        return Err(failed(code, "no snapshot"));
    }
    // SAFETY: it was just given, has 48 bytes (`hidden`), is read once and freed once.
    let hidden = unsafe {
        let hidden = (*snapshot).hidden;
        ffi::sqlite3_snapshot_free(snapshot);
        hidden
    };
    let bytes = |at: usize| [hidden[at], hidden[at + 1], hidden[at + 2], hidden[at + 3]];
    // 65536 does not fit, and is written as 1.
    let short = usize::from(u16::from_ne_bytes([hidden[14], hidden[15]]));
    if (if short == 1 { 65536 } else { short }) != page_size {
        return Err(Error::internal("SQLite's snapshots have another form than was expected"));
    }
    let salt = |at| u32::from_be_bytes(bytes(at));
    let (frames, pages) = (u32::from_ne_bytes(bytes(16)), u32::from_ne_bytes(bytes(20)));
    Ok(Some(Stand { frames, salts: [salt(32), salt(36)], pages }))
}

/// Reads bytes of the database file, without what the WAL has for them.
///
/// # Errors
/// `unavailable` if they cannot be read, or the file ends before.
pub fn read_at(connection: &Connection, offset: u64, bytes: &mut [u8]) -> Result<()> {
    let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
    // SAFETY: the connection is open, and SQLite writes one pointer, to a file that stays open as long as it does.
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast(),
        )
    };
    // SAFETY: a file that is open has methods.
    let methods = unsafe { file.as_ref().and_then(|file| file.pMethods.as_ref()) };
    let Some(read) = methods.and_then(|methods| methods.xRead) else {
        return Err(failed(code, "the database has no file"));
    };
    let (Ok(length), Ok(offset)) = (c_int::try_from(bytes.len()), i64::try_from(offset)) else {
        return Err(Error::internal("a page is too long or too far behind"));
    };
    // SAFETY: the buffer has `length` bytes, and the connection is used by this thread alone.
    match unsafe { read(file, bytes.as_mut_ptr().cast(), length, offset) } {
        ffi::SQLITE_OK => Ok(()),
        code => Err(failed(code, "a page of the database cannot be read")),
    }
}

fn failed(code: c_int, what: &str) -> Error {
    let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(what.to_owned()));
    Error::unavailable(format!("{what}: {error}.")).caused_by(error)
}
