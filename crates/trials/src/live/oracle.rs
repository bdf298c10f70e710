//! What is right: each query run now, on a plain connection of its own to the same file.

use super::cells;
use super::image::{self, Image, Shape};
use crate::world::query::{self, Query};
use rusqlite::config::DbConfig;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Statement, ToSql};
use std::path::Path;
use std::rc::Rc;
use tidebase_engine::{Params, Value};

pub struct Oracle {
    connection: Connection,
    shapes: Vec<Rc<Shape>>,
    schema_version: i64,
}

/// A result as it must be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    pub columns: Vec<String>,
    /// In the query's order, or sorted if it has none.
    pub rows: Vec<String>,
}

impl Oracle {
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0")?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Where SQL leaves a choice open, the plan decides, so the plan must be that of the engine's connections: one
        // that does not look at what is bound.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_prepared_statement_cache_capacity(96);
        Ok(Self { connection, shapes: vec![], schema_version: -1 })
    }

    /// One without a file, for the time when nobody may have it open.
    pub fn closed() -> rusqlite::Result<Self> {
        Self::open(Path::new(":memory:"))
    }

    /// Opens a snapshot in which all that follows is run.
    pub fn begin(&mut self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        let version = self.connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))?;
        if version != self.schema_version {
            self.connection.flush_prepared_statement_cache();
            self.shapes = image::shapes(&self.connection)?;
            self.schema_version = version;
        }
        Ok(())
    }

    pub fn end(&mut self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Changes when another connection has committed.
    pub fn data_version(&self) -> rusqlite::Result<i64> {
        self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// Is nothing wrong with the file?
    pub fn is_whole(&self) -> rusqlite::Result<bool> {
        Ok(self.integrity()? == "ok")
    }

    /// What SQLite finds wrong with the file first, or `ok`.
    pub fn integrity(&self) -> rusqlite::Result<String> {
        self.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))
    }

    /// # Errors
    /// SQLite's, if the query cannot be run now.
    pub fn run(&self, query: &Query) -> rusqlite::Result<Expected> {
        let mut plain = self.connection.prepare_cached(&query.sql())?;
        // SQLite takes a comment behind the last column into its name, which Tidebase does not.
        let name = |name: &str| name.strip_suffix(query::COMMENT).unwrap_or(name).to_owned();
        let columns: Vec<String> = plain.column_names().map(name).collect();
        if query.order.is_none() {
            let mut rows = run(&mut plain, &query.params())?;
            rows.sort_unstable();
            return Ok(Expected { columns, rows });
        }
        let mut total = self.connection.prepare_cached(&query.with_ties_broken(columns.len()))?;
        Ok(Expected { columns, rows: run(&mut total, &query.params())? })
    }

    /// All tables' rows in a snapshot of its own.
    pub fn image_now(&mut self) -> rusqlite::Result<Image> {
        self.begin()?;
        let image = self.image(None);
        self.end()?;
        image
    }

    /// All tables' rows, or one's.
    pub fn image(&self, table: Option<&str>) -> rusqlite::Result<Image> {
        Image::read(&self.connection, &self.shapes, table)
    }
}

fn run(statement: &mut Statement<'_>, params: &Params) -> rusqlite::Result<Vec<String>> {
    bind(statement, params)?;
    let columns = statement.column_count();
    let mut shown = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let mut text = String::new();
        for column in 0..columns {
            if column > 0 {
                text.push_str(", ");
            }
            cells::push_value(&mut text, row.get_ref(column)?);
        }
        shown.push(text);
    }
    Ok(shown)
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0.as_ref()))
    }
}

/// Binds what the engine would be sent.
pub fn bind(statement: &mut Statement<'_>, params: &Params) -> rusqlite::Result<()> {
    match params {
        Params::None => {}
        Params::Positional(values) => {
            for (index, value) in (1..).zip(values) {
                statement.raw_bind_parameter(index, Bound(value))?;
            }
        }
        Params::Named(values) => {
            for (name, value) in values {
                if let Some(index) = statement.parameter_index(&format!(":{name}"))? {
                    statement.raw_bind_parameter(index, Bound(value))?;
                }
            }
        }
    }
    Ok(())
}
