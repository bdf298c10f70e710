//! The one writer: a thread that owns the writing connection, drains the queue and commits whole groups.
//!
//! Each request runs in a SAVEPOINT of its own and gets its own revision; the group is made durable by one fsync, and
//! nobody is answered or told before that. What one request does to the transaction (ROLLBACK, interrupt, full disk)
//! never costs another: the others are run again. How a group is run is in [`super::group`].

use super::answers::{self, KeptMutations};
use super::execute;
use super::group::MOVED;
use super::group::{Attempt, Group};
use super::work::{Company, Job, Work};
use super::{system, vouch};
use crate::access::policy::PolicyWrite;
use crate::access::{Access, Principal, Role};
use crate::backups::swap::{Fork, Stand};
use crate::backups::{Mark, Marks};
use crate::changes::capture::{Bounds, Capture};
use crate::changes::change::{ChangeSet, Extent, Revision};
use crate::changes::log;
use crate::documents::{self, Collections};
use crate::error::{Code, Error, Result};
use crate::limits::Limits;
use crate::request::Answer;
use crate::schemas::Schemas;
use crate::shared::Shared;
use crate::sqlite::Sqlite;
use crate::sqlite::schema::Schema;
use crate::{clock, keys, logs};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long a checkpoint past the WAL's bound may wait for readers.
const CHECKPOINT_WAIT_MAX: Duration = Duration::from_millis(100);
/// How long a stop may wait for backups.
const BACKUP_WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub enum Message {
    Job(Job),
    Stop,
}

pub struct Writer {
    // The hook must go before the connection does.
    pub(super) capture: Capture,
    pub(super) sqlite: Sqlite,
    pub(super) limits: Arc<Limits>,
    pub(super) shared: Arc<Shared>,
    pub(super) schema: Arc<Schema>,
    pub(super) access: Arc<Access>,
    pub(super) schemas: Schemas,
    pub(super) collections: Collections,
    pub(super) revision: Revision,
    pub(super) schema_epoch: i64,
    pub(super) schema_version: i64,
    /// SQLite's counter of other connections' commits, as last seen.
    pub(super) data_version: i64,
    pub(super) time_ms: i64,
    pub(super) kept_mutations: KeptMutations,
    wal_frames: Arc<AtomicI64>,
    /// Counted by SQLite's hook, and up to where backups were told.
    commits: Arc<AtomicU64>,
    marked: u64,
    /// Where backups are told what was committed.
    marks: Option<Arc<Marks>>,
    page_bytes: u64,
    /// WAL size at which the next checkpoint is tried.
    checkpoint_at: u64,
    last_tick: Instant,
    /// After a failed fsync nothing that this process believes about the file can be trusted.
    broken: Option<String>,
}

