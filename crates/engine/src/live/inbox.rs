//! What waits for a lane: commands from sessions and change sets from the writer. While the lane sleeps its families wait
//! here too, so that the writer need not wake it for what matters to nobody.

use super::family::Families;
use super::query::SharedQuery;
use super::report::LaneReport;
use super::rows::RowSet;
use super::session::{RequestId, Session};
use super::socket::{Asking, Watch};
use super::stream::Stream;
use crate::changes::change::{ChangeSet, Extent, Revision};
use crate::value::Params;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Change sets that may wait for a lane before they are merged to "everything".
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Where a client was when it lost its connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Since {
    pub history: String,
    pub revision: Revision,
    /// Of a query; change streams have none.
    pub tag: Option<String>,
}

/// What a session asks a lane to keep true.
#[derive(Clone, Debug)]
pub enum Wanted {
    Query {
        sql: String,
        params: Params,
        since: Option<Since>,
    },
    /// Changes of one table, or of all.
    Changes {
        table: Option<String>,
        since: Option<Since>,
    },
    Key {
        key: String,
    },
}

/// A socket on its way to another lane, with all it holds.
pub struct Moved {
    pub session: Arc<Session>,
    pub told: Revision,
    pub owes: Revision,
    /// With the state the socket has been told, if there is one.
    pub queries: Vec<(RequestId, SharedQuery, Option<RowSet>)>,
    /// Not yet answered: their first rows were too slow here.
    pub waiting: Vec<Asking>,
    pub streams: Vec<(RequestId, Stream)>,
    pub keys: Vec<Watch>,
}

pub enum Command {
    Subscribe {
        session: Arc<Session>,
        id: Option<RequestId>,
        wanted: Wanted,
    },
    /// Queries of a client that has come back, known by their tags.
    Resume {
        session: Arc<Session>,
        queries: Vec<(RequestId, Wanted)>,
    },
    /// `reply` is the id of the request that asks for it: its result is the subscription's last frame.
    Unsubscribe {
        session: Arc<Session>,
        id: RequestId,
        reply: RequestId,
    },
    /// The socket was told an answer at this revision: a delta or `at` up to it must follow.
    Answered {
        session: Arc<Session>,
        revision: Revision,
    },
    /// There is room in the socket's outbox again.
    Drained {
        session: u64,
    },
    Detach {
        session: u64,
    },
    Move(Box<Moved>),
    Report(oneshot::Sender<LaneReport>),
    Stop,
}

impl Command {
    /// The session it is about.
    fn session(&self) -> Option<u64> {
        match self {
            Self::Subscribe { session, .. }
            | Self::Resume { session, .. }
            | Self::Unsubscribe { session, .. }
            | Self::Answered { session, .. } => Some(session.number),
            Self::Drained { session } | Self::Detach { session } => Some(*session),
            Self::Move(moved) => Some(moved.session.number),
            Self::Report(_) | Self::Stop => None,
        }
    }
}

#[derive(Default)]
struct Waiting {
    commands: VecDeque<Command>,
    sets: Vec<Arc<ChangeSet>>,
    bytes: usize,
    /// The lane's, while it sleeps with nothing to do: the writer sees at a glance whether a change is worth waking it.
    families: Option<Families>,
    passed: Passed,
}

/// Changes for which the lane was not woken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// All up to this revision, if there were any.
    pub revision: Option<Revision>,
    /// Groups that read what they changed.
    pub spared: u64,
}

/// Everything that arrived since the last look.
pub struct Arrived {
    pub commands: VecDeque<Command>,
    pub sets: Vec<Arc<ChangeSet>>,
    pub passed: Passed,
}

#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

impl Waiting {
    /// True if the change sets need not be looked at any more.
    fn pass(&mut self, sets: &[Arc<ChangeSet>]) -> bool {
        let Some(families) = self.families.as_mut().filter(|_| self.sets.is_empty()) else { return false };
        let Some(spared) = sets.iter().map(|set| families.glance(set)).sum::<Option<u64>>() else { return false };
        self.passed.revision = sets.last().map(|set| set.revision).or(self.passed.revision);
        self.passed.spared += spared;
        true
    }
}

impl Inbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, command: Command) {
        self.lock().commands.push_back(command);
        self.arrived.notify_one();
    }

    /// Takes the commands about one session.
    pub fn take_of(&self, session: u64) -> VecDeque<Command> {
        let mut waiting = self.lock();
        let (its, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut waiting.commands).into_iter().partition(|command| command.session() == Some(session));
        waiting.commands = others;
        drop(waiting);
        its
    }

    /// Called by the writer. A lane that is far behind loses the details, not the news; one that sleeps is not woken for
    /// what surely matters to none of its queries.
    pub fn push_changes(&self, sets: &[Arc<ChangeSet>]) {
        let mut waiting = self.lock();
        if waiting.pass(sets) {
            return;
        }
        waiting.bytes += sets.iter().map(|set| set.size()).sum::<usize>();
        waiting.sets.extend(sets.iter().cloned());
        if waiting.bytes > WAITING_BYTES_MAX {
            let schema = waiting.sets.iter().any(|set| matches!(set.extent, Extent::Everything { schema: true }));
            let revision = waiting.sets.last().map_or(0, |set| set.revision);
            waiting.sets = vec![Arc::new(ChangeSet { revision, extent: Extent::Everything { schema } })];
            waiting.bytes = 0;
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Takes all there is, waiting at most `time` for something. With families, changes that matter to none of them are
    /// passed over meanwhile.
    pub fn take(&self, time: Duration, families: Option<&mut Families>) -> Arrived {
        let mut waiting = self.lock();
        let is_empty = |waiting: &mut Waiting| waiting.commands.is_empty() && waiting.sets.is_empty();
        let mut families = families.filter(|_| is_empty(&mut waiting));
        waiting.families = families.as_mut().map(|families| std::mem::take(*families));
        let (mut waiting, _) =
            self.arrived.wait_timeout_while(waiting, time, is_empty).unwrap_or_else(PoisonError::into_inner);
        if let (Some(families), Some(rested)) = (families, waiting.families.take()) {
            *families = rested;
        }
        waiting.bytes = 0;
        Arrived {
            commands: std::mem::take(&mut waiting.commands),
            sets: std::mem::take(&mut waiting.sets),
            passed: std::mem::take(&mut waiting.passed),
        }
    }

    /// Takes change sets only, waiting at most `time` for one.
    pub fn take_changes(&self, time: Duration) -> Vec<Arc<ChangeSet>> {
        let waiting = self.lock();
        let (mut waiting, _) = self
            .arrived
            .wait_timeout_while(waiting, time, |waiting| waiting.sets.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        waiting.bytes = 0;
        std::mem::take(&mut waiting.sets)
    }
}
