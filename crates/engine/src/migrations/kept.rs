//! What has been applied to this database: `_tide_migrations`, one row each.

use super::file::{Migration, Script, label};
use crate::changes::change::Revision;
use crate::error::Result;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub number: i64,
    pub name: String,
    pub checksum: String,
    /// The way back as it was then, for when the file is gone.
    pub down: Option<String>,
    /// In seconds since 1970.
    pub applied_at: i64,
    pub revision: Revision,
    pub who: String,
}

impl Applied {
    pub fn label(&self) -> String {
        label(self.number, &self.name)
    }

    pub fn down(&self) -> Option<Script> {
        self.down.clone().map(|text| Script { text, first_line: 1 })
    }
}

/// When, in which revision and by whom something is applied.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub time_ms: i64,
    pub revision: Revision,
    pub who: &'a str,
}

/// All of them in their order; none in a file that has no such table yet.
pub fn list(connection: &Connection) -> Result<Vec<Applied>> {
    let has_table = connection
        .prepare("SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = '_tide_migrations'")?
        .exists([])?;
    if !has_table {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(
        "SELECT number, name, checksum, down, applied_at, revision, who FROM main._tide_migrations ORDER BY number",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Applied {
            number: row.get(0)?,
            name: row.get(1)?,
            checksum: row.get(2)?,
            down: row.get(3)?,
            applied_at: row.get(4)?,
            revision: row.get(5)?,
            who: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn keep(connection: &Connection, migration: &Migration, moment: Moment<'_>) -> Result<()> {
    let Migration { number, name, checksum, down, .. } = migration;
    let down = down.as_ref().map(|script| script.text.as_str());
    connection
        .prepare_cached(
            "INSERT INTO _tide_migrations (number, name, checksum, down, applied_at, revision, who)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((number, name, checksum, down, moment.time_ms / 1000, moment.revision, moment.who))?;
    Ok(())
}

pub fn forget(connection: &Connection, number: i64) -> Result<()> {
    connection.prepare_cached("DELETE FROM _tide_migrations WHERE number = ?1")?.execute([number])?;
    Ok(())
}
