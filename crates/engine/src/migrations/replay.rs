//! Databases in memory, without rows: what migrations give when they are applied to an empty one, and one of a given shape. Comparing
//! schemas is comparing these, so that SQLite says what its SQL means.

use super::file::{Migration, Script};
use super::run::Stage;
use super::shape::Shape;
use super::statement::Deed;
use crate::access::policy;
use crate::documents;
use crate::error::{Error, Result};
use crate::keys;
use crate::limits::Limits;
use crate::sqlite::budget::Cancel;
use crate::sqlite::{Sqlite, open};
use crate::storage::system;
use std::time::Instant;

/// An empty database, as a server would make it.
fn empty() -> Result<Sqlite> {
    let mut sqlite = open::in_memory()?;
    // What fails is undone here, too.
    sqlite.own.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA recursive_triggers = ON;")?;
    system::prepare(&mut sqlite.own, false)?;
    Ok(sqlite)
}

/// All of them applied to an empty database.
///
/// # Errors
/// That of the first one that fails there.
pub fn of_migrations(files: &[Migration]) -> Result<Sqlite> {
    let mut sqlite = empty()?;
    for file in files {
        apply(&mut sqlite, &file.label, &file.up).map_err(|error| Error {
            message: format!("On an empty database the migrations fail: {}", error.message),
            ..error
        })?;
    }
    Ok(sqlite)
}

/// # Errors
/// SQLite's own, for what another SQLite has made.
pub fn of_shape(shape: &Shape) -> Result<Sqlite> {
    let sqlite = empty()?;
    let (virtuals, tables): (Vec<_>, Vec<_>) = shape.tables().partition(|table| table.is_virtual());
    for object in tables.into_iter().chain(virtuals) {
        sqlite.own.execute_batch(&object.sql)?;
    }
    for name in &shape.collections {
        documents::adopt(&sqlite.own, name)?;
    }
    let speaks_of_keys = shape.others().any(|object| object.table.eq_ignore_ascii_case(keys::TABLE));
    if speaks_of_keys && shape.find("table", keys::TABLE).is_none() {
        keys::make(&sqlite.own)?;
    }
    for object in shape.others() {
        sqlite.own.execute_batch(&object.sql)?;
    }
    for kept in &shape.policies {
        policy::keep(&sqlite.own, kept)?;
    }
    Ok(sqlite)
}

/// One script in a transaction of its own, as the writer runs it.
///
/// # Errors
/// As [`Stage::run`].
pub fn apply(sqlite: &mut Sqlite, label: &str, script: &Script) -> Result<()> {
    let statements = script.statements()?;
    let ignores = statements.first().is_some_and(|first| first.deed == Deed::IgnoreReferences);
    sqlite.own.execute_batch(if ignores {
        "PRAGMA foreign_keys = OFF; BEGIN"
    } else {
        "PRAGMA foreign_keys = ON; BEGIN"
    })?;
    let until = Instant::now() + Limits::default().migration_time_max;
    let done = Stage { sqlite, cancel: Cancel::default(), until }.run(label, script);
    if done.is_err() && !sqlite.is_autocommit() {
        sqlite.own.execute_batch("ROLLBACK")?;
    }
    done?;
    Ok(sqlite.own.execute_batch("COMMIT")?)
}
