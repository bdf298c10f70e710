//! Keys and values: the ordinary table `kv`, made at the first write, open to SQL like any other.
//!
//! `revision` is the revision of the row's last write, by whatever path it came: the writer stamps every touched row
//! before the RELEASE, and a trigger blanks it when another program writes, to be stamped when that is noticed.

use crate::changes::change::Revision;
use crate::error::{Error, Result};
use crate::json;
use crate::limits::Limits;
use crate::sqlite::schema::{Relation, Schema};
use crate::{clock, error::Code};
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

/// Is there a table `kv`, and is it ours?
pub fn is_ready(schema: &Schema) -> bool {
    let Some(Relation::Table(table)) = schema.get(TABLE) else { return false };
    table.columns.iter().map(|column| &*column.name).eq(["key", "value", "revision", "expires"])
}

/// # Errors
/// `conflict` if the database has a `kv` of its own.
pub fn refuse_foreign(schema: &Schema) -> Result<()> {
    match schema.get(TABLE) {
        Some(_) if !is_ready(schema) => Err(foreign()),
        _ => Ok(()),
    }
}

fn foreign() -> Error {
    Error::conflict(
        "This database has a table \"kv\" of another shape, so keys cannot be kept here. Rename it to use /data.",
    )
}

/// Runs a write; the answer's JSON. `revision` is the one this request will have if it changes something.
pub fn run(connection: &Connection, write: &KeyWrite, limits: &Limits, revision: Revision) -> Result<Vec<u8>> {
    match write {
        KeyWrite::MakeTable => {
            connection.execute_batch(LAYOUT)?;
            Ok(b"true".to_vec())
        }
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
            let mut out = b"{\"key\":".to_vec();
            json::write_str(&mut out, key);
            out.extend_from_slice(b",\"deleted\":true,\"revision\":");
            json::write_integer(&mut out, revision);
            out.push(b'}');
            Ok(out)
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
            Some(rusqlite::ErrorCode::ConstraintViolation) => Error::invalid("The value is not JSON that can be stored; is it nested too deeply?"),
            _ => Error::from(error),
        })?;
    let mut out = Vec::with_capacity(value.len() + key.len() + 48);
    Entry { key: key.into(), value: value.into(), revision: Some(revision) }.write(&mut out);
    Ok(out)
}

/// Whole numbers stay exact; what does not fit into 64 bits, or is no number, is refused.
fn sum(key: &str, value: &str, by: &Number) -> Result<String> {
    let no_number = || Error::conflict(format!("The value of {key:?} is not a number, so it cannot be incremented."));
    let old: Number = serde_json::from_str(value).map_err(|_| no_number())?;
    if let (Some(old), Some(by)) = (old.as_i64(), by.as_i64()) {
        let sum = old
            .checked_add(by)
            .ok_or_else(|| Error::conflict(format!("Incremented, {key:?} would not fit into 64 bits.")))?;
        return Ok(sum.to_string());
    }
    let sum = old.as_f64().zip(by.as_f64()).and_then(|(old, by)| Number::from_f64(old + by)).ok_or_else(no_number)?;
    Ok(sum.to_string())
}

fn check_size(key: &str, value: &str, limits: &Limits) -> Result<()> {
    if key.is_empty() {
        return Err(Error::invalid("A key needs a name."));
    }
    if key.len() > limits.key_bytes_max {
        return Err(Error::too_large(format!("A key's name may have {} bytes.", limits.key_bytes_max)));
    }
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
    let stands_at = stands_at.flatten().unwrap_or(0);
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

/// Reads one key. A database without our table has no keys.
pub fn get(connection: &Connection, key: &str) -> Result<Option<Entry>> {
    let Some(mut statement) = readable(connection.prepare_cached("SELECT value, revision FROM kv WHERE key = ?1"))?
    else {
        return Ok(None);
    };
    let entry = |row: &rusqlite::Row<'_>| Ok(Entry { key: key.into(), value: row.get(0)?, revision: row.get(1)? });
    Ok(statement.query_row([key], entry).optional()?)
}

/// The entries whose keys begin with `prefix` and come after `after`, in key order, at most `limit`.
pub fn list(connection: &Connection, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>> {
    // Text is compared byte by byte, so the keys with a prefix lie together, from the prefix on.
    let sql = "SELECT key, value, revision FROM kv
               WHERE key >= ?1 AND key > ?2 AND substr(key, 1, length(?1)) = ?1 AND (?3 IS NULL OR key < ?3)
               ORDER BY key LIMIT ?4";
    let Some(mut statement) = readable(connection.prepare_cached(sql))? else { return Ok(Vec::new()) };
    let entry = |row: &rusqlite::Row<'_>| Ok(Entry { key: row.get(0)?, value: row.get(1)?, revision: row.get(2)? });
    let rows = statement.query_map((prefix, after.unwrap_or(""), past(prefix), limit), entry)?;
    Ok(rows.collect::<Result<_, _>>()?)
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

fn readable<T>(prepared: rusqlite::Result<T>) -> Result<Option<T>> {
    match prepared {
        Ok(statement) => Ok(Some(statement)),
        Err(rusqlite::Error::SqliteFailure(_, Some(message))) if message.starts_with("no such table: kv") => Ok(None),
        Err(rusqlite::Error::SqlInputError { msg, .. }) if msg.starts_with("no such table: kv") => Ok(None),
        Err(error) => {
            let error = Error::from(error);
            Err(if error.code == Code::Internal { foreign().caused_by(error) } else { error })
        }
    }
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
