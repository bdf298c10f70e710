//! What the engine's threads share: the revision everyone may see, the lanes to tell, the topics.

use crate::access::Access;
use crate::access::statements::{self, Statements};
use crate::changes::change::{ChangeSet, Revision};
use crate::error::Result;
use crate::keys::Presence;
use crate::limits::Limits;
use crate::live::inbox::Inbox;
use crate::live::tags::Tags;
use crate::logs::QueryLog;
use crate::metrics::Metrics;
use crate::storage::system::Meta;
use crate::topics::warden::Bell;
use crate::topics::{self, Topics};
use rusqlite::Connection;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use tokio::sync::watch;

pub struct Shared {
    /// Names this line of revisions; see [`crate::storage::vouch`].
    history: RwLock<Arc<str>>,
    pub limits: Arc<Limits>,
    /// By which clients that come back say what they ask for.
    pub tags: Tags,
    pub topics: Topics,
    /// Rung when callers may have to stop listening to topics.
    pub bell: Bell,
    pub metrics: Metrics,
    pub query_log: QueryLog,
    /// What callers may run, if not whatever policies open.
    pub statements: Statements,
    /// The last revision that is durable. Set before anybody is told of it.
    revision: AtomicI64,
    /// The same, for those who wait.
    told: watch::Sender<Revision>,
    /// Whether there is a table of keys, as [`Presence`]: the writer knows the schema.
    keys: AtomicU8,
    /// The policies in force; the writer knows when they change.
    access: Mutex<Arc<Access>>,
    lanes: Mutex<Vec<Arc<Inbox>>>,
    next_session: AtomicU64,
    /// Commits of any kind, also those that change no row and so have no revision.
    commits: AtomicU64,
    /// Has idle readers close their snapshots; set once there are readers.
    let_go: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Shared {
    pub fn new(meta: Meta, limits: Arc<Limits>, revision: Revision, statements: Statements) -> Arc<Self> {
        Arc::new(Self {
            history: RwLock::new(meta.history.into()),
            tags: Tags::new(&meta.tag_secret, limits.live_tags_bytes_max),
            topics: Topics::new(Arc::clone(&limits)),
            bell: Bell::default(),
            limits,
            metrics: Metrics::default(),
            query_log: QueryLog::default(),
            statements,
            revision: AtomicI64::new(revision),
            told: watch::Sender::new(revision),
            keys: AtomicU8::new(Presence::Absent as u8),
            access: Mutex::default(),
            lanes: Mutex::default(),
            next_session: AtomicU64::new(1),
            commits: AtomicU64::new(0),
            let_go: OnceLock::new(),
        })
    }

    pub fn history(&self) -> Arc<str> {
        Arc::clone(&self.history.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another file has taken the database's place: what is remembered of it is read anew.
    pub fn recall(&self, connection: &Connection, history: String) -> Result<()> {
        let (settings, newest) = topics::read_settings(connection)?;
        self.topics.recall(settings, newest);
        self.statements.replace(statements::list(connection)?);
        *self.history.write().unwrap_or_else(PoisonError::into_inner) = history.into();
        Ok(())
    }

    pub fn revision(&self) -> Revision {
        self.revision.load(Ordering::Acquire)
    }

    pub fn keys(&self) -> Presence {
        match self.keys.load(Ordering::Acquire) {
            0 => Presence::Absent,
            1 => Presence::Ours,
            _ => Presence::Foreign,
        }
    }

    pub fn set_keys(&self, presence: Presence) {
        self.keys.store(presence as u8, Ordering::Release);
    }

    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Called when the policies, and the schema they are for, are durable.
    pub fn set_access(&self, access: &Arc<Access>) {
        let mut shared = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&shared, access) {
            *shared = Arc::clone(access);
        }
    }

    /// Grows with every commit; a snapshot older than it must be renewed.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    pub fn note_commit(&self) {
        self.commits.fetch_add(1, Ordering::AcqRel);
    }

    pub fn watch_revision(&self) -> watch::Receiver<Revision> {
        self.told.subscribe()
    }

    pub fn next_session(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    pub fn set_let_go(&self, let_go: impl Fn() + Send + Sync + 'static) {
        let _ = self.let_go.set(Box::new(let_go));
    }

    /// Before a checkpoint: nobody who is idle may hold it up.
    pub fn let_go_of_snapshots(&self) {
        if let Some(let_go) = self.let_go.get() {
            let_go();
        }
    }

    pub fn set_lanes(&self, lanes: Vec<Arc<Inbox>>) {
        *self.lanes.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    pub fn lane(&self, index: usize) -> Option<Arc<Inbox>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).get(index).cloned()
    }

    pub fn lanes(&self) -> Vec<Arc<Inbox>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Called by the writer after COMMIT has returned, once per group, in order.
    pub fn announce(&self, sets: Vec<ChangeSet>) {
        let Some(last) = sets.last() else { return };
        let revision = last.revision;
        let sets: Vec<Arc<ChangeSet>> = sets.into_iter().map(Arc::new).collect();
        self.revision.store(revision, Ordering::Release);
        for lane in &*self.lanes.lock().unwrap_or_else(PoisonError::into_inner) {
            lane.push_changes(&sets);
        }
        self.told.send_replace(revision);
        let reach = &self.access().topics_reach;
        if sets.iter().any(|set| reach.is_touched_by(set)) {
            self.bell.ring();
        }
    }
}
