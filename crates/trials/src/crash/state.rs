//! What one writer has in the database: as the ledger expects it, and as it is found in a file.
//!
//! Every writer has rows, keys and messages that no other writer touches, so its state is the outcome of its own
//! requests in their order, whatever else was going on. Only `totals` is shared: the sum of all counters.

use super::violation;
use crate::power_loss::PLAIN_VFS;
use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

pub const WRITERS: usize = 6;

/// The topic whose messages are kept: all of them.
pub const TOPIC: &str = "log";
pub const MESSAGES_KEPT: u64 = 100_000;

/// A message before those that count, so that there is a cursor to begin at.
pub const FIRST_MESSAGE: &str = "\"begin\"";

/// A key that makes the table `kv`, and belongs to nobody.
pub const FIRST_KEY: (&str, &str) = ("begin", r#"{"writer":-1}"#);

/// What the ledger needs, besides the table `kv`: statement by statement, since each is a request.
///
/// `head` counts a writer's requests that changed a row, by whatever path they came.
pub const TABLES: [&str; 5] = [
    "CREATE TABLE heads (writer INTEGER PRIMARY KEY, head INTEGER NOT NULL, counter INTEGER NOT NULL)",
    "CREATE TABLE totals (id INTEGER PRIMARY KEY CHECK (id = 1), value INTEGER NOT NULL)",
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, writer INTEGER NOT NULL REFERENCES heads (writer),
       seq INTEGER NOT NULL, part INTEGER NOT NULL, version INTEGER NOT NULL DEFAULT 0, body TEXT NOT NULL)",
    "CREATE INDEX entries_of ON entries (writer, seq)",
    "CREATE TRIGGER entries_count AFTER INSERT ON entries WHEN new.part = 0
       BEGIN UPDATE heads SET head = head + 1 WHERE writer = new.writer; END",
];

/// Once the first key was set, there is a table `kv`.
pub const KEY_TRIGGERS: [&str; 3] = [
    "CREATE TRIGGER keys_count_new AFTER INSERT ON kv
       BEGIN UPDATE heads SET head = head + 1 WHERE writer = json_extract(new.value, '$.writer'); END",
    "CREATE TRIGGER keys_count_set AFTER UPDATE OF value ON kv
       BEGIN UPDATE heads SET head = head + 1 WHERE writer = json_extract(new.value, '$.writer'); END",
    "CREATE TRIGGER keys_count_gone AFTER DELETE ON kv
       BEGIN UPDATE heads SET head = head + 1 WHERE writer = json_extract(old.value, '$.writer'); END",
];

/// The rows every writer begins with.
pub fn first_rows() -> String {
    let heads: Vec<String> = (0..WRITERS).map(|writer| format!("({writer}, 0, 0)")).collect();
    format!("INSERT INTO heads VALUES {}; INSERT INTO totals VALUES (1, 0)", heads.join(", "))
}

/// Where the writers stand, as a read.
pub const HEADS: &str = "SELECT writer, head FROM heads";

/// The result of [`HEADS`], row by row.
pub fn heads(result: &Value) -> Result<Vec<(usize, i64)>> {
    let head = |row: &Value| Some((row["writer"].as_u64()? as usize, row["head"].as_i64()?));
    let heads = result.as_array().and_then(|rows| rows.iter().map(head).collect());
    heads.with_context(|| format!("an odd result: {result}"))
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub seq: i64,
    pub part: i64,
    pub version: i64,
    pub length: i64,
    pub digest: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub head: i64,
    pub counter: i64,
    pub entries: BTreeMap<i64, Entry>,
    /// The request that set each key.
    pub keys: BTreeMap<usize, i64>,
    /// The requests that said something.
    pub messages: BTreeSet<i64>,
}

impl State {
    /// The first thing in which a state that was found is not this one.
    pub fn difference(&self, found: &Self) -> String {
        if self.head != found.head || self.counter != found.counter {
            let (head, counter) = (found.head, found.counter);
            return format!("head {head} and counter {counter} instead of {} and {}", self.head, self.counter);
        }
        let id =
            self.entries.keys().chain(found.entries.keys()).find(|id| self.entries.get(id) != found.entries.get(id));
        if let Some(id) = id {
            return format!("entry {id} is {:?} instead of {:?}", found.entries.get(id), self.entries.get(id));
        }
        if self.keys != found.keys {
            return format!("keys are {:?} instead of {:?}", found.keys, self.keys);
        }
        let message = self.messages.symmetric_difference(&found.messages).next();
        message.map_or_else(
            || "no difference".into(),
            |seq| format!("message {seq} is {}", if self.messages.contains(seq) { "missing" } else { "there" }),
        )
    }
}

