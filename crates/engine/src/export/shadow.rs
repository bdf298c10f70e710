//! Virtual tables, and which tables are their own affair.

use crate::error::Result;
use crate::sqlite::exclude::quoted;
use crate::sqlite::tokens::{Kind, tokens};
use rusqlite::Connection;
use std::collections::HashSet;

pub fn is_virtual(sql: &str) -> bool {
    let mut words = tokens(sql);
    words.next().is_some_and(|word| word.is("create")) && words.next().is_some_and(|word| word.is("virtual"))
}

/// The names of all tables that the modules of these virtual ones make for themselves. Asked of SQLite, which makes each of them in an
/// empty database: a table that somebody made, and that only bears such a name, is none.
pub fn all<'a>(schema: impl Iterator<Item = (&'a str, &'a str)>) -> Result<HashSet<String>> {
    let mut shadows = HashSet::new();
    for (name, sql) in schema.filter(|(_, sql)| is_virtual(sql)) {
        let scratch = Connection::open_in_memory()?;
        // One whose module is not here is exported as it is.
        if scratch.execute_batch(sql).is_ok() {
            let mut statement =
                scratch.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> ?1")?;
            let made = statement.query_map([name], |row| row.get::<_, String>(0))?;
            shadows.extend(made.collect::<rusqlite::Result<Vec<_>>>()?);
        }
    }
    Ok(shadows)
}

/// Where the rows of a virtual table are.
pub enum Content {
    /// `has_rowid`: besides the columns, which do not show it.
    Own {
        has_rowid: bool,
    },
    /// In a table that is exported itself.
    Elsewhere,
    Nowhere,
    /// What it shows of another one follows by itself.
    Derived,
}

pub fn content(sql: &str) -> Content {
    let words: Vec<_> = tokens(sql).collect();
    // CREATE VIRTUAL TABLE name USING module.
    let module = words.iter().skip_while(|word| !word.is("using")).nth(1);
    if module.is_some_and(|module| module.is_any(&["fts5vocab", "fts4aux", "fts3tokenize", "dbstat"])) {
        return Content::Derived;
    }
    let is_search = words.iter().any(|word| word.is_any(&["fts5", "fts4", "fts3"]));
    let value =
        words.windows(3).find(|three| three[0].is("content") && three[1].is_punctuation(b'=')).map(|three| &three[2]);
    match value {
        _ if !is_search => Content::Own { has_rowid: false },
        None => Content::Own { has_rowid: true },
        Some(value) if matches!(value.kind, Kind::Text | Kind::Quoted) && value.text.len() == 2 => Content::Nowhere,
        Some(_) => Content::Elsewhere,
    }
}

/// How an FTS5 table is set (`INSERT INTO t(t, rank) VALUES('rank', 'bm25(10)')`), if it is one: the names and values.
pub fn settings(connection: &Connection, table: &str, sql: &str) -> Result<Vec<(String, rusqlite::types::Value)>> {
    let config = format!("{table}_config");
    let is_there =
        connection.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?.exists([&config])?;
    if !is_there || !tokens(sql).any(|word| word.is("fts5")) {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(&format!("SELECT k, v FROM {} WHERE k <> 'version'", quoted(&config)))?;
    let settings = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(settings.collect::<rusqlite::Result<_>>()?)
}
