//! A change set: the net difference one request made, at its own revision.

use crate::value::Value;
use std::sync::Arc;

pub type Revision = i64;

/// A table as it was when the changes were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub table: Box<str>,
    pub columns: Vec<Box<str>>,
    /// Indexes of the primary key's columns; empty means that the rowid is the key.
    pub key: Vec<usize>,
    /// Columns that are computed, not stored: absent (NULL) in `old` images.
    pub is_virtual: Vec<bool>,
}

/// A row that came (`old` is none), went (`new` is none) or changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Index into [`Rows::shapes`].
    pub shape: usize,
    /// 0 for a WITHOUT ROWID table.
    pub rowid: i64,
    pub old: Option<Box<[Value]>>,
    pub new: Option<Box<[Value]>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    pub shapes: Vec<Arc<Shape>>,
    /// In the order in which the rows were first touched.
    pub changes: Vec<Change>,
    /// Tables that changed in a way rows cannot tell: virtual tables, and tables whose rowid has no name. Lower case.
    pub opaque: Vec<Box<str>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Extent {
    Rows(Rows),
    /// Anything may have changed: another program wrote, the schema changed, or there was too much to keep.
    Everything {
        schema: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct ChangeSet {
    pub revision: Revision,
    pub extent: Extent,
}

impl Shape {
    /// Are these columns, by index and name, still where they were?
    pub fn has<'a>(&self, mut columns: impl Iterator<Item = (usize, &'a str)>) -> bool {
        columns.all(|(index, name)| self.columns.get(index).is_some_and(|column| column.eq_ignore_ascii_case(name)))
    }
}

impl Rows {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.opaque.is_empty()
    }

    pub fn size(&self) -> usize {
        self.changes.iter().map(Change::size).sum()
    }
}

impl Change {
    pub fn size(&self) -> usize {
        let image = |row: &Option<Box<[Value]>>| row.as_ref().map_or(0, |row| row.iter().map(Value::size).sum());
        32 + image(&self.old) + image(&self.new)
    }

    /// The wire's word for it.
    pub fn operation(&self) -> &'static str {
        match (&self.old, &self.new) {
            (None, _) => "INSERT",
            (Some(_), None) => "DELETE",
            (Some(_), Some(_)) => "UPDATE",
        }
    }
}

impl ChangeSet {
    pub fn size(&self) -> usize {
        match &self.extent {
            Extent::Rows(rows) => 64 + rows.size(),
            Extent::Everything { .. } => 64,
        }
    }
}
