//! How a live query is run: as a whole, or by the parts that may have changed.

use super::delta::Delta;
use super::edge::{LastRow, Place};
use super::part::{Part, PartKeys};
use super::query::{Query, looks_at_clock};
use super::row_set::is_of_part;
pub use super::row_set::{Key, RowSet, Seen};
use crate::changes::change::Revision;
use crate::error::{Error, Result};
use crate::json;
use crate::limits::Limits;
use crate::sqlite::gate::Mode;
use crate::sqlite::{Sqlite, Statement, clock};
use crate::value::{Value, ValueRef};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::hash::Hasher as _;
use std::ops::Range;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// These columns' values; rows that share them get a hash of the row behind it, all but the least.
    Columns(Vec<usize>),
    /// A hash of the whole row; equal rows are numbered.
    Row,
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
    has_reals: bool,
    /// Where its last row stands, if a LIMIT has cut it.
    pub edge: Option<Place>,
}

impl Fresh {
    /// The row's values as JSON; empty if it was known.
    pub fn json(&self, row: &FreshRow) -> Bytes {
        row.json.clone().map_or_else(Bytes::new, |range| self.text.slice(range))
    }

    pub fn into_set(self) -> RowSet {
        let seen = |(place, row): (usize, FreshRow)| (row.key, Seen { hash: row.hash, place: place as u32 });
        RowSet::of(self.rows.into_iter().enumerate().map(seen).collect())
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
    let fresh = query.bounded(sqlite, time, |sqlite| {
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

/// What became of some parts of a result.
#[derive(Debug, Default)]
pub struct PartChanges {
    pub delete: Vec<Key>,
    pub insert: Vec<Changed>,
    pub update: Vec<Changed>,
}

/// A row with its values' JSON (see [`FreshRow`]).
#[derive(Debug)]
pub struct Changed {
    pub key: Key,
    pub hash: u128,
    pub json: Bytes,
}

impl PartChanges {
    pub fn delta(&self, to: Revision) -> Delta {
        let row = |row: &Changed| (row.key.clone(), row.json.clone());
        let (insert, update) = (self.insert.iter().map(row).collect(), self.update.iter().map(row).collect());
        Delta::unordered(to, self.delete.clone(), insert, update)
    }

    /// What becomes of a part of a result: its rows as they were known, and as they are.
    pub fn note(&mut self, mut old: Vec<(Key, Seen)>, fresh: &Fresh) {
        for row in &fresh.rows {
            let changed = || Changed { key: row.key.clone(), hash: row.hash, json: fresh.json(row) };
            match old.iter().position(|(key, _)| *key == row.key) {
                None => self.insert.push(changed()),
                Some(index) => {
                    if old.swap_remove(index).1.hash != row.hash {
                        self.update.push(changed());
                    }
                }
            }
        }
        self.delete.extend(old.into_iter().map(|(key, _)| key));
    }

    /// The map's order is chance; the frame is not.
    pub fn sort(&mut self) {
        self.delete.sort_unstable();
        self.insert.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        self.update.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    }
}

/// Runs the query for these keys only, in the connection's open snapshot, and compares with what was known.
///
/// `None` if what became of the result cannot be told by parts: a row's place in it would have to be known, for example.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_parts(
    sqlite: &mut Sqlite,
    query: &Query,
    part: &Part,
    keys: &PartKeys,
    known: &RowSet,
    time: Duration,
    limits: &Limits,
) -> Result<Option<PartChanges>> {
    let changes = query.bounded(sqlite, time, |sqlite| {
        let mut statement = sqlite
            .prepare(&part.sql, Mode::Caller)?
            .ok_or_else(|| Error::internal("a part of a live query has no statement"))?;
        clock::was_read();
        let changes = read_parts(&mut statement, query, part, keys, known, limits);
        sqlite.keep(&part.sql, statement);
        if clock::was_read() { Ok(None) } else { changes }
    })?;
    // That a result is too large its evaluation as a whole shall say.
    let grown = |changes: &PartChanges| known.count() + changes.insert.len();
    Ok(changes.filter(|changes| grown(changes) <= limits.live_rows_max && known.size() <= limits.live_bytes_max))
}

fn read_parts(
    statement: &mut Statement,
    query: &Query,
    part: &Part,
    keys: &PartKeys,
    known: &RowSet,
    limits: &Limits,
) -> Result<Option<PartChanges>> {
    let mut changes = PartChanges::default();
    for (text, values) in keys {
        let mut run = |known: Option<&RowSet>| {
            statement.reset();
            statement.bind_more(&query.params, values)?;
            read(statement, query, known, limits)
        };
        let fresh = match run(Some(known))? {
            Some(fresh) => fresh,
            None => run(None)?.ok_or_else(|| Error::internal("a full evaluation lacks rows"))?,
        };
        let old = known.part(text);
        let is_place_needed = query.template.is_ordered && !(old.is_empty() && fresh.rows.is_empty());
        let is_order_seen = part.is_grouped && fresh.has_reals;
        if is_place_needed || is_order_seen || !fresh.rows.iter().all(|row| is_of_part(&row.key, text)) {
            return Ok(None);
        }
        changes.note(old, &fresh);
    }
    changes.sort();
    Ok(Some(changes))
}

/// The rows of one part, written out in full: the same for all who see them and ask with the same values.
///
/// # Errors
/// As [`evaluate`].
pub fn read_part(
    sqlite: &mut Sqlite,
    query: &Query,
    part: &Part,
    key: &[Value],
    time: Duration,
    limits: &Limits,
) -> Result<Option<Fresh>> {
    query.bounded(sqlite, time, |sqlite| {
        let mut statement = sqlite
            .prepare(&part.sql, Mode::Caller)?
            .ok_or_else(|| Error::internal("a part of a live query has no statement"))?;
        clock::was_read();
        let bound = statement.bind_more(&query.params, key);
        let fresh = bound.and_then(|()| read(&mut statement, query, None, limits));
        sqlite.keep(&part.sql, statement);
        if clock::was_read() { Ok(None) } else { fresh }
    })
}

/// `None` if a row that is not known was skipped.
fn read(statement: &mut Statement, query: &Query, known: Option<&RowSet>, limits: &Limits) -> Result<Option<Fresh>> {
    let mut text = Vec::new();
    let mut rows: Vec<FreshRow> = Vec::new();
    // How many rows have each key so far.
    let mut counts: HashMap<Key, u32> = HashMap::with_capacity(known.map_or(0, RowSet::count));
    let mut key = String::new();
    let mut bytes = 0;
    let mut shares_keys = false;
    let mut has_reals = false;
    let mut last = LastRow::of(query);
    while statement.step()? {
        let values = || (0..statement.column_count()).map(|column| statement.column(column));
        let hash = hash_row(values(), &mut has_reals);
        last.note(|column| statement.column(column));
        key.clear();
        write_row_key(&mut key, &query.template.key, hash, |column| statement.column(column));
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
        let is_known = known.is_some_and(|known| known.get(&key).is_some_and(|seen| seen.hash == hash));
        let json = (!is_known).then(|| write_row(&mut text, values()));
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
            row.json.is_none() && known.is_none_or(|known| known.get(&row.key).is_none_or(|seen| seen.hash != row.hash))
        };
        if rows.iter().any(is_missing) {
            return Ok(None);
        }
    }
    Ok(Some(Fresh { rows, text: Bytes::from(text), has_reals, edge: last.place }))
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

fn write_row_key<'v>(key: &mut String, source: &KeySource, hash: u128, value: impl Fn(usize) -> ValueRef<'v>) {
    match source {
        KeySource::Row => write_hash(key, hash),
        KeySource::Columns(columns) => write_key(key, columns.iter().map(|&column| value(column))),
    }
}

/// A row of these values, which shares its key with no other.
pub fn changed(source: &KeySource, values: &[ValueRef<'_>]) -> Changed {
    let (mut key, mut json) = (String::new(), Vec::new());
    let hash = hash_row(values.iter().copied(), &mut false);
    write_row_key(&mut key, source, hash, |column| values[column]);
    write_row(&mut json, values.iter().copied());
    Changed { key: key.into(), hash, json: json.into() }
}

fn hash_row<'v>(values: impl Iterator<Item = ValueRef<'v>>, has_reals: &mut bool) -> u128 {
    let mut hasher = SipHasher13::new();
    for value in values {
        *has_reals |= matches!(value, ValueRef::Real(_));
        hash_value(&mut hasher, value);
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
pub fn write_key<'a>(out: &mut String, values: impl Iterator<Item = ValueRef<'a>>) {
    const SHORT: usize = 64;
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.push(',');
        }
        match value {
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

fn write_row<'v>(text: &mut Vec<u8>, values: impl Iterator<Item = ValueRef<'v>>) -> Range<usize> {
    let start = text.len();
    for value in values {
        text.push(b',');
        json::write_value(text, value);
    }
    text.push(b']');
    start..text.len()
}
