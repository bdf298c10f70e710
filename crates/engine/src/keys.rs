//! Keys and values: the ordinary table `kv`, made at the first write, open to SQL like any other.
//!
//! `revision` is the revision of the row's last write, by whatever path it came: the writer stamps every touched row
//! before the RELEASE, and a trigger blanks it when another program writes, to be stamped when that is noticed. Here keys are
//! the administrator's; what a caller sees and writes of them is in [`bound`].

pub mod bound;

use crate::changes::change::Revision;
use crate::clock;
use crate::error::{Error, Result};
use crate::json;
use crate::limits::Limits;
use crate::sqlite::schema::{Relation, Schema};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Number;

pub const TABLE: &str = "kv";

const LAYOUT: &str = "
CREATE TABLE kv (
  key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), revision INTEGER, expires INTEGER);
CREATE INDEX kv_expires ON kv (expires) WHERE expires IS NOT NULL;
CREATE INDEX kv_unstamped ON kv (key) WHERE revision IS NULL;
CREATE TRIGGER kv_written AFTER UPDATE OF key, value, expires ON kv WHEN new.revision IS old.revision
BEGIN UPDATE kv SET revision = NULL WHERE rowid = new.rowid; END;
";

/// A write through the keys face. Values are JSON text.
#[derive(Clone, Debug)]
pub enum KeyWrite {
    Set {
        key: String,
        value: String,
        /// Milliseconds from now after which the key is gone.
        ttl_ms: Option<i64>,
        /// Only if the key stands at this revision; 0 means that it must not exist.
        if_revision: Option<Revision>,
    },
    Delete {
        key: String,
        if_revision: Option<Revision>,
    },
    /// Adds to a number; a missing key counts as 0.
    Increment {
        key: String,
        by: Number,
    },
    /// Removes what has expired.
    Expire,
    MakeTable,
}

/// One key as it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub value: String,
    pub revision: Option<Revision>,
}

impl Entry {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"key\":");
        json::write_str(out, &self.key);
        out.extend_from_slice(b",\"value\":");
        out.extend_from_slice(self.value.as_bytes());
        out.extend_from_slice(b",\"revision\":");
        match self.revision {
            Some(revision) => json::write_integer(out, revision),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
}

/// What stands in the schema under the name of our table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Presence {
    /// Nothing: there are no keys yet.
    Absent = 0,
    Ours = 1,
    /// A table, or a view, that somebody made for other purposes.
    Foreign = 2,
}

pub fn presence(schema: &Schema) -> Presence {
    match schema.get(TABLE) {
        None => Presence::Absent,
        Some(Relation::Table(table)) => {
            let columns = table.columns.iter().map(|column| &*column.name);
            let is_ours = columns.eq(["key", "value", "revision", "expires"]) && table.key == [0];
            if is_ours { Presence::Ours } else { Presence::Foreign }
        }
        Some(_) => Presence::Foreign,
    }
}

/// Is there a table `kv`, and is it ours?
pub fn is_ready(schema: &Schema) -> bool {
    presence(schema) == Presence::Ours
}

/// # Errors
/// `conflict` if the database has a `kv` of its own.
pub fn refuse_foreign(schema: &Schema) -> Result<()> {
    if presence(schema) == Presence::Foreign { Err(foreign()) } else { Ok(()) }
}

pub fn foreign() -> Error {
    Error::conflict(
        "This database has a table \"kv\" of another shape, so keys cannot be kept here. Rename it to use /data.",
    )
}

/// Makes the table.
pub fn make(connection: &Connection) -> Result<()> {
    Ok(connection.execute_batch(LAYOUT)?)
}

