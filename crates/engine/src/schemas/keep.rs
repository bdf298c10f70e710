//! Schemas as they are kept and shown.

use super::Kept;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::logs::AuditEntry;
use crate::sqlite::Sqlite;
use crate::sqlite::gate::{Mode, is_system};
use crate::sqlite::schema::{Address, Relation, Schema};
use crate::value::Value;
use rusqlite::Connection;
use std::time::Instant;

/// Bytes of a schema, and how many there may be.
pub const SCHEMA_BYTES_MAX: usize = 64 << 10;
pub const SCHEMAS_MAX: usize = 1000;

/// What can be done with schemas.
#[derive(Clone, Debug)]
pub enum SchemaWrite {
    /// In the place of the column's other.
    Keep {
        table: String,
        column: String,
        schema: String,
    },
    Drop {
        table: String,
        column: String,
    },
}

impl SchemaWrite {
    pub fn audited(&self, who: &str) -> AuditEntry {
        let (what, table, column) = match self {
            Self::Keep { table, column, .. } => ("JSON Schema kept", table, column),
            Self::Drop { table, column } => ("JSON Schema dropped", table, column),
        };
        AuditEntry::new(who, what, serde_json::json!({ "table": table, "column": column }))
    }
}

/// Table, column and schema of each.
pub const LIST: &str = "SELECT \"table\", \"column\", schema FROM _tide_schemas ORDER BY 1, 2";

type Row = (String, String, String);

pub(super) fn load(connection: &Connection) -> Result<Vec<Row>> {
    let mut list = connection.prepare_cached(LIST)?;
    let rows = list.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// As rows of the catalogue were asked for.
pub fn list(rows: Vec<Vec<Value>>) -> Vec<Row> {
    let text = |value: Option<Value>| match value {
        Some(Value::Text(text)) => String::from_utf8_lossy(&text).into_owned(),
        _ => String::new(),
    };
    let row = |row: Vec<Value>| {
        let mut cells = row.into_iter();
        (text(cells.next()), text(cells.next()), text(cells.next()))
    };
    rows.into_iter().map(row).collect()
}

/// The table and the column as the schema has them.
pub(super) fn column(schema: &Schema, table: &str, column: &str) -> Result<(Box<str>, Box<str>)> {
    let found = match schema.get(table).filter(|_| !is_system(table)) {
        Some(Relation::Table(table)) if table.address != Address::None => table,
        Some(_) => return Err(Error::invalid(format!("The rows of {table} cannot be judged one by one."))),
        None => return Err(Error::not_found(format!("There is no table {table}."))),
    };
    let is_it = |known: &&crate::sqlite::schema::Column| known.name.eq_ignore_ascii_case(column) && !known.is_virtual;
    let there = found.columns.iter().find(is_it);
    let there = there.ok_or_else(|| Error::not_found(format!("There is no column {column} in {table}.")))?;
    Ok((found.name.clone(), there.name.clone()))
}

/// Does it, on the writer's connection. Gives the JSON of the answer.
///
/// # Errors
/// `conflict` if there is a document that does not fit.
pub fn run(sqlite: &mut Sqlite, schema: &Schema, write: &SchemaWrite, limits: &Limits) -> Result<Vec<u8>> {
    match write {
        SchemaWrite::Keep { table, column: name, schema: text } => {
            let (table, name) = column(schema, table, name)?;
            if text.len() > SCHEMA_BYTES_MAX {
                return Err(Error::too_large(format!("A JSON Schema may have {SCHEMA_BYTES_MAX} bytes.")));
            }
            let kept = Kept::new(&name, text)?;
            let time = limits.write_time_max;
            let judged = sqlite.bounded(time, None, Mode::Open, |sqlite| {
                kept.judge_table(&sqlite.own, &table, Instant::now() + time, &|_, _| true)
            });
            // What is there already is no mistake of this request.
            judged.map_err(|error| match error.code {
                crate::Code::Invalid => Error { code: crate::Code::Conflict, ..error },
                _ => error,
            })?;
            let count: i64 = sqlite.own.query_row("SELECT count(*) FROM _tide_schemas", [], |row| row.get(0))?;
            if count >= SCHEMAS_MAX as i64 {
                return Err(Error::too_many(format!("There are {SCHEMAS_MAX} JSON Schemas, all there may be.")));
            }
            sqlite.own.execute(
                "INSERT INTO _tide_schemas (\"table\", \"column\", schema) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET schema = excluded.schema",
                (&*table, &*name, text),
            )?;
            Ok(b"true".to_vec())
        }
        SchemaWrite::Drop { table, column } => {
            let dropped = sqlite.own.execute(
                "DELETE FROM _tide_schemas WHERE \"table\" = ?1 COLLATE NOCASE AND \"column\" = ?2 COLLATE NOCASE",
                [table, column],
            )?;
            if dropped == 0 {
                return Err(Error::not_found(format!("There is no JSON Schema for {column} of {table}.")));
            }
            Ok(b"true".to_vec())
        }
    }
}
