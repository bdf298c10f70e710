//! A result as a lane remembers it: a key and a hash per row, no values. And how a query is run into one.

use super::query::{Query, looks_at_clock};
use crate::error::{Error, Result};
use crate::json;
use crate::limits::Limits;
use crate::sqlite::budget::Cancel;
use crate::sqlite::gate::Mode;
use crate::sqlite::{Sqlite, Statement, clock};
use crate::value::ValueRef;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::hash::Hasher as _;
use std::ops::Range;
use std::time::Duration;

/// Unique in a result and a function of the result's content.
pub type Key = Box<str>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// These columns' values; rows that share them get a hash of the row behind it, all but the least.
    Columns(Vec<usize>),
    /// A hash of the whole row; equal rows are numbered.
    Row,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub hash: u128,
    /// Index in the result's order.
    pub place: u32,
}

#[derive(Clone, Debug, Default)]
pub struct RowSet {
    pub rows: HashMap<Key, Seen>,
}

/// A row of a fresh result. `json` is what follows the key in its array: `,v1,v2]`.
#[derive(Clone, Debug)]
pub struct FreshRow {
    pub key: Key,
    pub hash: u128,
    json: Option<Range<usize>>,
}

/// A result just read, in its order. Rows that are as they were known have no JSON.
#[derive(Debug, Default)]
pub struct Fresh {
    pub rows: Vec<FreshRow>,
    text: Bytes,
}

impl Fresh {
    /// The row's values as JSON; empty if it was known.
    pub fn json(&self, row: &FreshRow) -> Bytes {
        row.json.clone().map_or_else(Bytes::new, |range| self.text.slice(range))
    }

    pub fn into_set(self) -> RowSet {
        let seen = |(place, row): (usize, FreshRow)| (row.key, Seen { hash: row.hash, place: place as u32 });
        RowSet { rows: self.rows.into_iter().enumerate().map(seen).collect() }
    }

    /// Bytes of JSON held.
    pub fn size(&self) -> usize {
        self.text.len()
    }
}

/// Runs the query in the connection's open snapshot.
///
/// Rows that `known` has with the same hash are not written out; without `known` all are.
///
/// # Errors
/// `timeout`, `too_large`, `unsupported` if it looked at the clock, or SQLite's own.
pub fn evaluate(
    sqlite: &mut Sqlite,
    query: &Query,
    known: Option<&RowSet>,
    time: Duration,
    limits: &Limits,
) -> Result<Fresh> {
    let fresh = sqlite.bounded(time, None::<Cancel>, Mode::Caller, |sqlite| {
        let mut statement = sqlite
            .prepare(&query.template.sql, Mode::Caller)?
            .ok_or_else(|| Error::internal("a live query has no statement"))?;
        clock::was_read();
        let fresh = statement.bind(&query.params).and_then(|()| read(&mut statement, query, known, limits));
        sqlite.keep(&query.template.sql, statement);
        if clock::was_read() {
            return Err(looks_at_clock());
        }
        fresh
    })?;
    match (fresh, known) {
        (Some(fresh), _) => Ok(fresh),
        // Rows that share their key's columns have changed places: rare enough to read once more, in full.
        (None, Some(_)) => evaluate(sqlite, query, None, time, limits),
        (None, None) => Err(Error::internal("a full evaluation lacks rows")),
    }
}

/// `None` if a row that is not known was skipped.
fn read(statement: &mut Statement, query: &Query, known: Option<&RowSet>, limits: &Limits) -> Result<Option<Fresh>> {
    let mut text = Vec::new();
    let mut rows: Vec<FreshRow> = Vec::new();
    // How many rows have each key so far.
    let mut counts: HashMap<Key, u32> = HashMap::with_capacity(known.map_or(0, |known| known.rows.len()));
    let mut key = String::new();
    let mut bytes = 0;
    let mut shares_keys = false;
    while statement.step()? {
        let hash = hash_row(statement);
        key.clear();
        match &query.template.key {
            KeySource::Row => write_hash(&mut key, hash),
            KeySource::Columns(columns) => write_key(&mut key, statement, columns),
        }
        match counts.entry(key.as_str().into()) {
            Entry::Vacant(entry) => {
                entry.insert(1);
            }
            Entry::Occupied(mut entry) => {
                if query.template.key == KeySource::Row {
                    write!(key, "~{}", entry.get()).expect("writing to memory");
                }
                *entry.get_mut() += 1;
                shares_keys = true;
            }
        }
        let is_known = known.is_some_and(|known| known.rows.get(key.as_str()).is_some_and(|seen| seen.hash == hash));
        let json = (!is_known).then(|| write_row(&mut text, statement));
        bytes += key.len() + 48;
        rows.push(FreshRow { key: key.as_str().into(), hash, json });
        if rows.len() > limits.live_rows_max {
            return Err(Error::too_large(format!(
                "A live result may have {} rows. Add a LIMIT.",
                limits.live_rows_max
            )));
        }
        if bytes + text.len() > limits.live_bytes_max {
            return Err(Error::too_large(format!(
                "A live result may have {} bytes. Add a LIMIT.",
                limits.live_bytes_max
            )));
        }
    }
    if shares_keys && query.template.key != KeySource::Row {
        separate(&mut rows, &counts);
        let is_missing = |row: &FreshRow| {
            row.json.is_none()
                && known.is_none_or(|known| known.rows.get(&row.key).is_none_or(|seen| seen.hash != row.hash))
        };
        if rows.iter().any(is_missing) {
            return Ok(None);
        }
    }
    Ok(Some(Fresh { rows, text: Bytes::from(text) }))
}

