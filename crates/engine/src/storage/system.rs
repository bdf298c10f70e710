//! The engine's own tables: everything Tidebase keeps in the file beside the user's data, in one catalogue.
//!
//! | table | a row is | written |
//! |---|---|---|
//! | `_tide_meta` | a setting of the file: version, history, schema epoch, hash of the admin token | rarely |
//! | `_tide_log` | the change sets of one group commit | with every group |
//! | `_tide_answers` | an answer kept under an idempotency key | with its request |
//! | `_tide_mutations` | what came of a write that a client made while it was away | with the write |
//! | `_tide_topics` | a topic's setting, and up to where its messages are gone | rarely |
//! | `_tide_messages` | a message a topic keeps | with its publish |
//! | `_tide_policies` | a policy | rarely |
//! | `_tide_tokens` | a token, but not the token itself | rarely |
//! | `_tide_users` | somebody who signs in | rarely |
//! | `_tide_credentials` | what proves who somebody is; no SQL that is sent can read it | rarely |
//! | `_tide_sessions` | a place in which somebody has signed in | with each sign-in and refresh |
//! | `_tide_signing_keys` | a key with which tokens are signed; no SQL that is sent can read it | rarely |
//! | `_tide_statements` | a statement that callers may run | rarely |
//! | `_tide_queries` | a request that took long, if they are logged | now and then, by the writer |
//! | `_tide_audit` | something that was done to the server, and by whom | with what it tells of |
//! | `_tide_schemas` | the JSON Schema of a column | rarely |
//! | `_tide_migrations` | a migration that was applied, with its way back | with what it does |
//! | `_tide_dumps` | a dump that is made in the background, or kept | when its state changes |
//! | `_tide_secrets` | a secret that is shared with others; no SQL that is sent can read it | rarely |
//!
//! Their layout has a version; older files are upgraded in a transaction, newer ones refused.

use crate::error::{Error, Result};
use crate::value::Value;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OptionalExtension as _};

/// The layout below. Raise it with a step in [`upgrade`].
pub const VERSION: i64 = 5;

