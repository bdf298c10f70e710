//! Documents: JSON objects with an id, in collections, which are ordinary tables open to SQL like any other.
//!
//! | file | |
//! |---|---|
//! | [`path`] | where they are: `rooms/r1/messages/m1` |
//! | [`fields`] | parts of them, and what a write can do to one |
//! | [`filter`], [`query`] | which ones, in which order |
//! | [`desk`] | one at a time, as whoever asks |
//! | [`write`] | several at a time: all or none |
//! | [`awaited`] | live ones, before there is a collection |
//! | [`stored`] | what SQL may have put there that is none |
//!
//! `revision` is that of the document's last write, by whatever path it came: writers leave it empty, a trigger empties it when SQL
//! changes the document, and before the request ends [`stamp`] fills it in. What callers see and change is what policies on the
//! table say, for each statement here is one of theirs.

pub mod awaited;
pub mod desk;
pub mod fields;
pub mod filter;
pub mod path;
pub mod query;
pub mod stored;
pub mod write;

pub use desk::Document;
pub use path::{CollectionPath, DocumentPath, Path};
pub use query::Query;
pub use write::{Batch, Change, DocumentWrite};

use crate::changes::change::Revision;
use crate::error::{Error, Result};
use crate::sqlite::exclude::quoted;
use crate::sqlite::gate::is_system;
use crate::sqlite::schema::{Relation, Schema, Table};
use rusqlite::Connection;
use std::sync::Arc;

/// Begins the name of the trigger by which a table is known to be a collection; nobody else can make one of such a name.
pub const TRIGGER: &str = "_tide_document_";

/// The statements that make a collection's table.
fn layout(table: &str) -> String {
    let name = quoted(table);
    let unstamped = quoted(&format!("{table} unstamped"));
    let ids = |column: &str, number: usize| {
        format!("{column} TEXT NOT NULL CONSTRAINT \"{column} of a document\" CHECK ({})", are_ids(column, number))
    };
    let id = ids("id", 1);
    let (columns, key) = match table.matches('/').count() {
        0 => (id, "PRIMARY KEY (id)"),
        above => (format!("{}, {id}", ids("parent", above)), "PRIMARY KEY (parent, id)"),
    };
    format!(
        "CREATE TABLE {name} (
           {columns},
           data JSON NOT NULL CHECK (typeof(data) = 'text' AND instr(data, char(0)) = 0
             AND CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE 0 END),
           revision INTEGER, {key});
         CREATE INDEX {unstamped} ON {name} (id) WHERE revision IS NULL;
         {};",
        trigger(table)
    )
}

/// What empties a document's revision when SQL changes it.
fn trigger(table: &str) -> String {
    let (name, trigger) = (quoted(table), quoted(&format!("{TRIGGER}{table}")));
    let watched = if table.contains('/') { "parent, id, data" } else { "id, data" };
    format!(
        "CREATE TRIGGER {trigger} AFTER UPDATE OF {watched} ON {name} WHEN new.revision IS old.revision
         BEGIN UPDATE {name} SET revision = NULL WHERE rowid = new.rowid; END"
    )
}

/// That the column has so many ids with slashes between them, each such as a path can name: no part of [`stored::is_id`] but for its length.
fn are_ids(column: &str, number: usize) -> String {
    let lies_within = format!("'/' || {column} || '/'");
    let odd = ["//", "/./", "/../", "/*/"].map(|part| format!("instr({lies_within}, '{part}') = 0")).join(" AND ");
    format!(
        "typeof({column}) = 'text' AND instr({column}, char(0)) = 0 AND {odd}
           AND {column} NOT GLOB '*[' || char(1, 45, 31, 127, 45, 159) || ']*'
           AND length({column}) - length(replace({column}, '/', '')) = {}",
        number - 1
    )
}

/// What stands in the schema under the name of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Absent,
    Collection,
    /// A table, or a view, that somebody made for other purposes.
    Foreign,
}

pub fn presence(schema: &Schema, table: &str) -> Presence {
    match schema.get(table) {
        None => Presence::Absent,
        Some(Relation::Table(table)) if is_collection(table) => Presence::Collection,
        Some(_) => Presence::Foreign,
    }
}