impl Writer {
    pub fn new(
        mut sqlite: Sqlite,
        limits: Arc<Limits>,
        shared: Arc<Shared>,
        schema_epoch: i64,
        marks: Option<Arc<Marks>>,
    ) -> Result<Self> {
        let bounds = Bounds { rows: limits.change_rows_max, bytes: limits.change_bytes_max };
        let wal_frames = Arc::new(AtomicI64::new(0));
        let commits = Arc::new(AtomicU64::new(0));
        let (frames, counted) = (Arc::clone(&wal_frames), Arc::clone(&commits));
        sqlite.own.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            frames.store(pages.into(), Ordering::Relaxed);
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }))?;
        let page_bytes: i64 = sqlite.own.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let mut writer = Self {
            capture: Capture::start(&sqlite.own, bounds)?,
            revision: log::last_revision(&sqlite.own)?,
            schema: Arc::default(),
            access: Arc::default(),
            schemas: Schemas::default(),
            collections: Collections::default(),
            schema_epoch,
            schema_version: 0,
            data_version: 0,
            time_ms: 0,
            kept_mutations: KeptMutations::default(),
            wal_frames,
            commits,
            marked: 0,
            marks,
            page_bytes: page_bytes.unsigned_abs(),
            checkpoint_at: limits.wal_checkpoint_bytes,
            last_tick: Instant::now(),
            broken: None,
            sqlite,
            limits,
            shared,
        };
        writer.data_version = writer.pragma("data_version")?;
        writer.load_schema()?;
        writer.shared.set_access(&writer.access);
        Ok(writer)
    }

    /// Runs until told to stop, then folds the WAL into the file and closes it. Gives how the file then stood, if it is
    /// certain that nothing but what was told is in it.
    pub fn run(mut self, queue: &Receiver<Message>) -> Option<vouch::Stand> {
        loop {
            match queue.recv_timeout(self.limits.outside_poll.saturating_sub(self.last_tick.elapsed())) {
                Ok(Message::Job(job)) => {
                    let (jobs, stop) = self.drain(job, queue);
                    self.serve(jobs);
                    if stop {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.last_tick.elapsed() >= self.limits.outside_poll {
                self.last_tick = Instant::now();
                self.tick();
            }
            self.mark();
            self.checkpoint_if_due();
        }
        self.close()
    }

    fn drain(&self, first: Job, queue: &Receiver<Message>) -> (VecDeque<Job>, bool) {
        let mut jobs = VecDeque::from([first]);
        while jobs.len() < self.limits.group_requests_max {
            match queue.try_recv() {
                Ok(Message::Job(job)) => jobs.push_back(job),
                Ok(Message::Stop) => return (jobs, true),
                Err(_) => break,
            }
        }
        (jobs, false)
    }

    /// Serves the jobs in their order, as many at a time as may share a transaction.
    fn serve(&mut self, mut jobs: VecDeque<Job>) {
        while let Some(first) = jobs.pop_front() {
            if let Some(reason) = &self.broken {
                first.answer(Err(Error::unavailable(reason.clone())));
                continue;
            }
            if let Err(error) = self.make_what_it_needs(&first) {
                first.answer(Err(error));
                continue;
            }
            match first.company {
                Company::NoTransaction if matches!(first.work, Work::Restore(_)) => self.restore(first),
                Company::NoTransaction => self.serve_alone(first),
                Company::OwnGroup => self.commit_alone(first),
                Company::Any => {
                    let mut group = vec![first];
                    while jobs.front().is_some_and(|next| next.company == Company::Any && !self.needs_table(next)) {
                        group.extend(jobs.pop_front());
                    }
                    self.commit(group, false);
                }
            }
        }
    }

    /// In a transaction of its own. SQLite changes whether it follows references only outside of one.
    fn commit_alone(&mut self, job: Job) {
        let ignores_references = match &job.work {
            Work::Import(import) => import.ignores_references(),
            Work::Migrate(task) => task.ignores_references(),
            _ => false,
        };
        if ignores_references && let Err(error) = self.sqlite.own.execute_batch("PRAGMA foreign_keys = OFF") {
            return job.answer(Err(error.into()));
        }
        self.commit(vec![job], true);
        if ignores_references && let Err(error) = self.sqlite.own.execute_batch("PRAGMA foreign_keys = ON") {
            tracing::error!(%error, "references are followed no more: no writes until a restart");
            self.broken = Some("References between tables are not followed; restart the server.".into());
        }
    }

    /// Keys and collections have their tables made when the administrator writes the first.
    fn make_what_it_needs(&mut self, job: &Job) -> Result<()> {
        if self.needs_keys_table(job) {
            self.make_keys_table()?;
        }
        let Work::Documents { batch, principal: Principal::Admin } = &job.work else { return Ok(()) };
        for table in batch.tables() {
            documents::refuse_foreign(&self.schema, table)?;
            if self.is_collection(table) {
                continue;
            }
            let (job, mut answer) = Job::own(Work::MakeCollection { table: table.into() });
            self.commit(vec![job], true);
            answer.try_recv().unwrap_or_else(|_| Err(Error::internal("the collection was not made")))?;
        }
        Ok(())
    }

    fn needs_table(&self, job: &Job) -> bool {
        let needs_collection = match &job.work {
            Work::Documents { batch, principal: Principal::Admin } => {
                !batch.tables().all(|table| self.is_collection(table))
            }
            _ => false,
        };
        needs_collection || self.needs_keys_table(job)
    }

    fn is_collection(&self, table: &str) -> bool {
        documents::presence(&self.schema, table) == documents::Presence::Collection
    }

    /// A key of the administrator's, or a policy on keys, when there are none yet. A caller does not make the table.
    fn needs_keys_table(&self, job: &Job) -> bool {
        match &job.work {
            Work::Key { principal, .. } => principal.caller().is_none() && !keys::is_ready(&self.schema),
            Work::Policy { write, .. } => match &**write {
                PolicyWrite::Keep(policy) => {
                    policy.table.eq_ignore_ascii_case(keys::TABLE)
                        && keys::presence(&self.schema) == keys::Presence::Absent
                }
                PolicyWrite::Drop(_) => false,
            },
            _ => false,
        }
    }

    /// Commits the jobs as one group if it can be done, and answers every one of them.
    fn commit(&mut self, mut jobs: Vec<Job>, changes_schema: bool) {
        if changes_schema {
            // What is made for callers stands in the way of a changed table.
            if let Err(error) = self.sqlite.forget_sights() {
                tracing::warn!(%error, "views of callers stay");
            }
        } else {
            self.prepare_passages(&jobs);
        }
        while !jobs.is_empty() {
            match Group::new(self, changes_schema).attempt(&mut jobs) {
                Attempt::Committed(committed) => {
                    self.mark_at(committed.sets.last().map_or(self.revision, |set| set.revision));
                    self.announce(committed.sets);
                    for message in committed.messages {
                        self.shared.topics.deliver_kept(message);
                    }
                    for (job, outcome) in jobs.drain(..).zip(committed.outcomes) {
                        job.answer(outcome);
                    }
                }
                Attempt::Lost { offender, error } => {
                    // In their order: what is kept of a later mutation says that those before it are done with.
                    let mut rest = jobs.split_off(offender);
                    let lost = rest.remove(0);
                    self.commit(std::mem::replace(&mut jobs, rest), changes_schema);
                    self.refuse(lost, error);
                }
                Attempt::NotBegun(error) => {
                    self.note_failure(&error);
                    // Whatever it is, it says nothing of any of them, and may pass.
                    let code = if error.code == Code::Internal { Code::Unavailable } else { error.code };
                    // Waiting once was enough for all of them.
                    for job in jobs.drain(..) {
                        job.answer(Err(Error::new(code, error.message.clone())));
                    }
                }
                Attempt::Failed(error) if jobs.len() == 1 => {
                    self.note_failure(&error);
                    self.refuse(jobs.remove(0), error);
                }
                Attempt::Failed(error) => {
                    self.note_failure(&error);
                    // One of them cannot be committed: found by running each alone.
                    for job in jobs.drain(..) {
                        self.commit(vec![job], changes_schema);
                    }
                }
            }
        }
    }

    /// Makes what callers' statements need before the transaction begins, with which it could be lost again. What is
    /// wrong with a statement is told when it is run.
    fn prepare_passages(&mut self, jobs: &[Job]) {
        for job in jobs {
            match &job.work {
                Work::Sql(request) => {
                    let Some(role) = request.principal.role() else { continue };
                    let texts = request.statements.iter().map(|statement| statement.sql.as_str());
                    for part in texts.flat_map(|sql| execute::split(sql).unwrap_or_default()) {
                        self.prepare_passage(role, part);
                    }
                }
                Work::Key { principal, .. } => {
                    let Some(role) = principal.role().filter(|_| keys::is_ready(&self.schema)) else { continue };
                    keys::bound::STATEMENTS.iter().for_each(|sql| self.prepare_passage(role, sql));
                }
                Work::Documents { batch, principal } => {
                    let Some(role) = principal.role() else { continue };
                    batch.statements().for_each(|sql| self.prepare_passage(role, &sql));
                }
                _ => {}
            }
        }
    }

    fn prepare_passage(&mut self, role: Role, sql: &str) {
        let translated = self.access.translate(role, sql);
        let _ = translated.and_then(|translated| self.sqlite.pass(&self.access, &translated));
    }

    /// Answers a request that took its transaction with it, so that its refusal is kept in one of its own.
    fn refuse(&mut self, job: Job, error: Error) {
        if let Some(idempotency) = &job.idempotency {
            match Group::new(self, false).keep_refusal(idempotency, &error) {
                Ok(sets) => self.announce(sets),
                Err(error) => tracing::debug!(%error, "a refusal could not be kept; sent again it is looked at anew"),
            }
        }
        job.answer(Err(error));
    }

    /// The order that everything told rests on: durable, visible, told to the live queries, and only then answered.
    fn announce(&mut self, sets: Vec<ChangeSet>) {
        let Some(last) = sets.last() else { return };
        self.revision = last.revision;
        self.shared.announce(sets);
    }

    /// Tells backups of commits that they were not told of yet.
    fn mark(&mut self) {
        self.mark_at(self.revision);
    }

    fn mark_at(&mut self, revision: Revision) {
        let Some(marks) = &self.marks else { return };
        let commits = self.commits.load(Ordering::Relaxed);
        if commits != self.marked {
            self.marked = commits;
            let frames = u32::try_from(self.wal_frames.load(Ordering::Relaxed)).unwrap_or(0);
            // Now is when others see it, and not when its transaction began.
            self.time_ms = self.time_ms.max(clock::now_ms());
            marks.note(Mark { frames, time_ms: self.time_ms, revision });
        }
    }

    /// May the WAL be folded into the file? Not before all of it is in the backups, unless it has become far too large.
    fn is_kept(&mut self, wal_bytes: u64, wait: Duration) -> bool {
        self.mark();
        let Some(marks) = &self.marks else { return true };
        // A first look at all pages may take a while, and is waited for at a stop only.
        if (marks.is_keeping() || wait > CHECKPOINT_WAIT_MAX) && marks.free(wait) {
            return true;
        }
        let is_too_much = wal_bytes >= self.limits.backup_wal_bytes_max;
        if is_too_much {
            marks.lose();
        }
        is_too_much
    }

    fn note_failure(&mut self, error: &Error) {
        let fsync_failed = error
            .source
            .as_deref()
            .and_then(|source| source.downcast_ref::<rusqlite::Error>())
            .and_then(rusqlite::Error::sqlite_error)
            .is_some_and(|failure| failure.extended_code == rusqlite::ffi::SQLITE_IOERR_FSYNC);
        if fsync_failed {
            tracing::error!(%error, "an fsync failed: no more writes until a restart");
            self.broken = Some(
                "The disk failed to make a write durable; writes are refused until the server is restarted.".into(),
            );
        }
    }

    /// VACUUM and its like: outside a transaction, then everything is told to have changed.
    fn serve_alone(&mut self, job: Job) {
        let mut done = self.run_alone(&job);
        if let Ok(answer) = &mut done {
            // Rowids may have been renumbered, so whoever looks must look again.
            match Group::new(self, false).tell_everything(true) {
                Ok(sets) => self.announce(sets),
                Err(error) => tracing::error!(%error, "could not note a change of the whole file"),
            }
            answer.revision = self.revision;
        }
        job.answer(done);
    }

    /// A restored file takes the place of all there is; whoever is connected is told that everything has changed.
    fn restore(&mut self, job: Job) {
        let outcome = match &job.work {
            Work::Restore(fork) => self.swap(fork),
            _ => Err(Error::internal("only a restore restores")),
        };
        job.answer(outcome);
    }

    fn swap(&mut self, fork: &Fork) -> Result<Answer> {
        // What another program has written is part of what one may want to go back to.
        self.look_outside()?;
        self.mark();
        let Some(marks) = self.marks.clone() else { return Err(Error::internal("there are no backups")) };
        if !marks.settle(BACKUP_WAIT_MAX) {
            return Err(Error::unavailable(
                "The present state is not in the backups yet, and could not be gone back to. Try again later.",
            ));
        }
        marks.cut();
        let path = self.sqlite.own.path().map(PathBuf::from).ok_or_else(|| Error::internal("no file"))?;
        self.time_ms = self.time_ms.max(clock::now_ms());
        let next = Stand { revision: self.revision + 1, schema_epoch: self.schema_epoch + 1, time_ms: self.time_ms };
        let history = fork.dress(&path, self.page_bytes.cast_signed(), &next)?;
        self.sqlite.forget_sights()?;
        self.sqlite.forget_statements();
        self.sqlite.own.flush_prepared_statement_cache();
        fork.take_place(&mut self.sqlite.own, self.limits.lock_wait_max)?;
        // SQLite tells its WAL hook of statements only, and backups know of commits by it.
        if let Err(error) = system::set(&self.sqlite.own, "restored", &next.revision) {
            tracing::warn!(%error, "backups hear of the restore with the next write");
        }
        self.mark_at(next.revision);
        marks.cut();
        self.taken_place(&next, history)
    }

    fn taken_place(&mut self, next: &Stand, history: String) -> Result<Answer> {
        self.schema_epoch = next.schema_epoch;
        self.capture.clear();
        self.kept_mutations.forget();
        let loaded = self.load_schema().and_then(|()| self.shared.recall(&self.sqlite.own, history));
        if let Err(error) = loaded {
            // It is done, and cannot be served as it is.
            tracing::error!(%error, "what was restored cannot be read: no writes until a restart");
            self.broken = Some(format!("What was restored cannot be read ({error}); restart the server."));
            return Err(error);
        }
        self.shared.set_access(&self.access);
        self.shared.note_commit();
        let told = ChangeSet { revision: next.revision, extent: Extent::Everything { schema: true } };
        self.announce(vec![told]);
        let body = serde_json::json!({ "revision": next.revision, "before": next.revision - 1 }).to_string();
        Ok(Answer { body: body.into(), enveloped: None, revision: next.revision, rows: 0, is_repeated: false })
    }

    fn tick(&mut self) {
        if self.broken.is_some() {
            return;
        }
        if self.sqlite.has_moved() {
            tracing::error!("{MOVED}");
            self.broken = Some(MOVED.into());
            return;
        }
        // Chores do not wait for another program's lock: a request behind them would wait twice.
        let _ = self.sqlite.own.busy_timeout(Duration::ZERO);
        self.chores();
        let _ = self.sqlite.own.busy_timeout(self.limits.lock_wait_max);
    }

    fn chores(&mut self) {
        if let Err(error) = self.look_outside().and_then(|()| self.expire()) {
            tracing::debug!(%error, "could not look for outside writes and expired keys; the next time will");
        }
        self.time_ms = self.time_ms.max(clock::now_ms());
        if let Err(error) = self.prune() {
            tracing::debug!(%error, "could not prune the change log; the next time will");
        }
    }

    fn look_outside(&mut self) -> Result<()> {
        if self.pragma("data_version")? == self.data_version {
            return Ok(());
        }
        let sets = Group::new(self, false).tell_outside()?;
        self.announce(sets);
        Ok(())
    }

    fn expire(&mut self) -> Result<()> {
        if keys::is_ready(&self.schema) && keys::has_expired(&self.sqlite.own, clock::now_ms())? {
            let (job, _answer) = Job::own(Work::Key { write: keys::KeyWrite::Expire, principal: Principal::Admin });
            self.commit(vec![job], false);
        }
        Ok(())
    }

    fn make_keys_table(&mut self) -> Result<()> {
        keys::refuse_foreign(&self.schema)?;
        let (job, mut answer) = Job::own(Work::Key { write: keys::KeyWrite::MakeTable, principal: Principal::Admin });
        self.commit(vec![job], true);
        answer.try_recv().unwrap_or_else(|_| Err(Error::internal("the keys table was not made"))).map(|_| ())
    }

    fn prune(&mut self) -> Result<()> {
        log::prune(&self.sqlite.own, &self.limits, self.time_ms)?;
        if answers::prune(&self.sqlite.own, &self.limits, self.time_ms)? {
            self.kept_mutations.forget();
            self.shared.note_commit();
        }
        let logged = logs::queries::flush(&self.sqlite.own, &self.shared.query_log, &self.schema)?;
        if logs::prune(&self.sqlite.own, &self.limits, self.time_ms)? || logged {
            // Nobody is told of it, but whoever reads from now on sees it.
            self.shared.note_commit();
        }
        Ok(())
    }

    pub(super) fn pragma(&self, name: &str) -> Result<i64> {
        Ok(self.sqlite.own.prepare_cached(&format!("PRAGMA {name}"))?.query_row([], |row| row.get(0))?)
    }

    pub(super) fn load_schema(&mut self) -> Result<()> {
        self.schema_version = self.pragma("schema_version")?;
        self.schema = Arc::new(Schema::load(&self.sqlite.own)?);
        self.capture.set_schema(Arc::clone(&self.schema));
        self.access = Access::load(&self.sqlite.own, Arc::clone(&self.schema))?;
        self.schemas = Schemas::load(&self.sqlite.own, &self.schema, &self.schemas)?;
        self.shared.set_keys(keys::presence(&self.schema));
        self.collections = Collections::of(&self.schema);
        Ok(())
    }

    fn checkpoint_if_due(&mut self) {
        let wal_bytes = self.wal_frames.load(Ordering::Relaxed).unsigned_abs() * self.page_bytes;
        if wal_bytes < self.checkpoint_at {
            return;
        }
        if !self.is_kept(wal_bytes, CHECKPOINT_WAIT_MAX) {
            self.checkpoint_at = wal_bytes + self.limits.wal_checkpoint_bytes / 4;
            return;
        }
        // Readers that hold an old snapshot only delay a passive checkpoint; past the bound we wait for them.
        let mode = if wal_bytes >= self.limits.wal_bytes_max { "RESTART" } else { "PASSIVE" };
        self.shared.let_go_of_snapshots();
        // Waiting for readers holds up every writer: a moment is enough, they let go between two steps.
        let _ = self.sqlite.own.busy_timeout(CHECKPOINT_WAIT_MAX);
        let done = self.checkpoint(mode);
        let _ = self.sqlite.own.busy_timeout(self.limits.lock_wait_max);
        self.tell_checkpointed(&done);
        match done.map(|frames| frames.is_some()) {
            Ok(true) => {
                self.checkpoint_at = self.limits.wal_checkpoint_bytes;
                self.wal_frames.store(0, Ordering::Relaxed);
            }
            Ok(false) => self.checkpoint_at = wal_bytes + self.limits.wal_checkpoint_bytes / 4,
            Err(error) => {
                self.checkpoint_at = wal_bytes + self.limits.wal_checkpoint_bytes / 4;
                tracing::warn!(%error, "checkpoint failed; the WAL grows until one succeeds");
            }
        }
    }

    /// Backups hold the WAL again. What another program has added to it in between is kept now, while it is still there.
    fn tell_checkpointed(&self, done: &Result<Option<u32>>) {
        let Some(marks) = &self.marks else { return };
        let frames = done.as_ref().ok().copied().flatten();
        if !marks.checkpointed(frames)
            && let Some(frames) = frames
        {
            marks.cut();
            marks.note(Mark { frames, time_ms: self.time_ms, revision: self.revision });
            if marks.free(CHECKPOINT_WAIT_MAX) {
                marks.checkpointed(Some(frames));
            }
        }
    }

    /// The frames of the WAL, if all of them are in the file now.
    fn checkpoint(&self, mode: &str) -> Result<Option<u32>> {
        let (busy, frames, done): (i64, i64, i64) =
            self.sqlite.own.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        Ok(u32::try_from(frames).ok().filter(|_| busy == 0 && frames == done))
    }

    fn close(mut self) -> Option<vouch::Stand> {
        let is_kept = self.is_kept(0, BACKUP_WAIT_MAX);
        if let Some(marks) = &self.marks {
            marks.end();
            marks.wait_gone(BACKUP_WAIT_MAX);
        }
        if !is_kept {
            tracing::warn!("the last commits are in no backup yet: the WAL stays, and the next start goes on with it");
            return None;
        }
        match self.checkpoint("TRUNCATE") {
            Ok(Some(_)) => {}
            Ok(None) => tracing::info!("another program reads the file: its WAL is not folded in at the stop"),
            Err(error) => {
                tracing::warn!(%error, "could not fold the WAL into the file at the stop; the next start will");
            }
        }
        // First how it stands, then whether another program wrote: what it writes from here on shows in the file.
        let stand = self.sqlite.own.path().and_then(|path| vouch::Stand::of(Path::new(path)));
        let is_told = self.broken.is_none() && self.pragma("data_version").is_ok_and(|now| now == self.data_version);
        // As the last one out, let SQLite remove its WAL: one plain file is left.
        let config = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.sqlite.own.set_db_config(config, false) {
            tracing::debug!(%error, "the WAL file stays");
        }
        stand.filter(|_| is_told)
    }

    /// Everything another program may have changed while we were away is unknown to clients of this history.
    pub(super) fn everything(&mut self, schema: bool) -> ChangeSet {
        self.revision += 1;
        ChangeSet { revision: self.revision, extent: Extent::Everything { schema } }
    }
}
