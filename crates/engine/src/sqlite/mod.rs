//! One SQLite connection as the engine uses it: opened with our settings, its SQL gated and timed, its callers'
//! statements cached apart from our own.

pub mod budget;
pub mod clock;
pub mod exclude;
pub mod gate;
mod linear;
pub mod open;
pub mod pages;
pub mod preupdate;
pub mod schema;
mod statement;
pub mod tokens;

pub use statement::Statement;

use crate::access::asking::Asking;
use crate::access::principal::{Caller, Principal};
use crate::access::sight::Sight;
use crate::access::{Access, translate::Translated};
use crate::error::{Code, Error, Result};
use crate::value::Value;
use budget::{Budget, Cancel};
use gate::{Gate, Mode};
use open::Purpose;
use rusqlite::{Connection, OptionalExtension as _, ffi};
use std::collections::{HashMap, HashSet};
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
    cache: Cache,
    /// Those of callers: compiled with other rights, and of other texts as a rule, but not always.
    callers_cache: Cache,
    /// Views made for callers.
    sights: Sights,
    asking: Arc<Asking>,
    cached_max: usize,
    gate: Arc<Gate>,
    budget: Arc<Budget>,
    /// For our own statements: rusqlite's interface and its cache.
    pub own: Connection,
}

type Cache = HashMap<Box<str>, Option<Statement>>;

/// Which views there are, and for which policies.
#[derive(Debug, Default)]
struct Sights {
    epoch: u64,
    made: HashSet<Sight>,
    /// Some were made within the open transaction.
    are_at_risk: bool,
}

impl Sqlite {
    fn new(mut connection: Connection, purpose: Purpose) -> Result<Self> {
        let gate = Arc::new(Gate::default());
        let budget = Arc::new(Budget::default());
        connection.authorizer(Some(Arc::clone(&gate).callback()))?;
        connection.progress_handler(budget::STEPS, Some(Arc::clone(&budget).callback()))?;
        connection.set_prepared_statement_cache_capacity(64);
        let cached_max = if purpose == Purpose::Live { CACHED_LIVE_STATEMENTS_MAX } else { CACHED_STATEMENTS_MAX };
        let asking = Arc::new(Asking::default());
        asking.register(&connection)?;
        linear::register(&connection)?;
        let (cache, callers_cache, sights) = Default::default();
        Ok(Self { cache, callers_cache, sights, asking, cached_max, gate, budget, own: connection })
    }

    /// Takes a caller's statement from the cache or compiles it. Give it back with [`Sqlite::keep`].
    /// `None` if the text is blank.
    pub fn prepare(&mut self, sql: &str, mode: Mode) -> Result<Option<Statement>> {
        if mode == Mode::Caller
            && let Some(statement) = self.cache().get_mut(sql).and_then(Option::take)
        {
            return Ok(Some(statement));
        }
        if mode != Mode::Open {
            gate::refuse_new_name(sql)?;
            gate::refuse_sealed(sql)?;
        }
        let before = self.gate.swap(mode);
        // SAFETY: statements live in `cache` or in a caller of this module, who must `keep` or drop them while the
        // connection is open; both are fields or locals shorter-lived than `own`.
        let prepared = unsafe { Statement::prepare(self.own.handle(), sql, &self.gate) };
        self.gate.swap(before);
        prepared
    }

    /// Does it run statements of a caller whom policies bind?
    pub fn is_bound(&self) -> bool {
        self.gate.is_bound()
    }

    fn cache(&mut self) -> &mut Cache {
        if self.gate.is_bound() { &mut self.callers_cache } else { &mut self.cache }
    }

    pub fn has_cached(&self, sql: &str) -> bool {
        self.cache.get(sql).is_some_and(Option::is_some)
    }

