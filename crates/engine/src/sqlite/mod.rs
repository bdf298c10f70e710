//! One SQLite connection as the engine uses it: opened with our settings, its SQL gated and timed, its callers'
//! statements cached apart from our own.

pub mod budget;
pub mod clock;
pub mod exclude;
pub mod gate;
pub mod open;
pub mod preupdate;
pub mod schema;
mod statement;
pub mod tokens;

pub use statement::Statement;

use crate::error::{Code, Error, Result};
use budget::{Budget, Cancel};
use gate::{Gate, Mode};
use open::Purpose;
use rusqlite::{Connection, ffi};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Budgets below this are meant for statements that take a moment: they are measured in work first, then in time.
const QUICK: Duration = Duration::from_millis(10);
const LOOKS_FREE: u32 = 40;

/// Statements kept per connection, of some 8 KB each; past it any goes. A lane runs the same ones again and again.
const CACHED_STATEMENTS_MAX: usize = 256;
const CACHED_LIVE_STATEMENTS_MAX: usize = 2048;

/// The statements are dropped before the connection: fields drop in the order they stand here.
#[derive(Debug)]
pub struct Sqlite {
    /// By their text; none while one is in use.
    cache: HashMap<Box<str>, Option<Statement>>,
    cached_max: usize,
    gate: Arc<Gate>,
    budget: Arc<Budget>,
    /// For our own statements: rusqlite's interface and its cache.
    pub own: Connection,
}

impl Sqlite {
    fn new(mut connection: Connection, purpose: Purpose) -> Result<Self> {
        let gate = Arc::new(Gate::default());
        let budget = Arc::new(Budget::default());
        connection.authorizer(Some(Arc::clone(&gate).callback()))?;
        connection.progress_handler(budget::STEPS, Some(Arc::clone(&budget).callback()))?;
        connection.set_prepared_statement_cache_capacity(64);
        let cached_max = if purpose == Purpose::Live { CACHED_LIVE_STATEMENTS_MAX } else { CACHED_STATEMENTS_MAX };
        Ok(Self { cache: HashMap::new(), cached_max, gate, budget, own: connection })
    }

    /// Takes a caller's statement from the cache or compiles it. Give it back with [`Sqlite::keep`].
    /// `None` if the text is blank.
    pub fn prepare(&mut self, sql: &str, mode: Mode) -> Result<Option<Statement>> {
        if mode == Mode::Caller
            && let Some(statement) = self.cache.get_mut(sql).and_then(Option::take)
        {
            return Ok(Some(statement));
        }
        if mode != Mode::Open {
            gate::refuse_new_name(sql)?;
        }
        let before = self.gate.swap(mode);
        // SAFETY: statements live in `cache` or in a caller of this module, who must `keep` or drop them while the
        // connection is open; both are fields or locals shorter-lived than `own`.
        let prepared = unsafe { Statement::prepare(self.own.handle(), sql, &self.gate) };
        self.gate.swap(before);
        prepared
    }

    pub fn has_cached(&self, sql: &str) -> bool {
        self.cache.get(sql).is_some_and(Option::is_some)
    }

    pub fn keep(&mut self, sql: &str, mut statement: Statement) {
        statement.reset();
        if let Some(slot) = self.cache.get_mut(sql) {
            *slot = Some(statement);
            return;
        }
        if self.cache.len() >= self.cached_max
            && let Some(any) = self.cache.keys().next().cloned()
        {
            self.cache.remove(&any);
        }
        self.cache.insert(sql.into(), Some(statement));
    }

    pub fn forget_statements(&mut self) {
        self.cache.clear();
    }

    /// What the statements prepared since the last call in [`Mode::Live`] read.
    pub fn take_reads(&self) -> gate::Reads {
        self.gate.take_reads()
    }

    /// Runs `work` as a caller's: gated (SQLite may compile a statement anew while it runs) and bounded in time.
    pub fn bounded<T>(
        &mut self,
        time: Duration,
        cancel: Option<Cancel>,
        mode: Mode,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.budget.start(time, if time < QUICK { LOOKS_FREE } else { 0 }, cancel.clone());
        let bounds =
            Bounds { before: self.gate.swap(mode), gate: Arc::clone(&self.gate), budget: Arc::clone(&self.budget) };
        let done = work(self);
        drop(bounds);
        done.map_err(|error| match (error.code, cancel) {
            (Code::Timeout, Some(cancel)) if cancel.is_cancelled() => Error::unavailable("The request was cancelled."),
            (Code::Timeout, _) => Error::timeout(format!(
                "The statement took longer than the {} it may; an index, a LIMIT or a smaller step may help.",
                spoken(time)
            )),
            _ => error,
        })
    }

    /// Runs statements of ours over a table that is open to callers: what their triggers, views and constraints do there
    /// is gated and bounded as if they had sent it, and what goes wrong is told as theirs.
    pub fn on_behalf<T>(
        &mut self,
        time: Duration,
        cancel: Option<Cancel>,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let done = self.bounded(time, cancel, Mode::Caller, |sqlite| work(&sqlite.own));
        let refusal = self.gate.take_refusal();
        done.map_err(|error| error.of_caller(refusal))
    }

    /// False while a transaction is open.
    pub fn is_autocommit(&self) -> bool {
        self.own.is_autocommit()
    }

    /// Would a COMMIT fail for a foreign key that was only deferred?
    pub fn has_deferred_violations(&self) -> bool {
        let (mut current, mut highest) = (0, 0);
        // SAFETY: the connection is open and the pointers are to our own integers.
        let code = unsafe {
            ffi::sqlite3_db_status(
                self.own.handle(),
                ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
                &raw mut current,
                &raw mut highest,
                0,
            )
        };
        code == ffi::SQLITE_OK && current != 0
    }

    /// Is the open file no longer the one of its name? It was deleted, renamed or replaced.
    pub fn has_moved(&self) -> bool {
        let mut moved: std::ffi::c_int = 0;
        // SAFETY: the connection is open; SQLite writes one int, or nothing if the VFS cannot tell.
        unsafe {
            ffi::sqlite3_file_control(
                self.own.handle(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_HAS_MOVED,
                (&raw mut moved).cast(),
            );
        }
        moved != 0
    }

    /// Makes `last_insert_rowid()` zero, so that a request sees only its own.
    pub fn reset_last_insert_rowid(&self) {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_set_last_insert_rowid(self.own.handle(), 0) };
    }
}

/// Ends with the work they are set for, even if that panics.
struct Bounds {
    before: Mode,
    gate: Arc<Gate>,
    budget: Arc<Budget>,
}

impl Drop for Bounds {
    fn drop(&mut self) {
        self.gate.swap(self.before);
        self.budget.stop();
    }
}

/// A duration in words for an error message.
pub fn spoken(time: Duration) -> String {
    if time.as_secs() > 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}
