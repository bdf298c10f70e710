//! The body of a write: one object or an array of them, each value given the type of its column.

use super::cell;
use super::filter::no_column;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use tidebase_engine::tables::Table;
use tidebase_engine::{Error, Result, Value};

/// Columns with their new values, in the order in which they were sent.
pub type Row = Vec<(usize, Value)>;

/// StarbaseDB's words.
const INVALID: &str = "Invalid data format";
const EMPTY: &str = "No data provided";

/// The members of an object with their values as sent; one that comes twice is there twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Several rows, or one; each as it is to be stored.
pub fn rows(table: &Table, body: &[u8]) -> Result<(Vec<Row>, bool)> {
    let is_array = body.trim_ascii_start().first() == Some(&b'[');
    let objects: Vec<Members<'_>> = if is_array { parse(body)? } else { vec![parse(body)?] };
    if objects.is_empty() {
        return Err(Error::invalid(EMPTY));
    }
    let rows = objects.into_iter().enumerate().map(|(index, object)| {
        row(table, object).map_err(|error| if is_array { error.at_statement(index) } else { error })
    });
    Ok((rows.collect::<Result<_>>()?, is_array))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    let text = std::str::from_utf8(body).map_err(|_| Error::invalid("The body is not UTF-8."))?;
    serde_json::from_str(text).map_err(|error| {
        if error.is_data() { Error::invalid(INVALID) } else { Error::invalid(format!("The body is no JSON: {error}.")) }
    })
}

fn row(table: &Table, Members(members): Members<'_>) -> Result<Row> {
    if members.is_empty() {
        return Err(Error::invalid(EMPTY));
    }
    let mut row = Row::with_capacity(members.len());
    for (name, value) in members {
        // Of a column that is open in another way, the engine says what it is not open for.
        let column = table.find(&name).ok_or_else(|| no_column(table, &name).of_column(&*name))?;
        if table.columns[column].is_generated {
            return Err(
                Error::invalid(format!("The column {name} is generated: it follows from the others.")).of_column(name)
            );
        }
        if row.iter().any(|(known, _)| *known == column) {
            return Err(Error::invalid(format!("The column {name} is given twice.")).of_column(name));
        }
        row.push((column, cell::from_json(&table.columns[column], value)?));
    }
    Ok(row)
}