/// Runs a write; the answer's JSON. `revision` is the one this request will have if it changes something.
pub fn run(connection: &Connection, write: &KeyWrite, limits: &Limits, revision: Revision) -> Result<Vec<u8>> {
    match write {
        KeyWrite::MakeTable => make(connection).map(|()| b"true".to_vec()),
        KeyWrite::Expire => {
            let expired = connection
                .prepare_cached("DELETE FROM kv WHERE expires IS NOT NULL AND expires <= ?1")?
                .execute([clock::now_ms()])?;
            Ok(expired.to_string().into_bytes())
        }
        KeyWrite::Set { key, value, ttl_ms, if_revision } => {
            check_size(key, value, limits)?;
            check_revision(connection, key, *if_revision)?;
            put(connection, key, value, ttl_ms.map(|ttl| clock::now_ms().saturating_add(ttl)), revision)
        }
        KeyWrite::Delete { key, if_revision } => {
            check_revision(connection, key, *if_revision)?;
            let removed = connection.prepare_cached("DELETE FROM kv WHERE key = ?1")?.execute([key])?;
            if removed == 0 {
                return Err(missing(key));
            }
            Ok(deleted(key, revision))
        }
        KeyWrite::Increment { key, by } => {
            let found: Option<(String, Option<i64>)> = connection
                .prepare_cached("SELECT value, expires FROM kv WHERE key = ?1")?
                .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let (value, expires) = found.unwrap_or_else(|| ("0".into(), None));
            let value = sum(key, &value, by)?;
            check_size(key, &value, limits)?;
            put(connection, key, &value, expires, revision)
        }
    }
}

fn put(connection: &Connection, key: &str, value: &str, expires: Option<i64>, revision: Revision) -> Result<Vec<u8>> {
    connection
        .prepare_cached(
            "INSERT INTO kv (key, value, revision, expires) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision, expires = excluded.expires",
        )?
        .execute((key, value, revision, expires))
        .map_err(|error| match error.sqlite_error_code() {
            // SQLite's JSON has a bound of its own on nesting.
            Some(rusqlite::ErrorCode::ConstraintViolation) if is_of_check(&error) => no_json(),
            _ => Error::from(error),
        })?;
    let mut out = Vec::with_capacity(value.len() + key.len() + 48);
    Entry { key: key.into(), value: value.into(), revision: Some(revision) }.write(&mut out);
    Ok(out)
}

fn no_json() -> Error {
    Error::invalid("The value is not JSON that can be stored; is it nested too deeply?")
}

fn deleted(key: &str, revision: Revision) -> Vec<u8> {
    let mut out = b"{\"key\":".to_vec();
    json::write_str(&mut out, key);
    out.extend_from_slice(b",\"deleted\":true,\"revision\":");
    json::write_integer(&mut out, revision);
    out.push(b'}');
    out
}

fn is_of_check(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|failure| failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_CHECK)
}

/// # Errors
/// `conflict` for what is no number, and for a sum that would not be exact.
fn sum(key: &str, value: &str, by: &Number) -> Result<String> {
    let old: Number = serde_json::from_str(value)
        .map_err(|_| Error::conflict(format!("The value of {key:?} is not a number, so it cannot be incremented.")))?;
    let sum = sum_of(&old, by);
    sum.map(|sum| sum.to_string())
        .ok_or_else(|| Error::conflict(format!("Incremented, {key:?} would not fit into a number of 64 bits.")))
}

/// Whole numbers stay exact; `None` where they would not fit into 64 bits, and for what is larger than a number can be.
pub fn sum_of(old: &Number, by: &Number) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let (Some(old), Some(by)) = (old.as_i128(), by.as_i128()) {
        return i64::try_from(old + by).ok().map(Number::from);
    }
    let (old, by) = (old.as_f64()?, by.as_f64()?);
    // Whole numbers that long have lost digits already.
    let is_inexact = |number: f64| number.fract() == 0.0 && number.abs() > EXACT;
    let is_whole = |number: f64| number.fract() == 0.0;
    if is_inexact(old) && is_whole(by) || is_inexact(by) && is_whole(old) {
        return None;
    }
    Number::from_f64(old + by)
}

