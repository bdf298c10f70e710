//! The heart of Tidebase: one SQLite file, its changes, its live queries, keys and topics.
//!
//! No HTTP, no sockets: faces translate, the engine decides, SQLite remembers. [`Engine`] has one verb for each thing a
//! face can ask; see ARCHITECTURE.md for the path of a write and of a subscription.

pub mod access;
pub mod backups;
pub mod changes;
mod clock;
pub mod documents;
pub mod error;
pub mod export;
pub mod import;
pub mod json;
pub mod keys;
pub mod limits;
pub mod live;
pub mod logs;
pub mod metrics;
pub mod migrations;
pub mod request;
pub mod schemas;
mod shared;
pub mod sqlite;
pub mod storage;
pub mod tables;
pub mod topics;
pub mod value;

pub use access::statements::Allowed;
pub use access::{Caller, Policy, Principal, Role};
pub use error::{Code, Error, Result};
pub use limits::{Limits, LiveTiers};
pub use live::inbox::{Since, Wanted};
pub use live::session::{RequestId, Session};
pub use logs::AuditEntry;
pub use request::{Answer, Format, Idempotency, Line, Origin, Sql, SqlRequest, WriteName};
pub use storage::rehearse::Rehearsal;
pub use value::{Params, Value};

use access::Access;
use access::messages::Deed;
use access::policy::PolicyWrite;
use access::statements::{self, Registered, Rejected};
pub use backups::swap::Fork;
use backups::{Backups, Marks, Moment};
use changes::change::Revision;
use documents::desk::Desk;
use keys::{Entry, KeyWrite};
use live::frame;
use live::inbox::{Command, Inbox};
use live::lane::Lane;
use live::report::LaneReport;
use live::session::{Ended, Holder};
use live::tags::Tag;
use logs::queries::Noting;
use shared::Shared;
use sqlite::Sqlite;
use sqlite::budget::{Cancel, CancelOnDrop};
use sqlite::gate::Mode;
use sqlite::open::{Purpose, damaged, open};
use sqlite::tokens::{self, Class};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use storage::execute::Place;
use storage::lock::ServerLock;
use storage::readers::{Read, Readers};
use storage::system::SystemStatement;
use storage::work::{Job, Work};
use storage::writer::{Message, Writer};
use storage::{system, vouch};
use tokio::sync::oneshot;
use topics::{Cursor, TopicWrite};

/// What the writer answers to a publish.
#[derive(serde::Deserialize)]
struct Published {
    cursor: Cursor,
}

/// No statement of an export takes as long.
const EXPORT_TIME_MAX: Duration = Duration::from_hours(24 * 7);
/// Kept messages read at one time to catch a listener up.
const MESSAGES_AT_ONCE: usize = 256;

/// What is opened, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub path: PathBuf,
    /// Another SQLite VFS than the system's, for trials.
    pub vfs: Option<String>,
    pub limits: Limits,
    /// Which statements callers may run.
    pub statements: Allowed,
    /// The folder in which all that is committed is kept; without one there are no backups.
    pub backups: Option<PathBuf>,
}

impl Options {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let (limits, statements) = Default::default();
        Self { path: path.into(), vfs: None, limits, statements, backups: None }
    }
}

/// Its queue, and at its end how it left the file.
type WriterThread = (SyncSender<Message>, JoinHandle<Option<vouch::Stand>>);

/// An open database. Dropping it closes it; [`Engine::close`] does so and says when it is done.
pub struct Engine {
    path: PathBuf,
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    writer: Mutex<Option<WriterThread>>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
    warden: Mutex<Option<JoinHandle<()>>>,
    backups: Option<Backups>,
    lock: Mutex<Option<ServerLock>>,
    described: tables::Described,
}

impl Engine {
    /// Opens or makes the database and starts its threads.
    ///
    /// # Errors
    /// Says in plain words what is wrong with the file, its folder, its version or who else has it.
    pub fn open(options: Options) -> Result<Arc<Self>> {
        let path = settle(&options.path)?;
        Self::open_file(path.clone(), options)
            .map_err(|error| if error.is_of_damage() { damaged(&path.display().to_string(), error) } else { error })
    }