    pub fn keep(&mut self, sql: &str, mut statement: Statement) {
        statement.reset();
        let cached_max = self.cached_max;
        let cache = self.cache();
        if let Some(slot) = cache.get_mut(sql) {
            *slot = Some(statement);
            return;
        }
        if cache.len() >= cached_max
            && let Some(any) = cache.keys().next().cloned()
        {
            cache.remove(&any);
        }
        cache.insert(sql.into(), Some(statement));
    }

    pub fn forget_statements(&mut self) {
        self.cache.clear();
        self.callers_cache.clear();
    }

    /// The statements that `work` runs are this principal's. A caller's need a [`Sqlite::pass`] each.
    pub fn speaking_for<T>(&mut self, principal: &Principal, work: impl FnOnce(&mut Self) -> T) -> T {
        let Principal::Caller(caller) = principal else { return work(self) };
        self.asking.set(Some(Arc::clone(caller)));
        self.gate.bind(true);
        let silenced = Silenced { asking: Arc::clone(&self.asking), gate: Arc::clone(&self.gate) };
        let done = work(self);
        drop(silenced);
        done
    }

    /// The statements of ours that `work` runs ask for all these callers at once.
    pub fn answering_for<T>(&mut self, answers: &[Arc<[Value]>], work: impl FnOnce(&mut Self) -> T) -> T {
        self.asking.set_answers(answers.to_vec());
        let done = work(self);
        self.asking.set_answers(Vec::new());
        done
    }

    /// The statements that `work` runs are the administrator's, but `auth_uid()` and its like tell of a caller.
    pub fn asked_by<T>(&mut self, caller: &Arc<Caller>, work: impl FnOnce(&mut Self) -> T) -> T {
        self.asking.set(Some(Arc::clone(caller)));
        let silenced = Silenced { asking: Arc::clone(&self.asking), gate: Arc::clone(&self.gate) };
        let done = work(self);
        drop(silenced);
        done
    }

    /// The next statements are this one of a caller: with the views that it needs, it may touch what its passage says.
    ///
    /// # Errors
    /// `forbidden` if a policy does not fit its table: then nothing is open.
    pub fn pass(&mut self, access: &Access, translated: &Arc<Translated>) -> Result<()> {
        if self.sights.epoch != access.epoch {
            self.forget_sights()?;
            self.sights.epoch = access.epoch;
        }
        if translated.passage.sights.iter().any(|sight| !self.sights.made.contains(sight)) {
            self.make_sights(access, translated)?;
        }
        self.gate.pass(Some(Arc::clone(translated)));
        Ok(())
    }

    fn make_sights(&mut self, access: &Access, translated: &Translated) -> Result<()> {
        self.unguarded(|own, sights| {
            for sight in &translated.passage.sights {
                if sights.made.contains(sight) {
                    continue;
                }
                // A transaction that was lost may have brought one back.
                own.execute_batch(&format!("DROP VIEW IF EXISTS temp.{}", exclude::quoted(&sight.name())))?;
                own.execute_batch(&sight.sql(access)).map_err(|error| unfit(sight, error))?;
                // A view is looked into only when it is asked, and the schema read again only by what is run.
                let name = exclude::quoted(&sight.name());
                let asked = own.prepare(&format!("SELECT 1 FROM temp.{name} LIMIT 0"));
                if let Err(error) = asked.and_then(|mut asked| asked.exists([])) {
                    own.execute_batch(&format!("DROP VIEW temp.{name}"))?;
                    return Err(unfit(sight, error));
                }
                sights.made.insert(sight.clone());
                sights.are_at_risk |= !own.is_autocommit();
            }
            Ok(())
        })
    }

    /// What was made since the transaction began may be gone with it.
    pub fn note_rollback(&mut self) -> Result<()> {
        if std::mem::take(&mut self.sights.are_at_risk) { self.forget_sights() } else { Ok(()) }
    }

    pub fn note_commit(&mut self) {
        self.sights.are_at_risk = false;
    }