/// # Errors
/// `invalid` for no name, `too_large` for one that is too long.
pub fn check_name(key: &str, limits: &Limits) -> Result<()> {
    if key.is_empty() {
        return Err(Error::invalid("A key needs a name."));
    }
    if key.len() > limits.key_bytes_max {
        return Err(Error::too_large(format!("A key's name may have {} bytes.", limits.key_bytes_max)));
    }
    Ok(())
}

fn check_size(key: &str, value: &str, limits: &Limits) -> Result<()> {
    check_name(key, limits)?;
    if value.len() > limits.value_bytes_max {
        return Err(Error::too_large(format!("A value may have {} bytes of JSON.", limits.value_bytes_max)));
    }
    Ok(())
}

fn check_revision(connection: &Connection, key: &str, wanted: Option<Revision>) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    let stands_at: Option<Option<Revision>> = connection
        .prepare_cached("SELECT revision FROM kv WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    compare(key, stands_at.flatten().unwrap_or(0), wanted)
}

/// Of a key that is not there, or that is as if it were not, it is 0.
fn compare(key: &str, stands_at: Revision, wanted: Revision) -> Result<()> {
    if stands_at == wanted {
        return Ok(());
    }
    Err(Error::conflict(match stands_at {
        0 => format!("{key:?} does not exist, and if_revision asks for {wanted}."),
        _ => format!("{key:?} stands at revision {stands_at}, and if_revision asks for {wanted}."),
    }))
}

pub fn missing(key: &str) -> Error {
    Error::not_found(format!("No value is set for {key:?}."))
}

/// Our own trigger on the table.
const WRITTEN: &str = "kv_written";

/// Runs `work` without any trigger of the caller's: a stamp is no write of theirs.
pub fn untriggered<T>(
    connection: &Connection,
    schema: &Schema,
    work: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    let has_others = match schema.get(TABLE) {
        Some(Relation::Table(table)) => table.triggers.iter().any(|name| &**name != WRITTEN),
        _ => false,
    };
    if has_others { without_triggers(connection, work) } else { work(connection) }
}

/// Runs `work` without any trigger at all.
pub fn without_triggers<T>(connection: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    use rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER as TRIGGERS;
    connection.set_db_config(TRIGGERS, false)?;
    let done = work(connection);
    connection.set_db_config(TRIGGERS, true)?;
    done
}

/// Gives the touched rows the revision of the request that touched them.
pub fn stamp(connection: &Connection, rowids: &[i64], revision: Revision) -> Result<()> {
    if rowids.is_empty() {
        return Ok(());
    }
    let mut statement =
        connection.prepare_cached("UPDATE kv SET revision = ?1 WHERE rowid = ?2 AND revision IS NOT ?1")?;
    for rowid in rowids {
        statement.execute((revision, rowid))?;
    }
    Ok(())
}

/// Gives every key this revision: too much was written at once to know which.
pub fn stamp_all(connection: &Connection, revision: Revision) -> Result<()> {
    connection.prepare_cached("UPDATE kv SET revision = ?1")?.execute([revision])?;
    Ok(())
}

/// Has the table still our columns, whatever the schema known so far says?
pub fn is_still_there(connection: &Connection) -> Result<bool> {
    let mut statement = connection
        .prepare_cached("SELECT group_concat(name) = 'key,value,revision,expires' FROM pragma_table_info('kv')")?;
    Ok(statement.query_row([], |row| row.get::<_, Option<bool>>(0))?.unwrap_or(false))
}

/// The same for rows another program wrote.
pub fn stamp_unstamped(connection: &Connection, revision: Revision) -> Result<()> {
    connection.prepare_cached("UPDATE kv SET revision = ?1 WHERE revision IS NULL")?.execute([revision])?;
    Ok(())
}

pub fn has_expired(connection: &Connection, now_ms: i64) -> Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM kv WHERE expires IS NOT NULL AND expires <= ?1)")?;
    Ok(statement.query_row([now_ms], |row| row.get(0))?)
}