/// A short stand-in for a text: FNV-1a.
pub fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A key's name, which says whose it is.
pub fn key_name(writer: usize, key: usize) -> String {
    format!("w{writer}-k{key}")
}

/// What a database file holds.
#[derive(Clone, Debug)]
pub struct Found {
    /// By writer.
    pub states: Vec<State>,
    /// The last revision in the log.
    pub revision: i64,
}

impl Found {
    /// Reads a database that a server has opened, in one snapshot. `None` if the tables of the ledger are not there.
    pub fn read(database: &Path) -> Result<Option<Self>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags_and_vfs(database, flags, PLAIN_VFS)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        let snapshot = connection.transaction()?;
        let verdict: String =
            snapshot.query_row("PRAGMA integrity_check", [], |row| row.get(0)).context("integrity_check")?;
        if verdict != "ok" {
            return Err(violation!("the database is corrupt: {}", verdict.lines().next().unwrap_or_default()));
        }
        let revision = snapshot.query_row("SELECT coalesce(max(revision), 0) FROM _tide_log", [], |row| row.get(0))?;
        let mut states = vec![State::default(); WRITERS];
        let ready = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name = 'keys_count_gone'";
        if snapshot.query_row(ready, [], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(None);
        }
        read_tables(&snapshot, &mut states)?;
        read_keys_and_messages(&snapshot, &mut states)?;
        let total: i64 = snapshot.query_row("SELECT value FROM totals", [], |row| row.get(0))?;
        let sum: i64 = states.iter().map(|state| state.counter).sum();
        if total != sum {
            return Err(violation!(
                "a transaction is there in part: the total is {total}, the counters add up to {sum}"
            ));
        }
        Ok(Some(Self { states, revision }))
    }
}

fn writer(row: &Row<'_>, column: usize) -> Result<usize> {
    let writer = usize::from(row.get::<_, u16>(column)?);
    if writer < WRITERS { Ok(writer) } else { Err(violation!("there is something of a writer {writer}")) }
}

fn read_tables(snapshot: &Connection, states: &mut [State]) -> Result<()> {
    let mut statement = snapshot.prepare("SELECT writer, head, counter FROM heads")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let state = &mut states[writer(row, 0)?];
        (state.head, state.counter) = (row.get(1)?, row.get(2)?);
    }
    let mut statement = snapshot.prepare("SELECT id, writer, seq, part, version, body FROM entries")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(5)?.as_str()?;
        let entry = Entry {
            seq: row.get(2)?,
            part: row.get(3)?,
            version: row.get(4)?,
            length: body.len() as i64,
            digest: digest(body),
        };
        states[writer(row, 1)?].entries.insert(row.get(0)?, entry);
    }
    Ok(())
}

fn read_keys_and_messages(snapshot: &Connection, states: &mut [State]) -> Result<()> {
    let keys = "SELECT json_extract(value, '$.writer'), CAST(substr(key, instr(key, '-k') + 2) AS INTEGER),
                  json_extract(value, '$.seq') FROM kv WHERE key LIKE 'w%-k%'";
    let mut statement = snapshot.prepare(keys)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        states[writer(row, 0)?].keys.insert(row.get::<_, u16>(1)?.into(), row.get(2)?);
    }
    let messages = "SELECT json_extract(data, '$.writer'), json_extract(data, '$.seq') FROM _tide_messages
                      WHERE topic = ?1 AND json_extract(data, '$.seq') IS NOT NULL";
    let mut statement = snapshot.prepare(messages)?;
    let mut rows = statement.query([TOPIC])?;
    while let Some(row) = rows.next()? {
        let (writer, seq) = (writer(row, 0)?, row.get(1)?);
        if !states[writer].messages.insert(seq) {
            return Err(violation!("message {seq} of writer {writer} is kept twice"));
        }
    }
    Ok(())
}
