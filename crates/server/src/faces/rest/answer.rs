//! Rows as SQLite gave them become objects, with the rows embedded in them, without a number or a text being read.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use tidebase_engine::json::write_str;
use tidebase_engine::tables::Table;
use tidebase_engine::{Error, Result};

pub type Row<'a> = Vec<&'a RawValue>;

/// The result of one statement.
#[derive(Deserialize)]
pub struct Rows<'a> {
    #[serde(borrow)]
    pub rows: Vec<Row<'a>>,
}

impl<'a> Rows<'a> {
    /// The body of an answer: of one statement, or of several.
    pub fn read(body: &'a [u8], has_several: bool) -> Result<Vec<Self>> {
        let read =
            if has_several { serde_json::from_slice(body) } else { serde_json::from_slice(body).map(|one| vec![one]) };
        read.map_err(|error| Error::internal("an answer of SQL could not be read").caused_by(error))
    }
}

pub fn no_row(table: &Table) -> Error {
    Error::not_found(format!("There is no such row in {}.", table.name))
}

/// One member of the objects.
pub struct Part<'a> {
    /// `"label":`
    head: Vec<u8>,
    what: What<'a>,
}

enum What<'a> {
    Column {
        at: usize,
        /// The text is JSON, to be shown as such.
        is_json: bool,
    },
    Embed {
        /// Where the values stand that the other rows have, too.
        links: Vec<usize>,
        by_links: HashMap<Vec<&'a str>, Vec<&'a Row<'a>>>,
        parts: Vec<Part<'a>>,
        is_parent: bool,
    },
}

impl<'a> Part<'a> {
    pub fn column(label: &str, at: usize, is_json: bool) -> Self {
        Self { head: head(label), what: What::Column { at, is_json } }
    }

    /// The rows of `others` begin with the values of the links.
    pub fn embed(
        label: &str,
        links: Vec<usize>,
        parts: Vec<Self>,
        others: Option<&'a Rows<'a>>,
        is_parent: bool,
    ) -> Self {
        let mut by_links: HashMap<Vec<&str>, Vec<&Row<'_>>> = HashMap::new();
        for row in others.iter().flat_map(|others| &others.rows) {
            by_links.entry(row[..links.len()].iter().map(|value| value.get()).collect()).or_default().push(row);
        }
        Self { head: head(label), what: What::Embed { links, by_links, parts, is_parent } }
    }
}

fn head(label: &str) -> Vec<u8> {
    let mut head = Vec::with_capacity(label.len() + 3);
    write_str(&mut head, label);
    head.push(b':');
    head
}

/// An array of objects, or the one.
pub fn write(rows: &[Row<'_>], parts: &[Part<'_>], one: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 * rows.len() + 16);
    if one {
        match rows.first() {
            Some(row) => object(&mut out, row, parts),
            None => out.extend_from_slice(b"null"),
        }
        return out;
    }
    array(&mut out, rows.iter(), parts);
    out
}

fn array<'a>(out: &mut Vec<u8>, rows: impl Iterator<Item = &'a Row<'a>>, parts: &[Part<'_>]) {
    out.push(b'[');
    for (index, row) in rows.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        object(out, row, parts);
    }
    out.push(b']');
}

fn object(out: &mut Vec<u8>, row: &Row<'_>, parts: &[Part<'_>]) {
    out.push(b'{');
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&part.head);
        match &part.what {
            What::Column { at, is_json: false } => out.extend_from_slice(row[*at].get().as_bytes()),
            What::Column { at, is_json: true } => json(out, row[*at].get()),
            What::Embed { links, by_links, parts, is_parent } => {
                let key: Vec<&str> = links.iter().map(|&at| row[at].get()).collect();
                let found = by_links.get(&key).map(Vec::as_slice).unwrap_or_default();
                match (is_parent, found.first()) {
                    (true, Some(parent)) => object(out, parent, parts),
                    (true, None) => out.extend_from_slice(b"null"),
                    (false, _) => array(out, found.iter().copied(), parts),
                }
            }
        }
    }
    out.push(b'}');
}

/// A text that is JSON as that JSON; whatever else was put there as it is.
fn json(out: &mut Vec<u8>, value: &str) {
    let text: Option<String> = serde_json::from_str(value).ok();
    match &text {
        Some(text) if serde_json::from_str::<&RawValue>(text).is_ok() => out.extend_from_slice(text.trim().as_bytes()),
        _ => out.extend_from_slice(value.as_bytes()),
    }
}