/// Reads one key of our table. A row whose value is not JSON text, which only SQL can make, is no key.
pub fn get(connection: &Connection, key: &str) -> Result<Option<Entry>> {
    let Some(mut statement) = readable(connection, "SELECT key, value, revision FROM kv WHERE key = ?1")? else {
        return Ok(None);
    };
    let mut rows = statement.query([key])?;
    Ok(match rows.next()? {
        Some(row) => entry(row)?,
        None => None,
    })
}

/// `None` if the snapshot is from before the table was made.
fn readable<'c>(connection: &'c Connection, sql: &str) -> Result<Option<rusqlite::CachedStatement<'c>>> {
    match connection.prepare_cached(sql) {
        Err(error) if error.to_string().starts_with("no such table: kv") => Ok(None),
        prepared => Ok(Some(prepared?)),
    }
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Entry>> {
    let text = |column| row.get_ref(column).map(|value| value.as_str().ok().map(str::to_owned));
    let (Some(key), Some(value)) = (text(0)?, text(1)?) else { return Ok(None) };
    let revision = row.get_ref(2)?.as_i64().ok();
    Ok(is_json(value.as_bytes()).then_some(Entry { key, value, revision }))
}

/// Can it stand in an answer as it is?
pub fn is_json(value: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok()
}

/// One page of a listing.
#[derive(Debug, Default)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// There may be more behind the last one.
    pub has_more: bool,
}

impl Page {
    fn has_place(&self, limit: usize, bytes: usize) -> bool {
        self.entries.len() < limit && bytes <= PAGE_BYTES
    }
}

/// A page ends early when its values are this long together.
const PAGE_BYTES: usize = 8 << 20;

/// The entries whose keys begin with `prefix` and come after `after`, in key order, at most `limit`.
pub fn list(connection: &Connection, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
    // Text is compared byte by byte, so the keys with a prefix lie together, from the prefix on.
    let sql = "SELECT key, value, revision FROM kv
               WHERE key >= ?1 AND key > ?2 AND (?3 IS NULL OR key < ?3) ORDER BY key";
    let Some(mut statement) = readable(connection, sql)? else { return Ok(Page::default()) };
    let mut rows = statement.query((prefix, after.unwrap_or(""), past(prefix)))?;
    let mut page = Page::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let Some(entry) = entry(row)?.filter(|entry| entry.key.starts_with(prefix)) else { continue };
        if !page.has_place(limit, bytes) {
            page.has_more = true;
            break;
        }
        bytes += entry.key.len() + entry.value.len();
        page.entries.push(entry);
    }
    Ok(page)
}

/// The least text after all texts with this prefix, if there is one.
fn past(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match u32::from(last) + 1 {
            0xd800 => 0xe000,
            next => next,
        };
        if let Some(next) = char::from_u32(next) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stay_exact_or_are_refused() {
        let by = |text: &str| serde_json::from_str::<Number>(text).unwrap();
        for (value, add, expected) in [
            ("1", "2", Some("3")),
            ("9007199254740993", "1", Some("9007199254740994")),
            ("9223372036854775807", "1", None),
            ("1.5", "1", Some("2.5")),
            ("\"1\"", "1", None),
            ("null", "1", None),
            ("18446744073709551615", "-1", None),
            ("18446744073709551615", "-9223372036854775808", Some("9223372036854775807")),
            ("9223372036854775808", "1", None),
            ("1", "9223372036854775808", None),
            ("1", "36893488147419103232", None),
            ("36893488147419103232", "-1", None),
            ("1e308", "1e308", None),
            ("1e308", "0.5", Some("1e+308")),
        ] {
            assert_eq!(sum("k", value, &by(add)).ok().as_deref(), expected, "{value} + {add}");
        }
    }

    #[test]
    fn the_text_past_a_prefix_is_the_least() {
        for (prefix, expected) in
            [("a", Some("b")), ("a\u{10ffff}", Some("b")), ("\u{d7ff}", Some("\u{e000}")), ("", None)]
        {
            assert_eq!(past(prefix).as_deref(), expected);
        }
    }
}
