//! Documents one at a time and a page at a time, by SQL that goes the way of any SQL of whoever asks: a caller meets its policies, the
//! administrator none. A document that is hidden is as one that is not there.

use super::filter::Sql;
use super::path::{CollectionPath, DocumentPath};
use super::query::{Aggregate, Cursor, Query};
use super::{Presence, presence, stored};
use crate::access::policy::Action;
use crate::access::{Access, Role};
use crate::changes::change::Revision;
use crate::error::{Error, Result};
use crate::json;
use crate::sqlite::exclude::quoted;
use crate::sqlite::{Sqlite, Statement};
use crate::storage::execute::{self, Place, Rights};
use crate::value::{Params, Value, ValueRef};
use std::ops::ControlFlow;

/// A page ends early when its documents are this long together.
const PAGE_BYTES: usize = 8 << 20;

/// One document as it is told. `data` is JSON text.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub path: String,
    pub id: String,
    pub data: String,
    pub revision: Option<Revision>,
}

impl Document {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        json::write_str(out, &self.id);
        out.extend_from_slice(b",\"path\":");
        json::write_str(out, &self.path);
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(self.data.as_bytes());
        out.extend_from_slice(b",\"revision\":");
        match self.revision {
            Some(revision) => json::write_integer(out, revision),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
}

/// One page of a query.
#[derive(Debug, Default)]
pub struct Page {
    pub documents: Vec<Document>,
    /// Where the next one begins, if there may be more.
    pub after: Option<Cursor>,
}

/// Whose documents, and where. The connection speaks for whoever asks already, bounded in time.
pub struct Desk<'a> {
    pub sqlite: &'a mut Sqlite,
    pub access: &'a Access,
    /// None is the administrator.
    pub role: Option<Role>,
    pub place: Place<'a>,
}

/// What is true of one document of the collection, and of no other: of a path's ids, bound by [`ids`].
pub(super) fn place(collection: &CollectionPath) -> &'static str {
    if collection.parent.is_some() { "parent = ?1 AND id = ?2" } else { "id = ?1" }
}

pub(super) fn ids(path: &DocumentPath) -> Vec<Value> {
    path.collection.parent.iter().chain([&path.id]).map(|id| Value::text(&**id)).collect()
}

/// The statement that reads one document of the collection.
pub(super) fn read_sql(collection: &CollectionPath) -> String {
    format!("SELECT id, data, revision FROM {} WHERE {}", quoted(&collection.table), place(collection))
}

impl Desk<'_> {
    /// `None` if it is not there, or hidden.
    ///
    /// # Errors
    /// `forbidden` if no policy shows any document of the collection to the role.
    pub fn get(&mut self, path: &DocumentPath) -> Result<Option<Document>> {
        if !self.is_there(&path.collection)? {
            return Ok(None);
        }
        let mut found = None;
        self.run(&read_sql(&path.collection), ids(path), &mut |row| {
            found = document(row, 0, &path.collection);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// # Errors
    /// As [`Desk::get`].
    pub fn list(&mut self, query: &Query) -> Result<Page> {
        let mut page = Page::default();
        if !self.is_there(&query.collection)? {
            return Ok(page);
        }
        let limit = query.limit.unwrap_or(super::query::LIMIT_DEFAULT);
        // One more tells whether there are more.
        let Sql { text, values } = Query { limit: Some(limit + 1), ..query.clone() }.sql();
        let first = usize::from(query.collection.is_group());
        let (mut rows, mut bytes, mut has_more) = (0, 0, false);
        self.run(&text, values, &mut |row| {
            if rows == limit || bytes > PAGE_BYTES {
                has_more = true;
                return ControlFlow::Break(());
            }
            rows += 1;
            bytes += match row.column(first + 1) {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
                _ => 0,
            };
            let is_group = query.collection.is_group();
            // Rows that are no documents are passed over, and the next page begins behind them.
            let values = (first + 3..row.column_count()).map(|column| row.column(column).into()).collect();
            let parent = is_group.then(|| row.column(0).into());
            page.after = Some(Cursor { values, parent, id: row.column(first).into() });
            let collection = if is_group { of_row(row, &query.collection) } else { Some(query.collection.clone()) };
            if let Some(document) = collection.and_then(|collection| document(row, first, &collection)) {
                bytes += document.path.len();
                page.documents.push(document);
            }
            ControlFlow::Continue(())
        })?;
        if !has_more {
            page.after = None;
        }
        Ok(page)
    }

    /// One value for each.
    ///
    /// # Errors
    /// As [`Desk::get`].
    pub fn aggregate(&mut self, query: &Query, aggregates: &[Aggregate]) -> Result<Vec<Value>> {
        if !self.is_there(&query.collection)? {
            let of_nothing = |aggregate: &Aggregate| match aggregate {
                Aggregate::Count | Aggregate::Sum(_) => Value::Integer(0),
                Aggregate::Average(_) => Value::Null,
            };
            return Ok(aggregates.iter().map(of_nothing).collect());
        }
        let Sql { text, values } = query.aggregate_sql(aggregates);
        let mut found = Vec::new();
        self.run(&text, values, &mut |row| {
            found = (0..row.column_count()).map(|column| row.column(column).into()).collect();
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Is there such a collection? To a caller one that is closed is none.
    pub(super) fn is_there(&self, collection: &CollectionPath) -> Result<bool> {
        let schema = &self.access.schema;
        if let Some(role) = self.role {
            let is_open = self.access.policies_for(&collection.table, Action::Select, role).next().is_some();
            if !is_open || presence(schema, &collection.table) != Presence::Collection {
                return Err(closed(&collection.table));
            }
            return Ok(true);
        }
        super::refuse_foreign(schema, &collection.table)?;
        Ok(presence(schema, &collection.table) == Presence::Collection)
    }

    pub(super) fn run(
        &mut self,
        sql: &str,
        values: Vec<Value>,
        row: &mut dyn FnMut(&Statement) -> ControlFlow<()>,
    ) -> Result<u64> {
        let rights = self.role.map(|role| Rights { access: self.access, role });
        execute::run_rows(self.sqlite, sql, &Params::Positional(values), rights, self.place, row)
    }
}

pub(super) fn closed(table: &str) -> Error {
    Error::forbidden(format!("There is no collection {table} that is open to you."))
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}

/// Which collection of a group the row, whose first column is `parent`, is of; `None` if no path names it.
fn of_row(row: &Statement, group: &CollectionPath) -> Option<CollectionPath> {
    let parent = text(row.column(0)).filter(|parent| stored::is_parent(parent, group))?;
    Some(CollectionPath { table: group.table.clone(), parent: Some(parent.into()) })
}

/// `id`, `data` and `revision` from a column on; `None` if that is no document.
fn document(row: &Statement, first: usize, collection: &CollectionPath) -> Option<Document> {
    let id = text(row.column(first)).filter(|id| stored::is_id(id))?;
    let data = text(row.column(first + 1)).filter(|data| stored::is_object(data))?;
    let revision = match row.column(first + 2) {
        ValueRef::Integer(revision) => Some(revision),
        _ => None,
    };
    Some(Document { path: format!("{collection}/{id}"), id, data, revision })
}
