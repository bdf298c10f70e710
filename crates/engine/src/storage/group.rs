//! One attempt to run a group of jobs in one transaction.
//!
//! What can go wrong, and what then (each is a test): a request fails → back to its savepoint; it leaves deferred
//! foreign keys open → the same, 409; it ends the whole transaction → the caller runs the others again; the COMMIT fails
//! → the caller runs each alone.

use super::answers::{self, Kept};
use super::execute::{self, Place, Rights, Terms};
use super::rehearse::{self, Rehearsal};
use super::work::{Job, Work};
use super::writer::Writer;
use crate::access::Access;
use crate::access::messages::Deed;
use crate::changes::capture::Net;
use crate::changes::change::{ChangeSet, Extent, Revision};
use crate::changes::log;
use crate::documents::desk::Desk;
use crate::documents::{self, Collections};
use crate::error::{Error, Result};
use crate::keys;
use crate::logs::{AuditEntry, audit};
use crate::migrations::run::Stage;
use crate::migrations::task::Task;
use crate::request::{Answer, Format, Idempotency};
use crate::sqlite::Sqlite;
use crate::sqlite::budget::Cancel;
use crate::sqlite::gate::Mode;
use crate::sqlite::schema::Schema;
use crate::topics::{KeptMessage, TopicWrite};
use crate::value::Params;
use crate::{clock, storage::system};
use bytes::Bytes;
use rusqlite::Connection;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

pub struct Committed {
    pub outcomes: Vec<Result<Answer>>,
    pub sets: Vec<ChangeSet>,
    pub messages: Vec<KeptMessage>,
}

pub enum Attempt {
    Committed(Committed),
    /// The request ended the transaction; nothing of anyone's was kept.
    Lost {
        offender: usize,
        error: Error,
    },
    /// No transaction could be begun: somebody else has the file, or it cannot be written.
    NotBegun(Error),
    /// The COMMIT failed; nothing was kept.
    Failed(Error),
}

/// How one request ended.
enum Fate {
    Done(Answer),
    Refused(Error),
    TransactionLost(Error),
}

pub struct Group<'w> {
    writer: &'w mut Writer,
    changes_schema: bool,
    sets: Vec<ChangeSet>,
    messages: Vec<KeptMessage>,
    /// Of the request that is run.
    rows: u64,
    /// To go back to if nothing is kept.
    before: (Revision, i64, i64),
}

impl<'w> Group<'w> {
    pub fn new(writer: &'w mut Writer, changes_schema: bool) -> Self {
        let before = (writer.revision, writer.schema_epoch, writer.data_version);
        Self { writer, changes_schema, sets: Vec::new(), messages: Vec::new(), rows: 0, before }
    }

    pub fn attempt(mut self, jobs: &mut [Job]) -> Attempt {
        if let Err(error) = self.begin() {
            self.undo();
            return Attempt::NotBegun(error);
        }
        let mut outcomes = Vec::with_capacity(jobs.len());
        for (index, job) in jobs.iter_mut().enumerate() {
            if job.cancel.is_cancelled() {
                job.break_line();
                outcomes.push(Err(Error::unavailable("The request was cancelled.")));
                continue;
            }
            // A bug in one request must not take the writer, and with it everyone's writes, down.
            let fate = catch_unwind(AssertUnwindSafe(|| self.serve(job)));
            let fate = fate.unwrap_or_else(|_| {
                let _ = self.writer.sqlite.own.execute_batch("ROLLBACK");
                Fate::TransactionLost(Error::internal("a request panicked"))
            });
            match fate {
                Fate::Done(answer) => outcomes.push(Ok(answer)),
                Fate::Refused(error) => outcomes.push(Err(error)),
                Fate::TransactionLost(error) => {
                    self.undo();
                    return Attempt::Lost { offender: index, error };
                }
            }
        }
        match self.commit() {
            Ok(()) => Attempt::Committed(Committed { outcomes, sets: self.sets, messages: self.messages }),
            Err(error) => self.failed(error),
        }
    }

