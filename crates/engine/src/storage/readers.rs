//! Reads: at once on the caller's thread while they are quick, on a reader thread when they are not.
//!
//! A point read costs a few microseconds, less than handing it to another thread. What does not finish within the
//! inline budget is stopped and begun anew on a reader thread, and that statement's next runs go there directly.
//!
//! Inline connections keep their read transaction open and renew it only when there was a commit: SQLite's lock
//! for each single read would cost more than a point read itself. The writer has idle ones let go before it checkpoints.

use super::execute::{self, Place, Ran, Rights, Terms};
use crate::access::Access;
use crate::changes::change::Revision;
use crate::error::{Code, Error, Result};
use crate::limits::Limits;
use crate::request::{Answer, ENVELOPE, SqlRequest};
use crate::shared::Shared;
use crate::sqlite::Sqlite;
use crate::sqlite::budget::{Cancel, CancelOnDrop};
use crate::sqlite::gate::Mode;
use crate::sqlite::open::{Purpose, open};
use bytes::Bytes;
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// For how long at most a slow statement goes straight to a reader thread.
const SLOW_REMEMBERED_S: u64 = 4;

/// What came of a read.
#[derive(Debug)]
pub enum Read {
    Done(Answer),
    /// It would write: the writer must run it.
    NeedsWriter,
}

/// A connection for inline reads, with how many commits its open snapshot surely includes.
struct Inline {
    sqlite: Sqlite,
    snapshot: Option<u64>,
}

impl Inline {
    /// Makes sure that the open snapshot includes that many commits.
    fn renew(&mut self, commits: u64) -> Result<()> {
        if self.snapshot != Some(commits) {
            self.let_go()?;
            self.sqlite.own.prepare_cached("BEGIN")?.execute([])?;
            self.snapshot = Some(commits);
        }
        Ok(())
    }

    fn let_go(&mut self) -> Result<()> {
        if self.snapshot.take().is_some() && !self.sqlite.is_autocommit() {
            self.sqlite.own.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }
}

/// Work for a reader thread: any closure over a connection, or nothing more.
type Task = Box<dyn FnOnce(&mut Sqlite) + Send>;

pub struct Readers {
    path: PathBuf,
    vfs: Option<String>,
    limits: Arc<Limits>,
    shared: Arc<Shared>,
    idle: Mutex<Vec<Inline>>,
    /// `None` once closed.
    queue: Mutex<Option<SyncSender<Task>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Texts that were too slow inline, as a small set of hashes that forgets.
    slow: [AtomicU64; 64],
    started: Instant,
}

impl Readers {
    pub fn start(path: PathBuf, vfs: Option<String>, limits: Arc<Limits>, shared: Arc<Shared>) -> Result<Arc<Self>> {
        let (queue, tasks) = sync_channel::<Task>(limits.reader_queue_max);
        let tasks = Arc::new(Mutex::new(tasks));
        let readers = Arc::new(Self {
            path,
            vfs,
            limits,
            shared,
            idle: Mutex::default(),
            queue: Mutex::new(Some(queue)),
            threads: Mutex::default(),
            slow: std::array::from_fn(|_| AtomicU64::new(0)),
            started: Instant::now(),
        });
        for number in 0..readers.limits.reader_threads.max(1) {
            let mut sqlite = readers.open()?;
            let tasks = Arc::clone(&tasks);
            let thread = std::thread::Builder::new()
                .name(format!("reader-{number}"))
                .spawn(move || work(&mut sqlite, &tasks))
                .map_err(|error| Error::internal("no thread for a reader").caused_by(error))?;
            readers.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(readers)
    }

    fn open(&self) -> Result<Sqlite> {
        open(&self.path, self.vfs.as_deref(), Purpose::Read, self.limits.lock_wait_max)
    }

    /// Runs `work` on this thread with a connection of the pool. It must be quick.
    pub fn inline<T>(&self, work: impl FnOnce(&mut Sqlite) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut inline = match idle {
            Some(inline) => inline,
            None => Inline { sqlite: self.open()?, snapshot: None },
        };
        inline.renew(self.shared.commits())?;
        let done = work(&mut inline.sqlite);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(inline);
        done
    }

    /// Closes the snapshots of idle connections, so that a checkpoint can reach the end of the WAL.
    pub fn let_go(&self) {
        for inline in &mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner) {
            if let Err(error) = inline.let_go() {
                tracing::warn!(%error, "a reader keeps its snapshot");
            }
        }
    }