const LAYOUT: &str = "
CREATE TABLE IF NOT EXISTS _tide_meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tide_log (
  revision INTEGER PRIMARY KEY, first_revision INTEGER NOT NULL, time INTEGER NOT NULL,
  schema_epoch INTEGER NOT NULL, bytes_so_far INTEGER NOT NULL, changes BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS _tide_answers (
  key TEXT PRIMARY KEY, fingerprint BLOB NOT NULL, time INTEGER NOT NULL, revision INTEGER NOT NULL,
  code TEXT, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS _tide_answers_time ON _tide_answers (time);
CREATE TABLE IF NOT EXISTS _tide_mutations (
  client TEXT NOT NULL, number INTEGER NOT NULL, fingerprint BLOB NOT NULL, time INTEGER NOT NULL, revision INTEGER NOT NULL,
  code TEXT, body BLOB NOT NULL, PRIMARY KEY (client, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS _tide_mutations_time ON _tide_mutations (time);
CREATE TABLE IF NOT EXISTS _tide_topics (topic TEXT PRIMARY KEY, keep INTEGER NOT NULL, gone INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tide_messages (
  topic TEXT NOT NULL, cursor INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (topic, cursor)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tide_policies (
  name TEXT PRIMARY KEY, [table] TEXT NOT NULL, action TEXT NOT NULL, role TEXT, [using] TEXT, [check] TEXT,
  columns TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tide_tokens (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, hint TEXT NOT NULL,
  claims TEXT, made_at INTEGER NOT NULL, expires_at INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tide_users (
  id TEXT PRIMARY KEY, email TEXT, email_key TEXT UNIQUE, claims TEXT, is_disabled INTEGER NOT NULL DEFAULT 0,
  made_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tide_credentials (
  user TEXT NOT NULL, kind TEXT NOT NULL, secret NOT NULL, made_at INTEGER NOT NULL, PRIMARY KEY (user, kind)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS _tide_credentials_secret ON _tide_credentials (secret) WHERE kind = 'reset';
CREATE TABLE IF NOT EXISTS _tide_sessions (
  id TEXT PRIMARY KEY, user TEXT NOT NULL, family BLOB NOT NULL, turn BLOB NOT NULL, former BLOB, turned_at INTEGER NOT NULL,
  made_at INTEGER NOT NULL, used_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, agent TEXT, address TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS _tide_sessions_user ON _tide_sessions (user);
CREATE INDEX IF NOT EXISTS _tide_sessions_end ON _tide_sessions (expires_at);
CREATE TABLE IF NOT EXISTS _tide_signing_keys (
  id TEXT PRIMARY KEY, private BLOB NOT NULL, made_at INTEGER NOT NULL, retired_at INTEGER);
CREATE TABLE IF NOT EXISTS _tide_audit (
  id INTEGER PRIMARY KEY, time INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS _tide_statements (
  id TEXT PRIMARY KEY, name TEXT, sql TEXT NOT NULL, made_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tide_queries (
  id INTEGER PRIMARY KEY, time INTEGER NOT NULL, who TEXT NOT NULL, sql TEXT NOT NULL, micros INTEGER NOT NULL,
  rows INTEGER NOT NULL, code TEXT);
CREATE TABLE IF NOT EXISTS _tide_schemas (
  [table] TEXT NOT NULL, [column] TEXT NOT NULL, schema TEXT NOT NULL, PRIMARY KEY ([table], [column])) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tide_migrations (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, down TEXT, applied_at INTEGER NOT NULL,
  revision INTEGER NOT NULL, who TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS _tide_dumps (
  key TEXT PRIMARY KEY, file TEXT NOT NULL, format TEXT NOT NULL, has_schema INTEGER NOT NULL, chunk_rows INTEGER NOT NULL,
  status TEXT NOT NULL, restarts INTEGER NOT NULL DEFAULT 0, upload TEXT, rows INTEGER, bytes INTEGER, error TEXT,
  made_at INTEGER NOT NULL, began_at INTEGER, ended_at INTEGER, url TEXT NOT NULL,
  callback TEXT, callback_status TEXT, callback_tries INTEGER NOT NULL DEFAULT 0, callback_at INTEGER, callback_error TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tide_secrets (name TEXT PRIMARY KEY, secret BLOB NOT NULL, made_at INTEGER NOT NULL) WITHOUT ROWID;
";

/// Tables that hold secrets: they are shown to nobody.
pub const SEALED: [&str; 3] = ["_tide_credentials", "_tide_signing_keys", "_tide_secrets"];

/// Tables that stay as they are when the data goes back to an earlier moment: who may come in, what was done, and what was answered.
/// Nobody who was shut out comes back with the data.
pub const STAYS: [&str; 10] = [
    "_tide_users",
    "_tide_credentials",
    "_tide_sessions",
    "_tide_tokens",
    "_tide_signing_keys",
    "_tide_audit",
    "_tide_answers",
    "_tide_mutations",
    "_tide_dumps",
    "_tide_secrets",
];

/// A statement of this program, its text never made of what anyone sent, with its values.
#[derive(Clone, Debug)]
pub struct SystemStatement {
    pub sql: &'static str,
    pub values: Vec<Value>,
}

/// Runs them; gives how many rows the last one changed.
pub fn change(connection: &Connection, statements: &[SystemStatement]) -> Result<usize> {
    let mut changed = 0;
    for SystemStatement { sql, values } in statements {
        changed = connection.prepare_cached(sql)?.execute(rusqlite::params_from_iter(bound(values)))?;
    }
    Ok(changed)
}

/// The rows of a statement that reads.
pub fn ask(connection: &Connection, statement: &SystemStatement) -> Result<Vec<Vec<Value>>> {
    let mut prepared = connection.prepare_cached(statement.sql)?;
    let columns = prepared.column_count();
    let mut rows = prepared.query(rusqlite::params_from_iter(bound(&statement.values)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((0..columns).map(|column| Ok(row.get_ref(column)?.into())).collect::<Result<_>>()?);
    }
    Ok(found)
}

fn bound(values: &[Value]) -> impl Iterator<Item = ToSqlOutput<'_>> {
    values.iter().map(|value| ToSqlOutput::Borrowed(value.as_ref()))
}

/// What the file says about itself.
#[derive(Clone, Debug)]
pub struct Meta {
    pub history: String,
    /// Of it the tags of live queries are made.
    pub tag_secret: String,
    pub schema_epoch: i64,
}

/// Makes or upgrades the tables, and begins a new history if the caller cannot vouch for the old one.
///
/// # Errors
/// `unsupported` if a newer Tidebase has written this file.
pub fn prepare(connection: &mut Connection, keeps_history: bool) -> Result<Meta> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let has_meta: bool = transaction.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_tide_meta'",
        [],
        |row| row.get(0),
    )?;
    let version = if has_meta { number(&transaction, "version")?.unwrap_or(0) } else { 0 };
    if version > VERSION {
        return Err(Error::unsupported(format!(
            "This database was written by a newer Tidebase (its system tables have version {version}, this program \
             knows {VERSION}). Start that version, or newer."
        )));
    }
    if version < VERSION {
        upgrade(&transaction, version)?;
        set(&transaction, "version", &VERSION)?;
    }
    let history = match text(&transaction, "history")? {
        Some(history) if keeps_history => history,
        _ => {
            let history = random_name()?;
            set(&transaction, "history", &history)?;
            history
        }
    };
    let tag_secret = if let Some(secret) = text(&transaction, "tag_secret")? {
        secret
    } else {
        let secret = random_name()?;
        set(&transaction, "tag_secret", &secret)?;
        secret
    };
    let schema_epoch = number(&transaction, "schema_epoch")?.unwrap_or(0);
    transaction.commit()?;
    Ok(Meta { history, tag_secret, schema_epoch })
}

fn upgrade(connection: &Connection, from: i64) -> Result<()> {
    debug_assert!(from < VERSION, "called for older files only");
    connection.execute_batch(LAYOUT)?;
    Ok(())
}

/// 128 random bits in hexadecimal.
pub fn random_name() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal("no random numbers").caused_by(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub fn text(connection: &Connection, name: &str) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT value FROM _tide_meta WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

pub fn number(connection: &Connection, name: &str) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT value FROM _tide_meta WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

/// Sets the setting `?1` to `?2`.
pub const SET: &str =
    "INSERT INTO _tide_meta (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";

pub fn set(connection: &Connection, name: &str, value: &dyn rusqlite::ToSql) -> Result<()> {
    connection.prepare_cached(SET)?.execute((name, value))?;
    Ok(())
}
