//! An SQLite file that is sent never becomes the database, nor a part of it: it is read as the script that makes it again, which then is
//! imported like any other.

use crate::error::{Error, Result};
use crate::export::{Dump, Export};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io::{Read as _, Seek as _, copy};
use std::path::Path;

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
    let place = tempfile::tempdir_in(folder).map_err(cannot)?;
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

fn cannot(error: std::io::Error) -> Error {
    Error::unavailable(format!("The file cannot be kept until it is imported: {error}.")).caused_by(error)
}
