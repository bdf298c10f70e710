//! Rows as lines that can be compared, whether SQLite gave them or the engine.

use crate::live::cells::{push_json, push_value};
use anyhow::{Result, anyhow};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Row, Statement};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use std::ops::Range;
use tidebase_engine::Params;

pub fn run_plain(copy: &Connection, sql: &str, params: &Params) -> rusqlite::Result<Vec<String>> {
    let mut statement = copy.prepare(sql)?;
    bind(&mut statement, params)?;
    let mut found = lines(&mut statement, 0)?;
    found.sort();
    Ok(found)
}

/// What the statement, to which everything is bound, gives from this column on.
pub fn lines(statement: &mut Statement<'_>, from: usize) -> rusqlite::Result<Vec<String>> {
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(line(row, from..columns)?);
    }
    Ok(found)
}

pub fn line(row: &Row<'_>, columns: Range<usize>) -> rusqlite::Result<String> {
    let mut line = String::new();
    for column in columns {
        push_value(&mut line, row.get_ref(column)?);
        line.push('|');
    }
    Ok(line)
}

/// Those that the statement names: one may be a part of what was sent.
pub fn bind(statement: &mut Statement<'_>, params: &Params) -> rusqlite::Result<()> {
    match params {
        Params::None => {}
        Params::Positional(values) => {
            for (index, value) in (1..=statement.parameter_count()).zip(values) {
                statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(value.as_ref()))?;
            }
        }
        Params::Named(values) => {
            for (name, value) in values {
                if let Some(index) = statement.parameter_index(&format!(":{name}"))? {
                    statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(value.as_ref()))?;
                }
            }
        }
    }
    Ok(())
}

pub fn read(body: &[u8]) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        rows: Vec<Vec<&'a RawValue>>,
        #[serde(rename = "columns")]
        _columns: Json,
    }
    let raw: Raw<'_> = serde_json::from_slice(body)?;
    let mut found = Vec::new();
    for row in raw.rows {
        let mut line = String::new();
        for value in row {
            push_json(&mut line, value.get()).map_err(|error| anyhow!(error))?;
            line.push('|');
        }
        found.push(line);
    }
    found.sort();
    Ok(found)
}
