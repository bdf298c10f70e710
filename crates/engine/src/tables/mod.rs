//! The tables as faces describe and address them: columns, types, keys, and what refers to what.
//!
//! [`Tables`] is what one role may know of: everything for the administrator, and for a caller only what some policy opens
//! ([`open`]). It is read from the file's schema ([`load`]) when it is first asked for after a change. What capture and live
//! queries need of the schema is in [`crate::sqlite::schema`].

pub mod load;
pub mod open;

use crate::access::{Access, Role};
use crate::error::Result;
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What may be done with a table or a column, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open(u8);

impl Open {
    pub const NOTHING: Self = Self(0);
    pub const READ: Self = Self(1);
    pub const INSERT: Self = Self(2);
    pub const UPDATE: Self = Self(4);
    pub const DELETE: Self = Self(8);
    /// A write of it may tell it, in RETURNING: keys may be told also where rows cannot be read.
    pub const TOLD: Self = Self(16);
    pub const EVERYTHING: Self = Self(31);

    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Table,
    View,
    Virtual,
    /// A virtual table keeps its data in it.
    Shadow,
}

/// What a column's declared type says of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Integer,
    Real,
    /// Whatever SQLite takes for NUMERIC: decimals, dates.
    Numeric,
    Boolean,
    Text,
    Blob,
    /// JSON text, by its declared type, by a CHECK with `json_valid`, or by a JSON Schema of its own.
    Json,
    /// Nothing is said.
    Any,
}

#[derive(Clone, Debug)]
pub struct Column {
    pub name: Box<str>,
    /// As written in the schema.
    pub declared: Box<str>,
    pub kind: Kind,
    pub is_not_null: bool,
    /// Its SQL text.
    pub default: Option<Box<str>>,
    pub is_generated: bool,
    /// The JSON Schema that its documents must fit.
    pub schema: Option<Box<str>>,
    /// An INTEGER PRIMARY KEY: SQLite finds a value for it by itself.
    pub is_rowid: bool,
    pub open: Open,
}

/// A foreign key.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Indexes of its columns.
    pub columns: Vec<usize>,
    pub parent: Box<str>,
    /// As many; names, as the parent may have other columns by now.
    pub parent_columns: Vec<Box<str>>,
}

/// A CHECK of the table.
#[derive(Clone, Debug)]
pub struct Check {
    /// What SQLite calls it when it fails: its name, or its text.
    pub called: Box<str>,
    /// Indexes of the columns it mentions.
    pub columns: Vec<usize>,
}

/// A table, or something else that has columns.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: Box<str>,
    pub relation: Relation,
    pub is_strict: bool,
    pub columns: Vec<Column>,
    /// Indexes of the primary key's columns, in key order; empty if there is none.
    pub key: Vec<usize>,
    pub references: Vec<Reference>,
    pub checks: Vec<Check>,
    pub open: Open,
}

impl Table {
    /// A column's index by its name, in whatever case.
    pub fn find(&self, column: &str) -> Option<usize> {
        let is_it = |known: &Column| known.name.eq_ignore_ascii_case(column);
        self.columns.iter().position(|known| *known.name == *column).or_else(|| self.columns.iter().position(is_it))
    }

    /// Indexes of the columns that are open for this.
    pub fn columns_open(&self, what: Open) -> Vec<usize> {
        (0..self.columns.len()).filter(|&index| self.columns[index].open.has(what)).collect()
    }

    /// Has it a key, of columns that are all open for this?
    pub fn has_key(&self, what: Open) -> bool {
        !self.key.is_empty() && self.key.iter().all(|&column| self.columns[column].open.has(what))
    }

    /// Must an insert name the column?
    pub fn is_required(&self, column: usize) -> bool {
        let column = &self.columns[column];
        column.is_not_null && column.default.is_none() && !column.is_generated && !column.is_rowid
    }
}

/// What one role may know of, by name.
#[derive(Debug, Default)]
pub struct Tables {
    tables: Vec<Arc<Table>>,
    by_name: HashMap<Box<str>, usize>,
}

impl Tables {
    pub fn new(mut tables: Vec<Arc<Table>>) -> Self {
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        let by_name = tables.iter().enumerate().map(|(index, table)| (table.name.to_ascii_lowercase().into(), index));
        let by_name = by_name.collect();
        Self { tables, by_name }
    }

    /// By name, in whatever case.
    pub fn get(&self, name: &str) -> Option<&Arc<Table>> {
        self.by_name.get(name.to_ascii_lowercase().as_str()).map(|&index| &self.tables[index])
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.iter()
    }
}

/// What was described last, until the schema or the policies change.
#[derive(Debug, Default)]
pub struct Described(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// SQLite's counter of schema changes and ours, which stand in the file, and that of policies.
    versions: (i64, i64, u64),
    all: Option<Arc<Tables>>,
    /// By role.
    open: [Option<Arc<Tables>>; 3],
}

impl Described {
    /// The tables as they are in this connection's snapshot: all of them, or those that are open to a role.
    pub fn current(&self, connection: &Connection, of: Option<(Role, &Access)>) -> Result<Arc<Tables>> {
        // Asked first: the statement that asks begins the snapshot, and the schema is read within it or after it.
        let version: i64 = connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))?;
        let epoch_there = crate::storage::system::number(connection, "schema_epoch")?.unwrap_or(0);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = of.map_or(kept.versions.2, |(_, access)| access.epoch);
        if (kept.versions.0, kept.versions.1) != (version, epoch_there) {
            kept.all = None;
        }
        if kept.versions != (version, epoch_there, epoch) {
            kept.versions = (version, epoch_there, epoch);
            kept.open = Default::default();
        }
        let all = match &kept.all {
            Some(all) => Arc::clone(all),
            None => Arc::clone(kept.all.insert(Arc::new(load::load(connection)?))),
        };
        let Some((role, access)) = of else { return Ok(all) };
        let open = kept.open[role as usize].get_or_insert_with(|| Arc::new(open::to_role(&all, access, role)));
        Ok(Arc::clone(open))
    }
}