/// Makes shared keys unique by content: among the rows of one key the one with the least hash keeps it, the others get
/// their hash behind it, and a number if they are equal rows.
fn separate(rows: &mut [FreshRow], counts: &HashMap<Key, u32>) {
    let mut sharing: HashMap<Key, Vec<usize>> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        if counts.get(&row.key).is_some_and(|count| *count > 1) {
            sharing.entry(row.key.clone()).or_default().push(index);
        }
    }
    for (key, mut indexes) in sharing {
        indexes.sort_by_key(|&index| (rows[index].hash, index));
        let mut equal = 0;
        for (position, &index) in indexes.iter().enumerate().skip(1) {
            let hash = rows[index].hash;
            equal = if rows[indexes[position - 1]].hash == hash { equal + 1 } else { 0 };
            let mut unique = format!("{key}~");
            write_hash(&mut unique, hash);
            if equal > 0 {
                write!(unique, "~{equal}").expect("writing to memory");
            }
            rows[index].key = unique.into();
        }
    }
}

fn hash_row(statement: &Statement) -> u128 {
    let mut hasher = SipHasher13::new();
    for column in 0..statement.column_count() {
        hash_value(&mut hasher, statement.column(column));
    }
    hasher.finish128().as_u128()
}

/// Values of different types are different, as the reader sees them.
pub fn hash_value(hasher: &mut SipHasher13, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => hasher.write_u8(0),
        ValueRef::Integer(value) => {
            hasher.write_u8(1);
            hasher.write_i64(value);
        }
        ValueRef::Real(value) => {
            hasher.write_u8(2);
            hasher.write_u64(value.to_bits());
        }
        ValueRef::Text(bytes) => {
            hasher.write_u8(3);
            hasher.write_u64(bytes.len() as u64);
            hasher.write(bytes);
        }
        ValueRef::Blob(bytes) => {
            hasher.write_u8(4);
            hasher.write_u64(bytes.len() as u64);
            hasher.write(bytes);
        }
    }
}

fn write_hash(out: &mut String, hash: u128) {
    BASE64.encode_string(hash.to_le_bytes(), out);
}

/// Readable where it is short: `42`, `'name`, several with commas. Long values are hashed.
fn write_key(out: &mut String, statement: &Statement, columns: &[usize]) {
    const SHORT: usize = 64;
    for (index, &column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match statement.column(column) {
            ValueRef::Null => out.push('-'),
            ValueRef::Integer(value) => write!(out, "{value}").expect("writing to memory"),
            ValueRef::Text(bytes) if bytes.len() <= SHORT && is_plain(bytes) => {
                out.push('\'');
                out.push_str(std::str::from_utf8(bytes).unwrap_or_default());
            }
            value => {
                let mut hasher = SipHasher13::new();
                hash_value(&mut hasher, value);
                out.push('#');
                write_hash(out, hasher.finish128().as_u128());
            }
        }
    }
}

/// Text that can stand in a key as it is: no byte that has a meaning in keys or needs escaping in JSON.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_graphic() && !b",~\"\\".contains(byte) || *byte == b' ')
}

fn write_row(text: &mut Vec<u8>, statement: &Statement) -> Range<usize> {
    let start = text.len();
    for column in 0..statement.column_count() {
        text.push(b',');
        json::write_value(text, statement.column(column));
    }
    text.push(b']');
    start..text.len()
}