    /// Notes another program's write, found by the poll, as a revision of its own.
    pub fn tell_outside(mut self) -> Result<Vec<ChangeSet>> {
        match self.begin().and_then(|()| self.commit()) {
            Ok(()) => Ok(self.sets),
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    /// Keeps the refusal of a request that took its transaction with it. Gives what another program wrote meanwhile.
    pub fn keep_refusal(mut self, idempotency: &Idempotency, error: &Error) -> Result<Vec<ChangeSet>> {
        let kept = self.begin().and_then(|()| {
            if answers::keep_refusal(&self.writer.sqlite.own, idempotency, error, self.writer.time_ms)? {
                self.writer.kept_mutations.add(&idempotency.name);
            }
            self.commit()
        });
        match kept {
            Ok(()) => Ok(self.sets),
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    /// Notes that anything may have changed, as a revision of its own.
    pub fn tell_everything(mut self, schema: bool) -> Result<Vec<ChangeSet>> {
        let told = self.begin().and_then(|()| {
            self.writer.schema_epoch += i64::from(schema);
            let set = self.writer.everything(schema);
            self.sets.push(set);
            self.writer.load_schema()?;
            self.commit()
        });
        match told {
            Ok(()) => Ok(self.sets),
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> Result<()> {
        if self.writer.sqlite.has_moved() {
            return Err(Error::unavailable(MOVED));
        }
        self.writer.sqlite.own.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        self.writer.time_ms = self.writer.time_ms.max(clock::now_ms());
        let version = self.writer.pragma("data_version")?;
        if version != self.writer.data_version {
            self.writer.data_version = version;
            self.note_outside()?;
        }
        Ok(())
    }

    /// Another program has written since our last commit: its change comes before ours in the order.
    fn note_outside(&mut self) -> Result<()> {
        let schema = self.writer.pragma("schema_version")? != self.writer.schema_version;
        if schema {
            self.writer.schema_epoch += 1;
            self.writer.load_schema()?;
        }
        let set = self.writer.everything(schema);
        if keys::is_ready(&self.writer.schema) {
            let stamp = |own: &Connection| keys::stamp_unstamped(own, set.revision);
            keys::untriggered(&self.writer.sqlite.own, &self.writer.schema, stamp)?;
        }
        self.writer.collections.stamp(&self.writer.sqlite.own, None, |_| Some(Vec::new()), set.revision)?;
        self.sets.push(set);
        Ok(())
    }

    fn serve(&mut self, job: &mut Job) -> Fate {
        if let Some(idempotency) = &job.idempotency {
            let Writer { sqlite, kept_mutations, limits, .. } = &mut *self.writer;
            let (own, name) = (&sqlite.own, &idempotency.name);
            let kept = kept_mutations.forget_acknowledged(own, name).and_then(|()| answers::find(own, idempotency));
            match kept {
                Ok(Some(Kept::Answer(answer))) => return Fate::Done(answer),
                Ok(Some(Kept::Refusal(error))) => return Fate::Refused(error),
                Err(error) => {
                    job.note_refusal(&error);
                    return Fate::Refused(error);
                }
                Ok(None) if job.is_behind_a_break() => {
                    return Fate::Refused(Error::unavailable(
                        "A mutation before this one has to be tried again first.",
                    ));
                }
                Ok(None) => {
                    if let Err(error) = kept_mutations.check_room(own, name, limits.kept_mutations_max) {
                        job.note_refusal(&error);
                        return Fate::Refused(error);
                    }
                }
            }
        }
        let fate = self.serve_anew(job);
        match (&job.idempotency, fate) {
            (Some(idempotency), Fate::Done(answer)) => {
                // Kept in the transaction of the request itself: either both are there or neither.
                let kept = answers::keep(&self.writer.sqlite.own, idempotency, &answer, self.writer.time_ms);
                self.writer.kept_mutations.add(&idempotency.name);
                kept.map_or_else(Fate::TransactionLost, |()| Fate::Done(answer))
            }
            (Some(idempotency), Fate::Refused(error)) => {
                job.note_refusal(&error);
                match answers::keep_refusal(&self.writer.sqlite.own, idempotency, &error, self.writer.time_ms) {
                    Ok(is_kept) => {
                        if is_kept {
                            self.writer.kept_mutations.add(&idempotency.name);
                        }
                        Fate::Refused(error)
                    }
                    Err(error) => Fate::TransactionLost(error),
                }
            }
            (_, fate) => fate,
        }
    }

    fn serve_anew(&mut self, job: &mut Job) -> Fate {
        let own = &self.writer.sqlite.own;
        if let Err(error) = own.prepare_cached("SAVEPOINT tide_request").and_then(|mut s| s.execute([])) {
            return Fate::TransactionLost(error.into());
        }
        self.writer.capture.clear();
        self.writer.sqlite.reset_last_insert_rowid();
        let messages = self.messages.len();
        match &job.work {
            Work::Rehearse(rehearsal) => {
                let done = self.rehearse(rehearsal, job.cancel.clone());
                return self.undo_rehearsal(done);
            }
            Work::Migrate(task) if task.dry_run => {
                let done = self.migrate(task, job.cancel.clone());
                return self.undo_rehearsal(done);
            }
            Work::Import(import) if import.dry_run => return self.try_import(job),
            _ => {}
        }
        let done = self.run(job).and_then(|body| self.finish(job, body));
        let own = &self.writer.sqlite.own;
        if job.defers_keys
            && let Err(error) = own.execute_batch("PRAGMA defer_foreign_keys = OFF")
        {
            return Fate::TransactionLost(error.into());
        }
        if own.is_autocommit() {
            let lost = || Error::conflict("The statement ended the whole transaction (ROLLBACK).");
            return Fate::TransactionLost(done.err().unwrap_or_else(lost));
        }
        match done {
            Ok(answer) => match own.prepare_cached("RELEASE tide_request").and_then(|mut s| s.execute([])) {
                Ok(_) => Fate::Done(answer),
                Err(error) => Fate::TransactionLost(error.into()),
            },
            Err(error) => {
                self.messages.truncate(messages);
                self.writer.capture.clear();
                match own.execute_batch("ROLLBACK TO tide_request; RELEASE tide_request") {
                    Ok(()) => match self.writer.sqlite.note_rollback() {
                        Ok(()) => Fate::Refused(error),
                        Err(lost) => Fate::TransactionLost(lost),
                    },
                    Err(rollback) => Fate::TransactionLost(rollback.into()),
                }
            }
        }
    }

    /// All that an import does, JSON Schemas too, and nothing of it stays.
    fn try_import(&mut self, job: &mut Job) -> Fate {
        let (revision, epoch, sets) = (self.writer.revision, self.writer.schema_epoch, self.sets.len());
        let done = self.run(job).and_then(|body| self.finish(job, body)).map(|answer| Answer { revision, ..answer });
        (self.writer.revision, self.writer.schema_epoch) = (revision, epoch);
        self.sets.truncate(sets);
        let fate = match self.undo_rehearsal(done) {
            Fate::TransactionLost(error) => return Fate::TransactionLost(error),
            fate => fate,
        };
        let again = self.writer.sqlite.own.execute_batch("PRAGMA defer_foreign_keys = OFF");
        match again.map_err(Error::from).and_then(|()| self.writer.load_schema()) {
            Ok(()) => fate,
            Err(error) => Fate::TransactionLost(error),
        }
    }

    fn rehearse(&mut self, rehearsal: &Rehearsal, cancel: Cancel) -> Result<Answer> {
        let Writer { sqlite, limits, capture, access, revision, .. } = &mut *self.writer;
        let body = rehearse::run(rehearse::Stage { sqlite, capture, access, limits, cancel }, rehearsal)?;
        Ok(Answer { body: Bytes::from(body), revision: *revision, enveloped: None, rows: 0, is_repeated: false })
    }

    /// Within the request's savepoint.
    fn migrate(&mut self, task: &Task, cancel: Cancel) -> Result<Answer> {
        let Writer { sqlite, limits, revision, time_ms, .. } = &mut *self.writer;
        let until = Instant::now() + limits.migration_time_max;
        let body = task.run(Stage { sqlite, cancel, until }, *time_ms, *revision + 1)?;
        Ok(Answer { body: Bytes::from(body), revision: *revision, enveloped: None, rows: 0, is_repeated: false })
    }

    /// Whatever came of it, nothing is left of it.
    fn undo_rehearsal(&mut self, done: Result<Answer>) -> Fate {
        self.writer.capture.clear();
        let sqlite = &mut self.writer.sqlite;
        if sqlite.own.is_autocommit() {
            let lost = || Error::conflict("The statement ended the whole transaction (ROLLBACK).");
            return Fate::TransactionLost(done.err().unwrap_or_else(lost));
        }
        let undone = sqlite.own.execute_batch("ROLLBACK TO tide_request; RELEASE tide_request");
        match undone.map_err(Error::from).and_then(|()| sqlite.note_rollback()) {
            Ok(()) => done.map_or_else(Fate::Refused, Fate::Done),
            Err(error) => Fate::TransactionLost(error),
        }
    }

    /// Does the work; gives the JSON of the answer's `result`.
    fn run(&mut self, job: &mut Job) -> Result<Vec<u8>> {
        self.rows = 0;
        let Writer { sqlite, limits, shared, revision, capture, access, schema, time_ms, .. } = &mut *self.writer;
        match &job.work {
            Work::Sql(request) => {
                if job.asks_changes {
                    // `changes()` still tells of the request before; a statement that changes nothing makes it zero.
                    sqlite.own.prepare_cached("DELETE FROM _tide_meta WHERE name IS NULL")?.execute([])?;
                }
                let mut out = Vec::with_capacity(128);
                let time = limits.write_time(request.principal.role());
                let rights = Rights::of(&request.principal, access);
                let rows = Cell::new(0);
                let terms = Terms { limits, place: Place::Writer(capture), rights, rows: &rows };
                let ran = sqlite.speaking_for(&request.principal, |sqlite| {
                    sqlite.bounded(time, Some(job.cancel.clone()), Mode::Caller, |sqlite| {
                        let ran = execute::run(sqlite, request, terms, &mut out)?;
                        in_time(sqlite, ran)
                    })
                });
                self.rows = rows.get();
                ran.map(|_| out)
            }
            Work::Key { write, principal } => {
                let (time, revision, cancel) =
                    (limits.write_time(principal.role()), *revision + 1, Some(job.cancel.clone()));
                let Some(role) = principal.role() else {
                    return sqlite.on_behalf(time, cancel, |own| keys::run(own, write, limits, revision));
                };
                let place = Place::Writer(capture);
                sqlite.speaking_for(principal, |sqlite| {
                    sqlite.bounded(time, cancel, Mode::Caller, |sqlite| {
                        let written =
                            keys::bound::Bound { sqlite, access, role, place }.write(write, limits, revision)?;
                        in_time(sqlite, written)
                    })
                })
            }
            Work::Documents { batch, principal } => {
                let (time, revision, cancel) =
                    (limits.write_time(principal.role()), *revision + 1, Some(job.cancel.clone()));
                let now = documents::timestamp(&sqlite.own, *time_ms)?;
                let (role, place) = (principal.role(), Place::Writer(capture));
                sqlite.speaking_for(principal, |sqlite| {
                    sqlite.bounded(time, cancel, Mode::Caller, |sqlite| {
                        let written = batch.run(&mut Desk { sqlite, access, role, place }, limits, revision, &now)?;
                        in_time(sqlite, written)
                    })
                })
            }
            Work::MakeCollection { table } => {
                documents::refuse_foreign(schema, table)?;
                if documents::presence(schema, table) == documents::Presence::Absent {
                    documents::make(&sqlite.own, table)?;
                }
                Ok(b"true".to_vec())
            }
            Work::Topic { write, principal } => {
                if let TopicWrite::Publish { topic, data } = write {
                    access.admit(sqlite, principal, topic, Deed::Publish, data, limits.topic_check_time_max)?;
                }
                let (body, message) = crate::topics::run(&sqlite.own, write, limits, &shared.topics)?;
                self.messages.extend(message);
                Ok(body)
            }
            Work::Import(import) => {
                let (time, cancel) = (limits.import_time_max, Some(job.cancel.clone()));
                let report = sqlite.bounded(time, cancel, Mode::Caller, |sqlite| import.run(sqlite))?;
                audit::write(&sqlite.own, &import.audited(&report), *time_ms)?;
                Ok(report.to_json().into_bytes())
            }
            Work::Migrate(task) => Ok(self.migrate(task, job.cancel.clone())?.body.to_vec()),
            Work::Refused(error) => Err(error.told_again()),
            Work::Rehearse(_) => Err(Error::internal("a rehearsal is not run like a request")),
            Work::Restore(_) => Err(Error::internal("a restore is not run in a transaction")),
            Work::Policy { write, who } => {
                let body = crate::access::policy::run(sqlite, schema, write)?;
                audit::write(&sqlite.own, &write.audited(who), *time_ms)?;
                Ok(body)
            }
            Work::System { statements, audit } => {
                let changed = sqlite.as_system(limits.write_time_max, |own| system::change(own, statements))?;
                if let Some(entry) = audit.as_ref().filter(|_| changed > 0 || statements.is_empty()) {
                    audit::write(&sqlite.own, entry, *time_ms)?;
                }
                Ok(changed.to_string().into())
            }
            Work::Schema { write, who } => {
                let body = crate::schemas::run(sqlite, schema, write, limits)?;
                audit::write(&sqlite.own, &write.audited(who), *time_ms)?;
                Ok(body)
            }
        }
    }

    /// Before the RELEASE: nothing may be left open, and what changed becomes a change set.
    fn finish(&mut self, job: &Job, body: Vec<u8>) -> Result<Answer> {
        if self.writer.sqlite.has_deferred_violations() {
            return Err(Error::conflict("FOREIGN KEY constraint failed"));
        }
        if job.idempotency.is_some() && body.len() > self.writer.limits.kept_answer_bytes_max {
            return Err(Error::too_large(format!(
                "With an Idempotency-Key the answer may have {} bytes at most, for it is kept. RETURNING less helps.",
                self.writer.limits.kept_answer_bytes_max
            )));
        }
        let revision = self.writer.revision + 1;
        if let Some(extent) = self.extent(job, revision)? {
            self.writer.revision = revision;
            self.sets.push(ChangeSet { revision, extent });
        }
        let (revision, rows) = (self.writer.revision, self.rows);
        Ok(Answer { body: Bytes::from(body), revision, enveloped: None, rows, is_repeated: false })
    }

    fn extent(&mut self, job: &Job, revision: Revision) -> Result<Option<Extent>> {
        let has_other_rules = matches!(
            job.work,
            Work::Policy { .. } | Work::Schema { .. } | Work::MakeCollection { .. } | Work::Migrate(_)
        );
        if has_other_rules || self.changes_schema && self.writer.pragma("schema_version")? != self.writer.schema_version
        {
            if let Work::Sql(request) = &job.work {
                audit::write(&self.writer.sqlite.own, &AuditEntry::of_schema(request), self.writer.time_ms)?;
            }
            self.stamp(revision)?;
            self.writer.schema_epoch += 1;
            let touched = self.writer.capture.touched_tables();
            self.writer.capture.clear();
            self.writer.load_schema()?;
            self.judge_tables(job, touched.as_deref())?;
            return Ok(Some(Extent::Everything { schema: true }));
        }
        self.stamp(revision)?;
        if job.mends_indexes {
            let touched = self.writer.capture.touched_tables();
            self.judge_tables(job, touched.as_deref())?;
            return Ok(Some(Extent::Everything { schema: false }));
        }
        Ok(match self.writer.capture.net(&self.writer.sqlite.own)? {
            Net::TooMuch => {
                self.judge_tables(job, None)?;
                Some(Extent::Everything { schema: false })
            }
            Net::Rows(rows) if rows.is_empty() => None,
            Net::Rows(rows) => {
                if !self.writer.schemas.is_empty() {
                    self.writer.schemas.judge(&rows, &may_know(&self.writer.access, job))?;
                }
                Some(Extent::Rows(rows))
            }
        })
    }

    /// Documents are judged as a whole where the rows that changed are not known one by one.
    fn judge_tables(&mut self, job: &Job, touched: Option<&[Box<str>]>) -> Result<()> {
        let Writer { sqlite, schemas, limits, access, .. } = &mut *self.writer;
        if schemas.is_empty() || touched.is_some_and(<[_]>::is_empty) {
            return Ok(());
        }
        let time = limits.write_time_max;
        sqlite.bounded(time, None, Mode::Open, |sqlite| {
            schemas.judge_tables(&sqlite.own, touched, time, &may_know(access, job))
        })
    }

    /// Every key and document that was written has the revision of this request, by whatever statement it was written.
    fn stamp(&mut self, revision: Revision) -> Result<()> {
        self.stamp_keys(revision)?;
        let Writer { sqlite, capture, collections, .. } = &*self.writer;
        let touched = |table: &str| capture.touched_rowids(table);
        if self.changes_schema && self.writer.pragma("schema_version")? != self.writer.schema_version {
            // What it has made is not known yet.
            return Collections::of(&Schema::load(&sqlite.own)?).stamp(&sqlite.own, None, touched, revision);
        }
        if collections.is_empty() {
            return Ok(());
        }
        collections.stamp(&sqlite.own, capture.touched_tables().as_deref(), touched, revision)
    }

    fn stamp_keys(&mut self, revision: Revision) -> Result<()> {
        let own = &self.writer.sqlite.own;
        // The request itself may have dropped the table, or changed it.
        if !keys::is_ready(&self.writer.schema) || self.changes_schema && !keys::is_still_there(own)? {
            return Ok(());
        }
        let capture = &self.writer.capture;
        let stamp = |own: &Connection| {
            let Some(touched) = capture.touched_rowids(keys::TABLE) else {
                return keys::stamp_all(own, revision);
            };
            keys::stamp(own, &touched, revision)?;
            if self.changes_schema { keys::stamp_unstamped(own, revision) } else { Ok(()) }
        };
        if self.changes_schema {
            // It may have made a trigger just now.
            return keys::untriggered(own, &Schema::load(own)?, stamp);
        }
        keys::untriggered(own, &self.writer.schema, stamp)
    }

    fn commit(&mut self) -> Result<()> {
        let own = &self.writer.sqlite.own;
        if !self.sets.is_empty() {
            log::append(own, &self.sets, self.writer.time_ms, self.writer.schema_epoch)?;
            if self.writer.schema_epoch != self.before.1 {
                system::set(own, "schema_epoch", &self.writer.schema_epoch)?;
            }
        }
        own.prepare_cached("COMMIT")?.execute([]).map_err(refused_by_commit)?;
        self.writer.sqlite.note_commit();
        self.writer.shared.set_access(&self.writer.access);
        self.writer.shared.note_commit();
        Ok(())
    }

    fn failed(mut self, error: Error) -> Attempt {
        self.undo();
        Attempt::Failed(error)
    }

    /// Nothing was kept: the counters go back, and the schema is read anew.
    fn undo(&mut self) {
        let own = &self.writer.sqlite.own;
        if !own.is_autocommit()
            && let Err(error) = own.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "could not roll back");
        }
        self.writer.capture.clear();
        self.writer.kept_mutations.forget();
        if let Err(error) = self.writer.sqlite.note_rollback() {
            tracing::error!(%error, "views of callers stay after a rollback");
        }
        (self.writer.revision, self.writer.schema_epoch, self.writer.data_version) = self.before;
        if let Err(error) = self.writer.load_schema() {
            tracing::error!(%error, "could not read the schema");
        }
    }
}

/// A caller's write that has ended too late, in one long step, is not kept. The administrator's is.
fn in_time<T>(sqlite: &Sqlite, done: T) -> Result<T> {
    if sqlite.is_bound() {
        sqlite.look()?;
    }
    Ok(done)
}

/// In a file that had rows without their parents before, SQLite's count of open deferred keys can fall below zero. It
/// then says that none is open, and refuses the COMMIT.
fn refused_by_commit(error: rusqlite::Error) -> Error {
    let code = error.sqlite_error().map(|failure| failure.extended_code);
    if code == Some(rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY) {
        return Error::conflict("FOREIGN KEY constraint failed").caused_by(error);
    }
    error.into()
}

impl Writer {
    /// A statement that SQLite runs only outside a transaction.
    pub(super) fn run_alone(&mut self, job: &Job) -> Result<Answer> {
        let Work::Sql(request) = &job.work else { return Err(Error::internal("only SQL runs alone")) };
        let sql = match request.statements.as_slice() {
            [one] => execute::split(&one.sql)?,
            _ => Vec::new(),
        };
        let has_params = request.statements.iter().any(|one| match &one.params {
            Params::None => false,
            Params::Positional(values) => !values.is_empty(),
            Params::Named(values) => !values.is_empty(),
        });
        let ([sql], false, false) = (&sql[..], request.is_transaction, has_params) else {
            return Err(Error::invalid(
                "VACUUM and PRAGMA optimize must be sent alone, without parameters: they cannot be part of a transaction.",
            ));
        };
        let words: Vec<_> = crate::sqlite::tokens::tokens(sql).collect();
        let is_vacuum = words[0].is("vacuum");
        if is_vacuum && words.iter().any(|word| word.is("into")) {
            return Err(Error::forbidden("VACUUM INTO is not available; `tidebase backup` writes a safe copy."));
        }
        if is_vacuum && !(words.len() == 1 || words.len() == 2 && words[1].is("main")) {
            return Err(Error::invalid("VACUUM stands alone: there is but one database."));
        }
        self.sqlite.forget_statements();
        self.capture.pause(true);
        // VACUUM attaches a temporary file by itself, which the gate would refuse to a caller.
        let mode = if is_vacuum { Mode::Open } else { Mode::Caller };
        let cancel = Some(job.cancel.clone());
        let done = self.sqlite.bounded(VACUUM_TIME_MAX, cancel, mode, |sqlite| {
            Ok(sqlite.own.execute_batch(if is_vacuum { "VACUUM" } else { sql })?)
        });
        self.capture.pause(false);
        let body: &[u8] = match request.format {
            Format::Objects => b"[]",
            Format::Raw => br#"{"columns":[],"rows":[],"meta":{"rows_read":0,"rows_written":0,"last_insert_rowid":0}}"#,
        };
        done.map(|()| Answer {
            body: Bytes::from_static(body),
            enveloped: None,
            revision: self.revision,
            rows: 0,
            is_repeated: false,
        })
    }
}

/// What is written to a file without a name is lost when it is closed.
pub const MOVED: &str = "The database file was deleted, renamed or replaced while it was being served. Nothing was \
                         written, and nothing will be: put the file back and restart the server.";

/// VACUUM rewrites the file: whoever asks for it knows that writers wait.
const VACUUM_TIME_MAX: std::time::Duration = std::time::Duration::from_mins(10);

/// Whose documents a refusal may tell of: what triggers write where the caller may not is not told.
fn may_know(access: &Access, job: &Job) -> impl Fn(&str, &str) -> bool {
    let role = job.work.role();
    move |table, column| role.is_none_or(|role| access.may_write(table, column, role))
}
