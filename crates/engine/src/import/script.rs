//! An SQLite file that is sent never becomes the database, nor a part of it: it is read as the script that makes it again, which then is
//! imported like any other.

use super::Source;
use crate::error::{Error, Result};
use crate::export::{Dump, Export};
use crate::sqlite::budget::{Cancel, STEPS};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{DirEntry, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Of folders that are gone when the work is done; one that was cut off leaves its own, which the next start takes away.
pub const PREFIX: &str = ".tidebase-passing-";

const LEFT_AFTER: Duration = Duration::from_hours(1);

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The file as it is, or what an SQLite file holds as SQL, squeezed or not; `folder` has room for both.
///
/// # Errors
/// `invalid` for a file that is damaged, `too_large` for one that has more bytes when it is unsqueezed, `unavailable` if there is no
/// room or if it was given up.
pub fn as_script(file: Source, folder: &Path, bytes_max: u64, cancel: &Cancel) -> Result<Source> {
    let mut magic = [0; MAGIC.len()];
    let is_database = file.open()?.read_exact(&mut magic).is_ok() && magic == *MAGIC;
    if !is_database {
        return Ok(file);
    }
    // SQLite needs a name, and in WAL mode room beside it.
    let place = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder).map_err(cannot)?;
    let path = place.path().join("sent.db");
    keep(&file, &path, bytes_max, cancel)?;
    refuse_cut(&path)?;
    let refused = |error: rusqlite::Error| Error::invalid(format!("The SQLite file cannot be read: {error}."));
    let connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let mut connection = connection.map_err(refused)?;
    let given_up = cancel.clone();
    connection.progress_handler(STEPS, Some(move || given_up.is_cancelled())).map_err(refused)?;
    // Nothing in it is trusted: its triggers and views do not run, its pages are looked through first.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(refused)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(refused)?;
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA query_only = ON").map_err(refused)?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(refused)?;
    if found != "ok" {
        return Err(Error::invalid(format!("The SQLite file is damaged: {found}.")));
    }
    let mut script = tempfile::tempfile_in(folder).map_err(cannot)?;
    Export::Dump(Dump::default()).write(&connection, &mut script, &mut |_| look(cancel))?;
    Ok(Source(Arc::new(script)))
}

/// A few kilobytes may be terabytes when they are unsqueezed, and the disk is that of the database.
fn keep(file: &Source, path: &Path, bytes_max: u64, cancel: &Cancel) -> Result<()> {
    let mut out = File::create_new(path).map_err(cannot)?;
    let (mut from, mut piece, mut kept) = (file.open()?, vec![0; 64 << 10], 0);
    loop {
        look(cancel)?;
        let read = from.read(&mut piece).map_err(|error| {
            Error::invalid(format!("The SQLite file cannot be unsqueezed: {error}.")).caused_by(error)
        })?;
        if read == 0 {
            return Ok(());
        }
        kept += read as u64;
        if kept > bytes_max {
            return Err(Error::too_large(format!("Unsqueezed the SQLite file has more than {bytes_max} bytes.")));
        }
        out.write_all(&piece[..read]).map_err(cannot)?;
    }
}

/// What is missing at the end SQLite takes for zeros. How many pages there are stands in the file's head, from the 29th byte on, if whoever
/// wrote last knew of it (sqlite.org/fileformat.html).
fn refuse_cut(path: &Path) -> Result<()> {
    let mut head = [0; 100];
    let mut file = File::open(path).map_err(cannot)?;
    let length = file.metadata().map_err(cannot)?.len();
    file.read_exact(&mut head).map_err(|_| Error::invalid("The SQLite file is cut within its head."))?;
    let number = |at: usize| u64::from(u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    let page = match u64::from(u16::from_be_bytes([head[16], head[17]])) {
        1 => 65536,
        bytes => bytes.max(512),
    };
    let pages = if number(24) == number(92) { number(28) } else { 0 };
    if length < pages * page || !length.is_multiple_of(page) {
        let whole = (pages * page).max(length.next_multiple_of(page));
        return Err(Error::invalid(format!("The SQLite file is cut: of its {whole} bytes {length} are there.")));
    }
    Ok(())
}

fn look(cancel: &Cancel) -> Result<()> {
    if cancel.is_cancelled() { Err(Error::unavailable("The import was given up.")) } else { Ok(()) }
}

/// Takes away what work that was cut off has left in a folder.
pub fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let is_ours = |entry: &DirEntry| entry.file_name().to_string_lossy().starts_with(PREFIX);
    // Another server may have its database in the folder, and be at work.
    let age = |entry: &DirEntry| entry.metadata().ok()?.modified().ok()?.elapsed().ok();
    let is_old = |entry: &DirEntry| age(entry).is_some_and(|age| age > LEFT_AFTER);
    for entry in entries.flatten().filter(|entry| is_ours(entry) && is_old(entry)) {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "what an import or export has left stays");
        }
    }
}

fn cannot(error: std::io::Error) -> Error {
    Error::unavailable(format!("The file cannot be kept until it is imported: {error}.")).caused_by(error)
}