    fn open_file(path: PathBuf, options: Options) -> Result<Arc<Self>> {
        let Options { vfs, limits, statements, backups, .. } = options;
        let lock = ServerLock::take(&path)?;
        path.parent().into_iter().for_each(import::sweep);
        Fork::sweep(&path);
        let keeps_history = vouch::redeem(&path);
        // SQLite counts in 32 bits of milliseconds.
        let lock_wait_max = limits.lock_wait_max.min(Duration::from_millis(i32::MAX as u64));
        let limits = Arc::new(Limits { lock_wait_max, ..limits });
        let mut writing = open(&path, vfs.as_deref(), Purpose::Write, limits.lock_wait_max)?;
        let meta = system::prepare(&mut writing.own, keeps_history)?;
        let revision = changes::log::last_revision(&writing.own)?;
        let statements = statements::load(&writing.own, statements)?;
        let schema_epoch = meta.schema_epoch;
        let marks = backups.is_some().then(Arc::<Marks>::default);
        let backups = match (&marks, backups) {
            (Some(marks), Some(root)) => {
                let name = backups::archive::begin(&writing.own)?;
                let open = || open(&path, vfs.as_deref(), Purpose::Read, limits.lock_wait_max);
                Some(Backups::start(&root, &name, &path, Arc::clone(marks), Arc::clone(&limits), open)?)
            }
            _ => None,
        };
        let shared = Shared::new(meta, Arc::clone(&limits), revision, statements);
        let (settings, newest) = topics::read_settings(&writing.own)?;
        shared.topics.restore(settings, newest);
        // Threads are started by the one who owns the connection: the writer is made on its own thread.
        let (queue, jobs) = sync_channel(limits.write_queue_max);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let parts = (Arc::clone(&limits), Arc::clone(&shared), schema_epoch, marks);
        let writer = thread("writer", move || match Writer::new(writing, parts.0, parts.1, parts.2, parts.3) {
            Ok(writer) => {
                let _ = ready.send(Ok(()));
                writer.run(&jobs)
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                None
            }
        })?;
        is_ready.recv().map_err(|_| Error::internal("the writer did not start"))??;
        let readers = Readers::start(path.clone(), vfs.clone(), Arc::clone(&limits), Arc::clone(&shared))?;
        let idle_readers = Arc::downgrade(&readers);
        shared.set_let_go(move || {
            if let Some(readers) = idle_readers.upgrade() {
                readers.let_go();
            }
        });
        let mut inboxes = Vec::new();
        let mut lanes = Vec::new();
        for number in 0..=limits.slow_lanes.max(1) {
            let inbox = Arc::new(Inbox::default());
            let sqlite = open(&path, vfs.as_deref(), Purpose::Live, limits.lock_wait_max)?;
            let lane = Lane::new(number, sqlite, Arc::clone(&shared), Arc::clone(&inbox))?;
            inboxes.push(inbox);
            lanes.push(thread(&format!("lane-{number}"), move || lane.run())?);
        }
        shared.set_lanes(inboxes);
        let sqlite = open(&path, vfs.as_deref(), Purpose::Read, limits.lock_wait_max)?;
        let its = Arc::clone(&shared);
        let warden = thread("warden", move || topics::warden::run(sqlite, &its))?;
        Ok(Arc::new(Self {
            path,
            shared,
            readers,
            writer: Mutex::new(Some((queue, writer))),
            lanes: Mutex::new(lanes),
            warden: Mutex::new(Some(warden)),
            backups,
            lock: Mutex::new(Some(lock)),
            described: tables::Described::default(),
        }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// What each lane tells of itself. One that is busy is waited for, up to `live_slow_time_max`.
    ///
    /// # Errors
    /// `unavailable` if a lane does not answer.
    pub async fn live_report(&self) -> Result<Vec<LaneReport>> {
        let mut reports = Vec::new();
        for lane in self.shared.lanes() {
            let (reply, report) = oneshot::channel();
            lane.push(Command::Report(reply));
            let time = self.shared.limits.live_slow_time_max;
            match tokio::time::timeout(time, report).await {
                Ok(Ok(report)) => reports.push(report),
                _ => return Err(Error::unavailable("A lane of live queries is busy. Try again later.")),
            }
        }
        Ok(reports)
    }

    pub fn metrics(&self) -> &metrics::Metrics {
        &self.shared.metrics
    }

    /// Names this line of revisions.
    pub fn history(&self) -> Arc<str> {
        self.shared.history()
    }

    /// The last durable revision.
    pub fn revision(&self) -> Revision {
        self.shared.revision()
    }

    /// Waits until `revision` is visible.
    ///
    /// # Errors
    /// `timeout` if it is not in time.
    pub async fn wait_for(&self, revision: Revision, time: Duration) -> Result<()> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut told = self.shared.watch_revision();
        let reached = tokio::time::timeout(time, told.wait_for(|told| *told >= revision)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::timeout(format!(
                "Revision {revision} is not here yet; the database stands at {}.",
                self.revision()
            ))),
        }
    }

    /// Runs SQL: at once if it reads, through the writer if it may write.
    pub async fn query(&self, request: SqlRequest) -> Result<Answer> {
        self.check(&request)?;
        if reads(&request) && request.idempotency.is_none() {
            let request = Arc::new(request);
            self.shared.metrics.reads.add(1);
            let noting = Noting::begin(&self.shared, &request);
            let outcome = match self.readers.run(&request).await {
                Ok(Read::Done(answer)) => Ok(answer),
                Ok(Read::NeedsWriter) => self.submit(Work::Sql(Arc::unwrap_or_clone(request)), None)?.wait().await,
                Err(error) => Err(error),
            };
            if let Some(noting) = noting {
                noting.done(&outcome);
            }
            return outcome;
        }
        self.queue(request)?.wait().await
    }

    /// Queues SQL that writes, keeping the order of the calls; the answer is waited for separately.
    pub fn write(&self, request: SqlRequest) -> Result<Pending> {
        self.check(&request)?;
        self.queue(request)
    }

    fn queue(&self, mut request: SqlRequest) -> Result<Pending> {
        let noting = Noting::begin(&self.shared, &request);
        let idempotency = request.idempotency.take();
        Ok(Pending { noting, ..self.submit(Work::Sql(request), idempotency)? })
    }

    /// May it be run at all? What it does is seen when it is.
    fn check(&self, request: &SqlRequest) -> Result<()> {
        check(request, self.limits())?;
        if request.origin == Origin::Sent {
            let texts = request.statements.iter().map(|statement| statement.sql.as_str());
            for (index, sql) in texts.enumerate() {
                let checked = self.shared.statements.check(&request.principal, sql);
                checked.map_err(|error| if request.is_transaction { error.at_statement(index) } else { error })?;
            }
        }
        Ok(())
    }

    fn submit(&self, work: Work, idempotency: Option<Idempotency>) -> Result<Pending> {
        let cancel = Cancel::default();
        let (job, answer) = Job::new(work, idempotency, cancel.clone());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((queue, _)) = &*writer else { return Err(closed()) };
        self.shared.metrics.writes.add(1);
        match queue.try_send(Message::Job(job)) {
            Ok(()) => Ok(Pending { answer, noting: None, cancel_if_dropped: CancelOnDrop(cancel) }),
            Err(TrySendError::Full(_)) => Err(Error::unavailable("Too many writes are waiting. Try again later.")),
            Err(TrySendError::Disconnected(_)) => Err(closed()),
        }
    }

    /// One key, or `None`.
    ///
    /// # Errors
    /// `conflict` if the database has a table `kv` of another shape.
    ///
    /// `forbidden` if no policy shows the caller any key.
    pub async fn key(&self, principal: &Principal, key: &str) -> Result<Option<Entry>> {
        keys::check_name(key, &self.shared.limits)?;
        if principal.caller().is_some() {
            let key = key.to_owned();
            return self.bound_keys(principal, move |mut keys| keys.get(&key)).await;
        }
        if !self.has_keys()? {
            return Ok(None);
        }
        let time = self.shared.limits.inline_read_time_max;
        match self.readers.inline(|sqlite| sqlite.on_behalf(time, None, |own| keys::get(own, key))) {
            Err(error) if error.code == Code::Timeout => {
                let (time, key) = (self.shared.limits.read_time_max, key.to_owned());
                self.readers.elsewhere(move |sqlite| sqlite.on_behalf(time, None, |own| keys::get(own, &key))).await
            }
            done => done,
        }
    }

    /// Keys with a prefix after `after`, in order, one page of them.
    pub async fn keys(
        &self,
        principal: &Principal,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<keys::Page> {
        if principal.caller().is_some() {
            return self.bound_keys(principal, move |mut keys| keys.list(&prefix, after.as_deref(), limit)).await;
        }
        if !self.has_keys()? {
            return Ok(keys::Page::default());
        }
        let time = self.shared.limits.read_time_max;
        let list = move |own: &rusqlite::Connection| keys::list(own, &prefix, after.as_deref(), limit);
        self.readers.elsewhere(move |sqlite| sqlite.on_behalf(time, None, list)).await
    }

    /// Reads keys as a caller sees them.
    async fn bound_keys<T: Send + 'static>(
        &self,
        principal: &Principal,
        work: impl Fn(keys::bound::Bound<'_>) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let role = principal.role().ok_or_else(|| Error::internal("only callers are bound"))?;
        self.read_for(principal, move |sqlite, access| {
            work(keys::bound::Bound { sqlite, access, role, place: Place::Reader })
        })
        .await
    }

    /// Reads documents as whoever asks sees them: `work` may be run twice.
    ///
    /// # Errors
    /// Those of `work`, and `timeout`.
    pub async fn documents<T: Send + 'static>(
        &self,
        principal: &Principal,
        work: impl Fn(&mut Desk<'_>) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let role = principal.role();
        self.read_for(principal, move |sqlite, access| work(&mut Desk { sqlite, access, role, place: Place::Reader }))
            .await
    }

    /// Refuses a write that cannot be understood, in its turn and under its name: if it was carried out before, when it could be
    /// understood, that is the answer.
    ///
    /// # Errors
    /// `unavailable` if too many wait.
    pub fn refuse(&self, error: Error, idempotency: Idempotency) -> Result<Pending> {
        self.submit(Work::Refused(error), Some(idempotency))
    }

    /// Writes documents: all of the batch, or nothing. The administrator's make the collections that are missing.
    ///
    /// # Errors
    /// As [`documents::Batch::run`].
    pub fn write_documents(
        &self,
        principal: &Principal,
        batch: documents::Batch,
        idempotency: Option<Idempotency>,
    ) -> Result<Pending> {
        self.submit(Work::Documents { batch: Box::new(batch), principal: principal.clone() }, idempotency)
    }

    /// The names of all collections.
    pub fn collections(&self) -> Vec<String> {
        let collections = documents::Collections::of(&self.shared.access().schema);
        collections.names().into_iter().map(str::to_owned).collect()
    }

    /// Makes a collection, unless it is there. Policies on it can be kept from then on.
    ///
    /// # Errors
    /// `conflict` if the name is taken by something else.
    pub async fn make_collection(&self, name: &str) -> Result<()> {
        let table = documents::path::pattern(name)?;
        if documents::presence(&self.shared.access().schema, table) == documents::Presence::Collection {
            return Ok(());
        }
        self.submit(Work::MakeCollection { table: table.into() }, None)?.wait().await.map(|_| ())
    }

    /// Reads as somebody, with the policies in force: at once if that is quick.
    async fn read_for<T: Send + 'static>(
        &self,
        principal: &Principal,
        work: impl Fn(&mut Sqlite, &Access) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let (shared, principal) = (Arc::clone(&self.shared), principal.clone());
        let read = Arc::new(move |sqlite: &mut Sqlite, time: Duration| {
            let access = shared.access();
            sqlite.speaking_for(&principal, |sqlite| {
                sqlite.bounded(time, None, Mode::Caller, |sqlite| work(sqlite, &access))
            })
        });
        match self.readers.inline(|sqlite| read(sqlite, self.limits().inline_read_time_max)) {
            Err(error) if error.code == Code::Timeout => {
                let time = self.limits().read_time_max;
                self.readers.elsewhere(move |sqlite| read(sqlite, time)).await
            }
            done => done,
        }
    }

    /// False before the first key is written.
    fn has_keys(&self) -> Result<bool> {
        match self.shared.keys() {
            keys::Presence::Absent => Ok(false),
            keys::Presence::Ours => Ok(true),
            keys::Presence::Foreign => Err(keys::foreign()),
        }
    }

    pub fn write_key(
        &self,
        principal: &Principal,
        write: KeyWrite,
        idempotency: Option<Idempotency>,
    ) -> Result<Pending> {
        self.submit(Work::Key { write, principal: principal.clone() }, idempotency)
    }

    /// Publishes JSON to a topic; durably if the topic keeps messages. An idempotency key counts only then.
    ///
    /// # Errors
    /// `forbidden` to callers whom no policy lets publish this.
    pub async fn publish(
        &self,
        principal: &Principal,
        topic: &str,
        data: &str,
        idempotency: Option<Idempotency>,
    ) -> Result<Cursor> {
        self.shared.topics.check(topic, data)?;
        if self.shared.topics.keeps(topic) == 0 {
            self.admit(principal, topic, Deed::Publish, data).await?;
            self.shared.metrics.messages_published.add(1);
            return Ok(self.shared.topics.publish(topic, data));
        }
        // Whether the caller may, the writer asks.
        let write = TopicWrite::Publish { topic: topic.into(), data: data.into() };
        let work = Work::Topic { write, principal: principal.clone() };
        let answer = self.submit(work, idempotency)?.wait().await?;
        self.shared.metrics.messages_published.add(1);
        let published: Published = serde_json::from_slice(&answer.body)
            .map_err(|error| Error::internal("a publish answered oddly").caused_by(error))?;
        Ok(published.cursor)
    }

    /// May the caller do that in the topic? The administrator may.
    async fn admit(&self, principal: &Principal, topic: &str, deed: Deed, data: &str) -> Result<()> {
        if principal.caller().is_none() {
            return Ok(());
        }
        let access = self.shared.access();
        let time = self.limits().inline_read_time_max;
        match self.readers.inline(|sqlite| access.admit(sqlite, principal, topic, deed, data, time)) {
            Err(error) if error.code == Code::Timeout => {}
            done => return done,
        }
        let (principal, topic, data) = (principal.clone(), topic.to_owned(), data.to_owned());
        let time = self.limits().topic_check_time_max;
        self.readers.elsewhere(move |sqlite| access.admit(sqlite, &principal, &topic, deed, &data, time)).await
    }

    /// From now on the topic keeps this many messages.
    pub async fn keep_topic(&self, topic: &str, keep: u64) -> Result<Answer> {
        self.shared.topics.check(topic, "")?;
        let write = TopicWrite::Keep { topic: topic.into(), keep };
        self.submit(Work::Topic { write, principal: Principal::Admin }, None)?.wait().await
    }

    /// The tables as this principal may know of them, as they are now.
    pub fn tables(&self, principal: &Principal) -> Result<Arc<tables::Tables>> {
        let access = self.shared.access();
        let of = principal.role().map(|role| (role, &*access));
        self.readers.inline(|sqlite| self.described.current(&sqlite.own, of))
    }

    /// What a row of this table gets in columns that are not named: their defaults, found for this principal now.
    pub fn defaults(&self, principal: &Principal, columns: &[&tables::Column]) -> Result<Vec<Value>> {
        let time = self.shared.limits.inline_read_time_max;
        self.readers.inline(|sqlite| {
            sqlite.speaking_for(principal, |sqlite| {
                sqlite.bounded(time, None, Mode::Open, |sqlite| tables::load::defaults(&sqlite.own, columns))
            })
        })
    }

    /// The policies in force, by name.
    pub fn policies(&self) -> Vec<Policy> {
        self.shared.access().policies.clone()
    }

    /// Keeps a policy in place of one of its name, or drops one. In force, also for what is open, when this is answered.
    pub async fn write_policy(&self, write: PolicyWrite) -> Result<Answer> {
        self.write_policy_by("admin", write).await
    }

    /// The same, with who did it for the audit log.
    pub async fn write_policy_by(&self, who: &str, write: PolicyWrite) -> Result<Answer> {
        self.submit(Work::Policy { write: Box::new(write), who: who.into() }, None)?.wait().await
    }

    /// Tries a statement as somebody, tells what it would do and which policy says no, and undoes it.
    ///
    /// # Errors
    /// `invalid` for more than one statement; that it is refused is an answer.
    pub async fn rehearse(&self, rehearsal: Rehearsal) -> Result<Answer> {
        self.submit(Work::Rehearse(Box::new(rehearsal)), None)?.wait().await
    }

    /// The statements that callers may run, where they may not run others.
    pub fn statements(&self) -> Result<Vec<Registered>> {
        self.readers.inline(|sqlite| statements::list(&sqlite.own))
    }

    /// The ones that were refused since the start, newest first.
    pub fn rejected_statements(&self) -> Vec<Rejected> {
        self.shared.statements.rejected()
    }

    /// Puts a statement on the list. One that is there already is answered as it is.
    ///
    /// # Errors
    /// `invalid`, in SQLite's words, for what is no statement of a caller's; `too_many` past the limit.
    pub async fn register_statement(&self, sql: &str, name: Option<String>, who: &str) -> Result<Registered> {
        if name.as_ref().is_some_and(|name| name.is_empty() || name.len() > statements::NAME_BYTES_MAX) {
            return Err(Error::invalid(format!(
                "A statement's \"name\" has 1 to {} bytes.",
                statements::NAME_BYTES_MAX
            )));
        }
        let sql = self.readers.inline(|sqlite| statements::check_form(sqlite, sql))?;
        let new = Registered::new(sql, name);
        if let Some(known) = self.statements()?.into_iter().find(|known| known.id == new.id) {
            return Ok(known);
        }
        if self.shared.statements.count() >= statements::STATEMENTS_MAX {
            return Err(Error::too_many(format!(
                "There are {} statements, all there may be. Remove some.",
                statements::STATEMENTS_MAX
            )));
        }
        let entry = AuditEntry::new(who, "statement registered", serde_json::json!({ "id": new.id, "name": new.name }));
        self.change_system_audited(vec![new.insertion()], entry).await?;
        self.shared.statements.add(sql);
        Ok(new)
    }

    /// Takes one from the list.
    ///
    /// # Errors
    /// `not_found` if there is none with this id.
    pub async fn remove_statement(&self, id: &str, who: &str) -> Result<()> {
        let missing = || Error::not_found(format!("There is no statement {id}."));
        let known = self.statements()?.into_iter().find(|known| known.id == id).ok_or_else(missing)?;
        let entry =
            AuditEntry::new(who, "statement removed", serde_json::json!({ "id": known.id, "name": known.name }));
        self.shared.statements.remove(&known.sql);
        self.change_system_audited(vec![known.removal()], entry).await.map(|_| ())
    }

    /// The JSON Schemas of columns: table, column and schema, by name.
    pub fn schemas(&self) -> Result<Vec<(String, String, String)>> {
        Ok(schemas::list(self.ask_system(schemas::LIST, Vec::new())?))
    }

    /// Keeps the JSON Schema of a column, or drops it. What is stored already must fit.
    pub async fn write_schema(&self, write: schemas::SchemaWrite, who: &str) -> Result<Answer> {
        self.submit(Work::Schema { write, who: who.to_owned() }, None)?.wait().await
    }

    /// Imports a file as the administrator: in one transaction, for which all other writers wait. The answer is a
    /// [`import::Report`] in JSON.
    ///
    /// # Errors
    /// What is wrong with the file, and where; `timeout` past `import_time_max`. Nothing of it is kept then.
    pub async fn import(&self, import: import::Import) -> Result<Answer> {
        self.submit(Work::Import(Box::new(import)), None)?.wait().await
    }

    /// The migrations that were applied, in their order.
    pub fn migrations(&self) -> Result<Vec<migrations::Applied>> {
        self.readers.inline(|sqlite| migrations::kept::list(&sqlite.own))
    }

    /// Applies, undoes or notes migrations as the administrator: each in a transaction of its own, in order, until one fails. Those
    /// that somebody else applies meanwhile are passed over.
    ///
    /// # Errors
    /// `conflict` before anything is done if files and database tell different stories; otherwise what is wrong with the first one that
    /// fails, and what was done before it.
    pub async fn migrate(&self, wanted: migrations::Wanted) -> Result<migrations::Report> {
        let (steps, passed_over) = wanted.steps(&self.migrations()?)?;
        let migrations::Wanted { way, dry_run, who, .. } = wanted;
        let mut report = migrations::Report { way, dry_run, done: Vec::new(), passed_over };
        let at_once = if dry_run { steps.len().max(1) } else { 1 };
        for steps in steps.chunks(at_once) {
            let task = migrations::task::Task { steps: steps.to_vec(), dry_run, who: who.clone() };
            let answer = match self.submit(Work::Migrate(Box::new(task)), None) {
                Ok(pending) => pending.wait().await,
                Err(error) => Err(error),
            };
            let answer = answer.map_err(|error| report.ended_by(error))?;
            let outcome: migrations::task::Outcome = serde_json::from_slice(&answer.body)
                .map_err(|error| Error::internal("a migration answered oddly").caused_by(error))?;
            report.done.extend(outcome.done);
            report.passed_over.extend(outcome.passed_over);
        }
        Ok(report)
    }

    /// A connection of its own for an export, with a snapshot that begins with its first read.
    ///
    /// # Errors
    /// `unavailable` if the file cannot be opened.
    pub fn open_export(&self) -> Result<Sqlite> {
        open(&self.path, None, Purpose::Read, self.shared.limits.lock_wait_max)
    }

    /// Writes an export from such a connection until it is whole or cancelled.
    ///
    /// # Errors
    /// `unavailable` if it was cancelled, or cannot be written.
    pub fn run_export(
        &self,
        sqlite: &mut Sqlite,
        what: &export::Export,
        out: &mut dyn std::io::Write,
        cancel: &Cancel,
    ) -> Result<u64> {
        self.run_export_in_breaths(sqlite, what, out, cancel, u64::MAX, &mut |_| Ok(()))
    }

    /// How many rows it will have, about: what virtual tables keep is not counted as it is written.
    ///
    /// # Errors
    /// `unavailable` if it was cancelled.
    pub fn count_export(&self, sqlite: &mut Sqlite, what: &export::Export, cancel: &Cancel) -> Result<u64> {
        sqlite.bounded(EXPORT_TIME_MAX, Some(cancel.clone()), Mode::Open, |sqlite| what.count(&sqlite.own))
    }

    /// As [`Engine::run_export`], with rows between two breaths, and whom to tell how many have been written by then.
    pub fn run_export_in_breaths(
        &self,
        sqlite: &mut Sqlite,
        what: &export::Export,
        out: &mut dyn std::io::Write,
        cancel: &Cancel,
        breath_rows: u64,
        heard: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<u64> {
        sqlite.bounded(EXPORT_TIME_MAX, Some(cancel.clone()), Mode::Open, |sqlite| {
            what.write_in_breaths(&sqlite.own, out, breath_rows, heard)
        })
    }

    /// Rows of the engine's own tables, by a statement of this program.
    pub fn ask_system(&self, sql: &'static str, values: Vec<Value>) -> Result<Vec<Vec<Value>>> {
        let statement = SystemStatement { sql, values };
        self.readers.inline(|sqlite| system::ask(&sqlite.own, &statement))
    }

    /// Changes the engine's own tables by statements of this program; durable, and of no revision, when it is done. Gives
    /// how many rows the last one changed.
    pub async fn change_system(&self, statements: Vec<SystemStatement>) -> Result<usize> {
        self.work_system(statements, None).await
    }

    /// The same, with an entry of the audit log in the same transaction, if the last statement changes something.
    pub async fn change_system_audited(&self, statements: Vec<SystemStatement>, entry: AuditEntry) -> Result<usize> {
        self.work_system(statements, Some(entry)).await
    }

    /// Notes in the audit log what changes nothing else: a sign-in, or that somebody was not let in. Durable when it is
    /// done.
    pub async fn audit(&self, entry: AuditEntry) -> Result<()> {
        self.work_system(Vec::new(), Some(entry)).await.map(|_| ())
    }

    async fn work_system(&self, statements: Vec<SystemStatement>, audit: Option<AuditEntry>) -> Result<usize> {
        let answer = self.submit(Work::System { statements, audit }, None)?.wait().await?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| Error::internal("a change answered oddly").caused_by(error))
    }

    /// A setting of the file, see [`storage::system`].
    pub fn setting(&self, name: &'static str) -> Result<Option<String>> {
        self.readers.inline(|sqlite| system::text(&sqlite.own, name))
    }

    pub async fn set_setting(&self, name: &'static str, value: Option<String>) -> Result<()> {
        let name = Value::text(name);
        let statement = match value {
            Some(value) => SystemStatement { sql: system::SET, values: vec![name, Value::text(value)] },
            None => SystemStatement { sql: "DELETE FROM _tide_meta WHERE name = ?1", values: vec![name] },
        };
        self.change_system(vec![statement]).await.map(|_| ())
    }

    /// A new client of the administrator's.
    pub fn open_session(&self) -> Arc<Session> {
        self.open_session_for(Principal::Admin)
    }

    /// A new client. Its first frame is `hello`.
    pub fn open_session_for(&self, principal: Principal) -> Arc<Session> {
        let session = Session::new(&self.shared, principal);
        session.push(frame::hello(&self.history(), session.hello()));
        session
    }

    /// Asks that something be kept true for the session; rows, deltas and errors come as frames.
    ///
    /// # Errors
    /// `conflict` for an id in use, `too_many` past the limit. Mistakes in the SQL come as an error frame.
    pub fn subscribe(&self, session: &Arc<Session>, id: Option<RequestId>, wanted: Wanted) -> Result<()> {
        if matches!(wanted, Wanted::Changes { .. }) && session.principal.caller().is_some() {
            return Err(Error::forbidden(CHANGES_ARE_CLOSED));
        }
        match &wanted {
            Wanted::Key { key } => keys::check_name(key, &self.shared.limits)?,
            Wanted::Query { sql, .. } => self.shared.statements.check(&session.principal, sql)?,
            Wanted::Changes { .. } => {}
        }
        match (&id, &wanted) {
            (Some(id), _) => session.take_id(id, Holder::Lane)?,
            (None, Wanted::Key { .. }) => session.take_nameless(Holder::Lane)?,
            (None, _) => return Err(Error::invalid("This subscription needs an \"id\".")),
        }
        session.command(Command::Subscribe { session: Arc::clone(session), id, wanted });
        Ok(())
    }

    /// Goes on with live queries that all stood at one place, by the tags they were told with: each as if it were subscribed to
    /// by its SQL, but that one frame says of which nothing has changed. Gives those whose tags say nothing here, or no more;
    /// they are not begun.
    ///
    /// # Errors
    /// `invalid` for an id that stands twice, `conflict` for one in use, `too_many` past the limit. Then none is begun.
    pub fn resume(
        &self,
        session: &Arc<Session>,
        place: &Since,
        queries: Vec<(RequestId, String)>,
    ) -> Result<Vec<RequestId>> {
        let mut names = HashSet::new();
        if !queries.iter().all(|(id, _)| names.insert(id)) {
            return Err(Error::invalid("Each query has an id of its own."));
        }
        let recalled: Vec<_> = queries.iter().map(|(_, tag)| self.recall(session, place, tag)).collect();
        let known = queries.iter().zip(&recalled).filter(|(_, recalled)| recalled.is_some());
        session.take_ids(&names, known.map(|((id, _), _)| id))?;
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for ((id, _), recalled) in queries.into_iter().zip(recalled) {
            match recalled {
                Some(wanted) => known.push((id, wanted)),
                None => unknown.push(id),
            }
        }
        if !known.is_empty() {
            session.command(Command::Resume { session: Arc::clone(session), queries: known });
        }
        Ok(unknown)
    }

    /// What a tag stands for to whoever this session speaks for. What they may ask only as they wrote it, they ask so again.
    fn recall(&self, session: &Session, place: &Since, tag: &str) -> Option<Wanted> {
        let (sql, params) = self.shared.tags.recall(&session.principal, Tag::parse(tag)?)?;
        let since = Some(Since { tag: Some(tag.to_owned()), ..place.clone() });
        let is_allowed = self.shared.statements.allows(&session.principal, &sql);
        is_allowed.then(|| Wanted::Query { sql: sql.to_string(), params: Params::clone(&params), since })
    }

    /// Listens to a topic. With `after`, messages kept since then come first, or `resync` if some are gone.
    pub async fn subscribe_topic(
        &self,
        session: &Arc<Session>,
        id: Option<RequestId>,
        topic: &str,
        after: Option<Cursor>,
        presence: Option<String>,
    ) -> Result<()> {
        self.shared.topics.check(topic, "")?;
        let reasons = self.shared.bell.reasons();
        self.admit(&session.principal, topic, Deed::Listen, "").await?;
        if let Some(state) = &presence {
            self.admit(&session.principal, topic, Deed::BePresent, state).await?;
        }
        let holder = Holder::Topic(topic.into());
        match &id {
            Some(id) => session.take_id(id, holder)?,
            None => session.take_nameless(holder)?,
        }
        let subscribed = self.shared.topics.subscribe(topic, session, id.clone(), after, presence);
        if self.shared.bell.reasons() != reasons {
            // Between the question and here the answer may have become another.
            self.shared.bell.ring();
        }
        match subscribed {
            Ok(true) => self.catch_up(session, topic, id.as_ref()).await,
            Ok(false) => Ok(()),
            Err(error) => {
                match &id {
                    Some(id) => session.release_id(id),
                    None => session.release_nameless(&Holder::Topic(topic.into())),
                }
                Err(error)
            }
        }
    }

    /// Sends a listener the messages it has missed; the face calls it for topics that [`Session::written`] names.
    pub async fn catch_up(&self, session: &Session, topic: &str, id: Option<&RequestId>) -> Result<()> {
        while let Some(sent) = self.shared.topics.sent(topic, session.number, id) {
            let name = topic.to_owned();
            let kept = self
                .readers
                .elsewhere(move |sqlite| topics::read_after(&sqlite.own, &name, sent, MESSAGES_AT_ONCE))
                .await?;
            if self.shared.topics.caught_up(topic, session.number, id, &kept) {
                break;
            }
        }
        Ok(())
    }

    /// Ends a subscription; the result frame for `reply` is its last.
    ///
    /// # Errors
    /// `not_found` if there is none with this id.
    pub fn unsubscribe(&self, session: &Arc<Session>, id: &RequestId, reply: RequestId) -> Result<()> {
        match session.holder(id) {
            None => Err(Error::not_found(format!("There is no subscription with the id {id} on this socket."))),
            Some(Holder::Topic(topic)) => {
                self.shared.topics.unsubscribe(&topic, session.number, Some(id));
                session.release_id(id);
                session.push(frame::result(&reply, b"true", None));
                Ok(())
            }
            Some(Holder::Lane) => {
                session.command(Command::Unsubscribe { session: Arc::clone(session), id: id.clone(), reply });
                Ok(())
            }
        }
    }

    /// The session was answered at this revision: its live queries must be told that they have reached it.
    pub fn answered(&self, session: &Arc<Session>, revision: Revision) {
        if session.has_subscriptions() {
            session.command(Command::Answered { session: Arc::clone(session), revision });
        }
    }

    /// Listeners of all topics.
    pub fn topic_listeners(&self) -> usize {
        self.shared.topics.listener_count()
    }

    /// Restores a moment from the backups beside the database: for [`Engine::swap`]. Blocks.
    ///
    /// # Errors
    /// `unsupported` if there are no backups; those of [`backups::restore`]; `conflict` while another restore is running.
    pub fn fork(&self, moment: Moment, who: &str) -> Result<Fork> {
        let backups = self.backups.as_ref().ok_or_else(|| Error::unsupported(NO_BACKUPS))?;
        backups.fork(&self.path, moment, who)
    }

    /// What was restored takes the place of the database, in one commit; writes wait meanwhile, reads do not. Who may come in, the
    /// audit log and what was answered stay as they are. The state before can be restored by its revision.
    ///
    /// # Errors
    /// `unavailable` if the disk is full, or what is there now is not in the backups yet. Then nothing has changed.
    pub async fn swap(&self, fork: Fork) -> Result<Answer> {
        self.submit(Work::Restore(Box::new(fork)), None)?.wait().await
    }

    /// Backups, if they are kept.
    pub fn backups(&self) -> Option<&Backups> {
        self.backups.as_ref()
    }

    /// A safe copy while the database is in use; blocks.
    pub fn backup(&self, to: &Path, progress: impl FnMut(u64, u64)) -> Result<()> {
        storage::backup::backup(&self.path, to, progress)
    }

    /// Finishes what is queued, folds the WAL into the file and closes it; blocks. Later requests get `unavailable`.
    pub fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        for lane in self.shared.lanes() {
            lane.push(Command::Stop);
        }
        for lane in std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner)) {
            let _ = lane.join();
        }
        self.shared.bell.stop();
        if let Some(warden) = self.warden.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = warden.join();
        }
        self.readers.close();
        if let Some((queue, thread)) = writer {
            let _ = queue.send(Message::Stop);
            let stand = thread.join();
            if let Some(backups) = &self.backups {
                backups.close();
            }
            if let Ok(Some(stand)) = stand {
                // Only now does nobody have the file open any more.
                vouch::write(&self.path, &stand);
            }
        }
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Why the server ends sessions when it stops.
pub const RESTARTING: Ended = Ended::Restarting;

