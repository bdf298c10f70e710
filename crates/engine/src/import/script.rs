//! An SQLite file that is sent never becomes the database, nor a part of it: it is read as the script that makes it again, which then is
//! imported like any other.

use crate::error::{Error, Result};
use crate::export::{Dump, Export};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{DirEntry, File};
use std::io::{Read as _, Seek as _, copy};
use std::path::Path;
use std::time::Duration;

/// Of folders that are gone when the work is done; one that was cut off leaves its own, which the next start takes away.
pub const PREFIX: &str = ".tidebase-passing-";

const LEFT_AFTER: Duration = Duration::from_hours(1);

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The file as it is, or what an SQLite file holds as SQL; `folder` has room for both.
///
/// # Errors
/// `invalid` for a file that is damaged, `unavailable` if there is no room.
pub fn as_script(mut file: File, folder: &Path) -> Result<File> {
    let mut magic = [0; MAGIC.len()];
    file.rewind().map_err(cannot)?;
    let is_database = file.read_exact(&mut magic).is_ok() && magic == *MAGIC;
    file.rewind().map_err(cannot)?;
    if !is_database {
        return Ok(file);
    }
    // SQLite needs a name, and in WAL mode room beside it.
    let place = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder).map_err(cannot)?;
    let path = place.path().join("sent.db");
    copy(&mut file, &mut File::create_new(&path).map_err(cannot)?).map_err(cannot)?;
    let refused = |error: rusqlite::Error| Error::invalid(format!("The SQLite file cannot be read: {error}."));
    let connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection = connection.map_err(refused)?;
    // Nothing in it is trusted: its triggers and views do not run, its pages are looked through first.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(refused)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(refused)?;
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA query_only = ON").map_err(refused)?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(refused)?;
    if found != "ok" {
        return Err(Error::invalid(format!("The SQLite file is damaged: {found}.")));
    }
    let mut script = tempfile::tempfile_in(folder).map_err(cannot)?;
    Export::Dump(Dump::default()).write(&connection, &mut script, &mut |_| Ok(()))?;
    Ok(script)
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