pub fn is_collection(table: &Table) -> bool {
    let has = |name: &str| table.columns.iter().any(|column| &*column.name == name);
    let is_ours = |trigger: &&str| trigger.starts_with(TRIGGER);
    ["id", "data", "revision"].into_iter().all(has)
        && table.triggers.iter().map(|name| &**name).any(|name| is_ours(&name))
}

/// # Errors
/// `conflict` if the name is taken by something else.
pub fn refuse_foreign(schema: &Schema, table: &str) -> Result<()> {
    if presence(schema, table) == Presence::Foreign {
        return Err(Error::conflict(format!(
            "There is a table or view {table} that is no collection: its rows are at /rest/{table}."
        )));
    }
    Ok(())
}

/// Makes the table.
pub fn make(connection: &Connection, table: &str) -> Result<()> {
    Ok(connection.execute_batch(&layout(table))?)
}

/// Makes a collection of a table that was one in another database; one that is one already stays as it is. Its documents count as
/// written now.
///
/// # Errors
/// SQLite's own if the table is not there, or has not the columns.
pub fn adopt(connection: &Connection, table: &str) -> Result<()> {
    let is_one = connection
        .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = ?1")?
        .exists([format!("{TRIGGER}{table}")])?;
    if is_one {
        return Ok(());
    }
    let columns = connection
        .prepare("SELECT count(*) FROM pragma_table_info(?1) WHERE name IN ('id', 'data', 'revision')")?
        .query_row([table], |row| row.get::<_, i64>(0))?;
    if is_system(table) || columns != 3 {
        return Err(Error::invalid(format!("{table} cannot be a collection: it has not the columns of one.")));
    }
    connection.execute_batch(&trigger(table))?;
    Ok(connection.execute_batch(&format!("UPDATE {} SET revision = NULL", quoted(table)))?)
}

/// As ISO 8601 in UTC with milliseconds, which sorts as it passes and which SQLite's date functions read.
pub fn timestamp(connection: &Connection, time_ms: i64) -> Result<String> {
    let mut statement = connection.prepare_cached("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', ?1 / 1000.0, 'unixepoch')")?;
    Ok(statement.query_row([time_ms], |row| row.get(0))?)
}

/// The collections of a file. Few enough to be asked one by one.
#[derive(Debug, Default)]
pub struct Collections(Vec<Arc<Table>>);

impl Collections {
    pub fn of(schema: &Schema) -> Self {
        Self(schema.tables().filter(|table| is_collection(table)).cloned().collect())
    }

    /// Their names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().map(|table| &*table.name).collect();
        names.sort_unstable();
        names
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives documents that were touched, or have no revision, this one: of these tables, or of all. Where it is not known which were
    /// touched, all documents count as written. No trigger of the administrator's runs for it.
    pub fn stamp(
        &self,
        connection: &Connection,
        tables: Option<&[Box<str>]>,
        touched: impl Fn(&str) -> Option<Vec<i64>>,
        revision: Revision,
    ) -> Result<()> {
        use rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER as TRIGGERS;
        for table in &self.0 {
            if tables.is_some_and(|tables| !tables.iter().any(|name| name.eq_ignore_ascii_case(&table.name))) {
                continue;
            }
            let others = table.triggers.len() > 1;
            if others {
                connection.set_db_config(TRIGGERS, false)?;
            }
            let sql = format!("UPDATE main.{} SET revision = ?1 WHERE ", quoted(&table.name));
            let touched = touched(&table.name);
            let which = if touched.is_some() { "revision IS NULL" } else { "revision IS NOT ?1" };
            let unstamped = connection.prepare_cached(&format!("{sql} {which}"));
            let mut stamped = unstamped.and_then(|mut stamp| stamp.execute([revision]));
            // Whoever may write a document may set its revision, too; that counts for nothing.
            for rowid in touched.into_iter().flatten() {
                let one = connection.prepare_cached(&format!("{sql} rowid = ?2 AND revision IS NOT ?1"));
                stamped = stamped.and(one.and_then(|mut stamp| stamp.execute([revision, rowid])));
            }
            if others {
                connection.set_db_config(TRIGGERS, true)?;
            }
            stamped?;
        }
        Ok(())
    }
}
