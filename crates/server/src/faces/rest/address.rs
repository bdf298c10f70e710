//! The path: which table, and which row of it.

use crate::faces::query_string::decode_path;
use std::sync::Arc;
use tidebase_engine::access::passage::closed;
use tidebase_engine::tables::{Open, Table, Tables};
use tidebase_engine::{Error, Principal, Result, Value};

use super::cell;

#[derive(Debug)]
pub struct Address {
    pub table: Arc<Table>,
    /// The values of its primary key's columns.
    pub id: Option<Vec<Value>>,
}

/// The only schema there is.
const SCHEMA: &str = "main";

/// Takes the path as it was sent: in a key of several columns a comma of a value is written %2C, and a slash always %2F.
///
/// # Errors
/// `not_found` for a table that is not there; for a caller, as the SQL face says it, `forbidden`.
pub fn find(path: &str, tables: &Tables, principal: &Principal) -> Result<Address> {
    let path = path.strip_prefix("/rest/").unwrap_or(path);
    let mut parts: Vec<&str> = path.split('/').collect();
    if parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    let names = parts.iter().map(|part| decode_path(part)).collect::<Result<Vec<String>>>()?;
    // A table may be called `main`, too.
    let is_there = |at: usize| names.get(at).is_some_and(|name| tables.get(name).is_some());
    let starts_with_schema = parts.len() > 1 && names[0] == SCHEMA && (is_there(1) || !is_there(0));
    let at = usize::from(starts_with_schema);
    let name = &names[at];
    let table = tables.get(name).ok_or_else(|| missing(name, principal))?;
    if parts.len() > at + 2 {
        return Err(Error::invalid("The path is /rest/{table}/{id}; a slash within an id is written %2F."));
    }
    let id = parts.get(at + 1).map(|id| key(table, id)).transpose()?;
    Ok(Address { table: Arc::clone(table), id })
}

pub fn missing(name: &str, principal: &Principal) -> Error {
    match principal {
        Principal::Admin => Error::not_found(format!("There is no table {name}.")),
        Principal::Caller(_) => Error::forbidden(closed(name)),
    }
}

/// In StarbaseDB's words.
pub fn no_key(table: &Table) -> Error {
    Error::invalid(format!("No primary key found for table '{}'", table.name))
}

fn key(table: &Table, id: &str) -> Result<Vec<Value>> {
    if table.key.is_empty() {
        return Err(no_key(table));
    }
    let parts: Vec<&str> = if table.key.len() == 1 { vec![id] } else { id.split(',').collect() };
    if parts.len() != table.key.len() {
        let names: Vec<&str> = table.key.iter().map(|&column| &*table.columns[column].name).collect();
        return Err(Error::invalid(format!(
            "The key of {} has {} parts: {}, with commas between them (%2C is a comma within one).",
            table.name,
            names.len(),
            names.join(",")
        )));
    }
    let value = |(part, &column): (&&str, &usize)| cell::from_text(&table.columns[column], &decode_path(part)?);
    parts.iter().zip(&table.key).map(value).collect()
}

/// The row of this key can be asked for.
pub fn readable_key(table: &Table) -> Result<()> {
    if table.has_key(Open::READ) { Ok(()) } else { Err(no_key(table)) }
}
