//! The query log, `_tide_queries`: SQL that took long enough, with who sent it. Off unless `query_log_time_min` says otherwise.
//!
//! What is to be logged waits in memory and is written by the writer when it looks after its chores, so nobody waits for it;
//! a crash loses what was not written yet. Parameters' values, and what stands in the text as a literal, are never logged.

use super::audit::start;
use super::mask::{Numbers, masked};
use crate::clock;
use crate::error::Result;
use crate::request::{Answer, SqlRequest};
use crate::shared::Shared;
use crate::sqlite::schema::Schema;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub const TABLE: &str = "_tide_queries";

/// Entries that may wait to be written; past it they are counted and dropped.
const WAITING_MAX: usize = 10_000;
/// Entries written at one time.
pub(super) const AT_ONCE: usize = 2000;
/// Bytes of SQL that are kept of one request.
const SQL_BYTES_MAX: usize = 4096;

/// From how long on a request is logged; `off` is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogFrom(pub Option<Duration>);

impl crate::limits::Bound for LogFrom {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self(None)),
            text => text.parse().ok().map(|ms| Self(Some(Duration::from_millis(ms)))),
        }
    }
    fn show(&self) -> String {
        self.0.map_or_else(|| "off".into(), |time| time.as_millis().to_string())
    }
}

#[derive(Debug)]
struct Entry {
    time_ms: i64,
    who: String,
    sql: String,
    took: Duration,
    rows: u64,
    code: Option<&'static str>,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub struct QueryLog(Mutex<VecDeque<Entry>>);

/// A request under way that may be worth an entry.
pub struct Noting {
    shared: Arc<Shared>,
    started: Instant,
    who: String,
    sql: String,
}

impl std::fmt::Debug for Noting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Noting").field("who", &self.who).finish_non_exhaustive()
    }
}

impl Noting {
    /// `None` if nothing is logged.
    pub fn begin(shared: &Arc<Shared>, request: &SqlRequest) -> Option<Self> {
        shared.limits.query_log_time_min.0?;
        let mut sql = String::new();
        for statement in &request.statements {
            if !sql.is_empty() {
                sql.push_str("; ");
            }
            sql.push_str(start(&statement.sql, SQL_BYTES_MAX));
            if sql.len() >= SQL_BYTES_MAX {
                break;
            }
        }
        Some(Self { shared: Arc::clone(shared), started: Instant::now(), who: request.who(), sql })
    }

    pub fn done(self, outcome: &Result<Answer>) {
        let took = self.started.elapsed();
        if self.shared.limits.query_log_time_min.0.is_none_or(|least| took < least) {
            return;
        }
        let (rows, code) = match outcome {
            Ok(answer) => (answer.rows, None),
            Err(error) => (0, Some(error.code.name())),
        };
        let mut waiting = self.shared.query_log.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            self.shared.metrics.queries_unlogged.add(1);
            return;
        }
        waiting.push_back(Entry { time_ms: clock::now_ms(), who: self.who, sql: self.sql, took, rows, code });
    }
}

/// Writes what waits, in a transaction of its own. True if there was something.
pub fn flush(connection: &Connection, log: &QueryLog, schema: &Schema) -> Result<bool> {
    let waiting = || log.0.lock().unwrap_or_else(PoisonError::into_inner);
    if waiting().is_empty() {
        return Ok(false);
    }
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let entries: Vec<Entry> = {
        let mut waiting = waiting();
        let count = waiting.len().min(AT_ONCE);
        waiting.drain(..count).collect()
    };
    let written = write(connection, &entries, schema);
    connection.prepare_cached(if written.is_ok() { "COMMIT" } else { "ROLLBACK" })?.execute([])?;
    written.map(|()| true)
}

fn write(connection: &Connection, entries: &[Entry], schema: &Schema) -> Result<()> {
    let is_name = |name: &str| schema.names(name);
    let mut insert = connection.prepare_cached(
        "INSERT INTO _tide_queries (time, who, sql, micros, rows, code) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for Entry { time_ms, who, sql, took, rows, code } in entries {
        let sql = masked(sql, Numbers::Hidden, SQL_BYTES_MAX, &is_name);
        insert.execute((time_ms, who, sql, took.as_micros() as i64, *rows as i64, code))?;
    }
    Ok(())
}