/// A write that is queued. Dropping it cancels the write unless it is done.
#[must_use]
#[derive(Debug)]
pub struct Pending {
    answer: oneshot::Receiver<Result<Answer>>,
    noting: Option<Noting>,
    cancel_if_dropped: CancelOnDrop,
}

impl Pending {
    pub async fn wait(self) -> Result<Answer> {
        let Self { answer, noting, cancel_if_dropped } = self;
        let outcome = answer.await.unwrap_or_else(|_| Err(closed()));
        drop(cancel_if_dropped);
        if let Some(noting) = noting {
            noting.done(&outcome);
        }
        outcome
    }
}

const NO_BACKUPS: &str = "This server keeps no backups: start it with --backups FOLDER.";

fn closed() -> Error {
    Error::unavailable("The database is being closed.")
}

fn thread<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(|error| Error::internal("no thread could be started").caused_by(error))
}

/// The file's real path, so that two names of one file have one lock; its folder is made if it is missing.
fn settle(path: &Path) -> Result<PathBuf> {
    let cannot = |error: std::io::Error| {
        Error::unavailable(format!("{} cannot be opened: {error}.", path.display())).caused_by(error)
    };
    if path.is_dir() {
        return Err(Error::invalid(format!("{} is a folder; --db wants a file in it.", path.display())));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(cannot)?;
    if path.exists() {
        return path.canonicalize().map_err(cannot);
    }
    let name = path.file_name().ok_or_else(|| Error::invalid(format!("{} names no file.", path.display())))?;
    Ok(folder.canonicalize().map_err(cannot)?.join(name))
}

/// What no policy can open: a change is told whole, old row and new, to whoever hears of it.
const CHANGES_ARE_CLOSED: &str =
    "Change streams are the administrator's alone. A live query (\"sql\") tells what is open to you.";

fn check(request: &SqlRequest, limits: &Limits) -> Result<()> {
    if request.statements.len() > limits.statements_max {
        return Err(Error::too_large(format!("A transaction may have {} statements.", limits.statements_max)));
    }
    if request.principal.caller().is_some() && request.statements.iter().any(has_too_long_pattern) {
        return Err(Error::too_large("A statement with LIKE or GLOB may have texts of 50,000 bytes at most."));
    }
    match request.idempotency.as_ref().map(|idempotency| &idempotency.name) {
        Some(WriteName::Key(key)) if key.len() > Idempotency::KEY_BYTES_MAX * 2 => {
            Err(Error::invalid("An Idempotency-Key may have 255 characters."))
        }
        _ => Ok(()),
    }
}

/// SQLite would fail where a row is compared with it, and so tell that there is one.
fn has_too_long_pattern(statement: &Sql) -> bool {
    use access::functions::PATTERN_BYTES_MAX;
    let is_long =
        |value: &Value| matches!(value, Value::Text(bytes) | Value::Blob(bytes) if bytes.len() > PATTERN_BYTES_MAX);
    let has_long = match &statement.params {
        Params::None => false,
        Params::Positional(values) => values.iter().any(is_long),
        Params::Named(values) => values.iter().any(|(_, value)| is_long(value)),
    };
    has_long && tokens::tokens(&statement.sql).any(|token| token.is_any(&["like", "glob"]))
}

/// Does every statement look as if it only reads? A reader finds out for certain.
pub fn reads(request: &SqlRequest) -> bool {
    !request.statements.is_empty()
        && request
            .statements
            .iter()
            .all(|statement| matches!(tokens::class(&statement.sql), Class::Reads | Class::Begin))
}