    /// Takes away everything that was made for callers: before the schema changes, and for other policies.
    pub fn forget_sights(&mut self) -> Result<()> {
        self.callers_cache.clear();
        if self.sights.made.is_empty() {
            return Ok(());
        }
        self.unguarded(|own, sights| {
            for sight in sights.made.drain() {
                own.execute_batch(&format!("DROP VIEW IF EXISTS temp.{}", exclude::quoted(&sight.name())))?;
            }
            Ok(())
        })
    }

    /// Does our own question have an answer, with these values for `?1`, `?2`, …? Asked in the name of the caller.
    pub fn answers(&self, question: &str, values: &[Value]) -> Result<bool> {
        let before = self.gate.swap(Mode::System);
        let values = values.iter().map(|value| rusqlite::types::ToSqlOutput::Borrowed(value.as_ref()));
        let answer = self
            .own
            .prepare_cached(question)
            .and_then(|mut statement| statement.exists(rusqlite::params_from_iter(values)));
        self.gate.swap(before);
        Ok(answer?)
    }

    /// The row that answers a question of ours.
    pub fn row<T>(
        &self,
        question: &str,
        values: &[Value],
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let before = self.gate.swap(Mode::Open);
        let values = values.iter().map(|value| rusqlite::types::ToSqlOutput::Borrowed(value.as_ref()));
        let answer = self
            .own
            .prepare(question)
            .and_then(|mut statement| statement.query_row(rusqlite::params_from_iter(values), read).optional());
        self.gate.swap(before);
        Ok(answer?)
    }

    /// Runs statements of ours, of that kind.
    pub fn in_mode<T>(&self, mode: Mode, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = self.gate.swap(mode);
        let done = work();
        self.gate.swap(before);
        done
    }

    /// Runs statements of ours on the temporary schema, also where nothing may be written.
    fn unguarded<T>(&mut self, work: impl FnOnce(&Connection, &mut Sights) -> Result<T>) -> Result<T> {
        let before = self.gate.swap(Mode::Open);
        let done = (|| {
            let is_readonly: bool = self.own.prepare_cached("PRAGMA query_only")?.query_row([], |row| row.get(0))?;
            if is_readonly {
                self.own.execute_batch("PRAGMA query_only = OFF")?;
            }
            let done = work(&self.own, &mut self.sights);
            if is_readonly {
                self.own.execute_batch("PRAGMA query_only = ON")?;
            }
            done
        })();
        self.gate.swap(before);
        done
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

    /// Looks at the time of what is run within [`Sqlite::bounded`]: for work of ours between statements, and when all are done, for SQLite
    /// does not look within a step, and one may be long.
    ///
    /// # Errors
    /// `timeout` if it is over.
    pub fn look(&self) -> Result<()> {
        self.looks()()
    }

    /// The same, for whoever reads while the connection is at work for somebody else.
    pub fn looks(&self) -> impl Fn() -> Result<()> + 'static {
        let budget = Arc::clone(&self.budget);
        move || if budget.is_over() { Err(Error::timeout("The time is over.")) } else { Ok(()) }
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

    /// Runs statements of ours on our own tables; triggers and views of the schema that they reach stay within their bounds.
    pub fn as_system<T>(&mut self, time: Duration, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let done = self.bounded(time, None, Mode::System, |sqlite| work(&sqlite.own));
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

/// When it goes, also by a panic, the connection speaks for the administrator again.
struct Silenced {
    asking: Arc<Asking>,
    gate: Arc<Gate>,
}

impl Drop for Silenced {
    fn drop(&mut self) {
        self.gate.bind(false);
        self.asking.set(None);
    }
}

/// A policy that cannot be applied opens nothing.
fn unfit(sight: &Sight, error: rusqlite::Error) -> Error {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) {
        return error.into();
    }
    tracing::warn!(table = %sight.table, role = sight.role.name(), %error, "a policy does not fit its table: it is closed");
    Error::forbidden(format!(
        "The policies of {} cannot be applied, so it is closed; tell the administrator.",
        sight.table
    ))
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
