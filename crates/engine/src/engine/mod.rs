//! An open database: its threads, and how requests come to the writer. What can be asked of it stands beside, a file for each kind.

mod document;
mod key;
mod moments;
mod own;
mod query;
mod rules;
mod session;
mod topic;
mod transfer;

pub use query::reads;

use crate::access::statements::{self, Allowed};
use crate::access::{Access, Principal};
use crate::backups::swap::Fork;
use crate::backups::{Backups, Marks};
use crate::changes::change::Revision;
use crate::error::{Code, Error, Result};
use crate::limits::Limits;
use crate::live::inbox::{Command, Inbox};
use crate::live::lane::Lane;
use crate::live::session::Ended;
use crate::logs::queries::Noting;
use crate::request::{Answer, Idempotency};
use crate::shared::Shared;
use crate::sqlite::Sqlite;
use crate::sqlite::budget::{Cancel, CancelOnDrop};
use crate::sqlite::gate::Mode;
use crate::sqlite::open::{Purpose, damaged, open};
use crate::storage::lock::ServerLock;
use crate::storage::readers::Readers;
use crate::storage::work::{Job, Work};
use crate::storage::writer::{Message, Writer};
use crate::storage::{system, vouch};
use crate::{changes, import, metrics, tables, topics};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

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
        let left_at_ms = crate::backups::left_at(&path);
        let mut writing = open(&path, vfs.as_deref(), Purpose::Write, limits.lock_wait_max)?;
        let meta = system::prepare(&mut writing.own, keeps_history)?;
        let revision = changes::log::last_revision(&writing.own)?;
        let statements = statements::load(&writing.own, statements)?;
        let schema_epoch = meta.schema_epoch;
        let marks = backups.is_some().then(Arc::<Marks>::default);
        let backups = match (&marks, backups) {
            (Some(marks), Some(root)) => {
                let name = crate::backups::archive::begin(&writing.own)?;
                let found = crate::backups::found(&writing.own, left_at_ms)?;
                let sqlite = open(&path, vfs.as_deref(), Purpose::Read, limits.lock_wait_max)?;
                Some(Backups::start(&root, &name, &path, Arc::clone(marks), Arc::clone(&limits), found, sqlite)?)
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

    /// Refuses a write that cannot be understood, in its turn and under its name: if it was carried out before, when it could be
    /// understood, that is the answer.
    ///
    /// # Errors
    /// `unavailable` if too many wait.
    pub fn refuse(&self, error: Error, idempotency: Idempotency) -> Result<Pending> {
        self.submit(Work::Refused(error), Some(idempotency))
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

fn closed() -> Error {
    Error::unavailable("The database is being closed.")
}

pub(crate) fn thread<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
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