    /// Runs `work` on a reader thread.
    pub async fn elsewhere<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Sqlite) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let task: Task = Box::new(move |sqlite| {
            let _ = reply.send(work(sqlite));
        });
        let sent = match &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(queue) => queue.try_send(task).is_ok(),
            None => false,
        };
        if !sent {
            return Err(Error::unavailable("Too many slow queries are waiting. Try again later."));
        }
        answer.await.unwrap_or_else(|_| Err(Error::internal("a reader thread failed")))
    }

    /// Runs a request that looks as if it only reads.
    pub async fn run(&self, request: &Arc<SqlRequest>) -> Result<Read> {
        // Read before the snapshot opens, so what it names is surely included.
        let revision = self.shared.revision();
        let mark = self.mark(request);
        if !self.is_slow(mark) {
            let time = self.limits.inline_read_time_max;
            let access = self.access_for(request);
            match self.inline(|sqlite| {
                attempt(sqlite, request, access.as_deref(), &self.limits, time, None, Within::OpenSnapshot)
            }) {
                Err(error) if error.code == Code::Timeout => self.remember_slow(mark),
                done => return done.map(|done| read(done, revision)),
            }
        }
        let revision = self.shared.revision();
        let cancel = Cancel::default();
        let _cancel_if_dropped = CancelOnDrop(cancel.clone());
        let (request, limits, access) = (Arc::clone(request), Arc::clone(&self.limits), self.access_for(request));
        let done = self
            .elsewhere(move |sqlite| {
                if cancel.is_cancelled() {
                    return Err(Error::unavailable("The request was cancelled."));
                }
                attempt(
                    sqlite,
                    &request,
                    access.as_deref(),
                    &limits,
                    limits.read_time_max,
                    Some(cancel),
                    Within::Nothing,
                )
            })
            .await?;
        Ok(read(done, revision))
    }

    /// The policies, if any bind who asks.
    fn access_for(&self, request: &SqlRequest) -> Option<Arc<Access>> {
        request.principal.caller().map(|_| self.shared.access())
    }

    fn is_slow(&self, mark: u64) -> bool {
        self.slow[mark as usize % self.slow.len()].load(Ordering::Relaxed) == mark
    }

    fn remember_slow(&self, mark: u64) {
        self.slow[mark as usize % self.slow.len()].store(mark, Ordering::Relaxed);
    }

    /// A hash of the request's texts and of the passing time, never 0: what was slow once gets another chance.
    fn mark(&self, request: &SqlRequest) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        for statement in &request.statements {
            statement.sql.hash(&mut hasher);
        }
        (self.started.elapsed().as_secs() / SLOW_REMEMBERED_S).hash(&mut hasher);
        hasher.finish() | 1
    }

    /// Ends the threads and closes all connections.
    pub fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn work(sqlite: &mut Sqlite, tasks: &Mutex<Receiver<Task>>) {
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task(sqlite))).is_err() {
            tracing::error!("a read panicked");
        }
        if !sqlite.is_autocommit() {
            let _ = sqlite.own.execute_batch("ROLLBACK");
            let _ = sqlite.note_rollback();
        }
    }
}

fn read(done: Option<(Vec<u8>, u64)>, revision: Revision) -> Read {
    let Some((mut enveloped, rows)) = done else { return Read::NeedsWriter };
    enveloped.push(b'}');
    let enveloped = Bytes::from(enveloped);
    let body = enveloped.slice(ENVELOPE.len()..enveloped.len() - 1);
    Read::Done(Answer { body, enveloped: Some(enveloped), revision, rows, is_repeated: false })
}

/// What the connection has open already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    OpenSnapshot,
    Nothing,
}

/// The answer and its number of rows; `None` if it would write.
fn attempt(
    sqlite: &mut Sqlite,
    request: &SqlRequest,
    access: Option<&Access>,
    limits: &Limits,
    time: Duration,
    cancel: Option<Cancel>,
    within: Within,
) -> Result<Option<(Vec<u8>, u64)>> {
    let rows = Cell::new(0);
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(ENVELOPE);
    // A single statement is a snapshot by itself; only a row of them needs a transaction around it.
    let has_several = request.is_transaction || request.statements.iter().any(|one| one.sql.contains(';'));
    let needs_transaction = has_several && within == Within::Nothing;
    if needs_transaction {
        sqlite.own.prepare_cached("BEGIN")?.execute([])?;
    }
    let terms = Terms {
        limits,
        place: Place::Reader,
        rights: access.and_then(|access| Rights::of(&request.principal, access)),
        rows: &rows,
    };
    let ran = sqlite.speaking_for(&request.principal, |sqlite| {
        sqlite.bounded(time, cancel, Mode::Caller, |sqlite| execute::run(sqlite, request, terms, &mut out))
    });
    if needs_transaction {
        sqlite.own.prepare_cached("COMMIT")?.execute([])?;
    }
    Ok(match ran? {
        Ran::Done => Some((out, rows.get())),
        Ran::NeedsWriter => None,
    })
}
