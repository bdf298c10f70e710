//! What a lane knows of one session: what it holds, and the revision at which its queries stand. Pure state.

use super::inbox::Wanted;
use super::query::Identity;
use super::session::{RequestId, Session};
use super::stream::Stream;
use crate::changes::change::Revision;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// A subscription that waits for its first word.
pub struct Asking {
    pub id: RequestId,
    pub wanted: Wanted,
    /// It came with others, by its tag: if it is unchanged, one frame says so of all of them.
    pub is_by_tag: bool,
}

/// A key that is being watched.
#[derive(Debug)]
pub struct Watch {
    pub id: Option<RequestId>,
    pub key: String,
    /// The revision last told, and whether there was a value.
    pub told: Option<(Revision, bool)>,
    /// Of a caller's: a hash of what was last told.
    pub told_hash: u64,
    /// A change was not told because the socket had no room: the value is read when it has.
    pub is_behind: bool,
}

pub struct Socket {
    pub session: Arc<Session>,
    /// The `to`, `at` or `hello` revision last sent.
    pub told: Revision,
    pub last_frame: Instant,
    pub queries: HashMap<RequestId, Identity>,
    pub streams: HashMap<RequestId, Stream>,
    pub keys: Vec<Watch>,
    /// A step's changes were not sent for want of room: all its queries must be looked at when there is some.
    pub is_dirty: bool,
    /// An answer was given at this revision; the socket must be told that its queries have reached it.
    pub owes: Revision,
    /// It has heard nothing for a while and is to be told where it stands.
    pub is_quiet: bool,
    /// Queries changed by the step under way.
    pub touched: Vec<(RequestId, Identity)>,
    /// Subscriptions whose first rows are to be sent in the step under way.
    pub waiting: Vec<Asking>,
    /// Of those that came by their tags: found as their client knows them, which is still to be said.
    pub unchanged: Vec<RequestId>,
}

impl Socket {
    pub fn new(session: Arc<Session>, told: Revision) -> Self {
        Self {
            session,
            told,
            last_frame: Instant::now(),
            queries: HashMap::new(),
            streams: HashMap::new(),
            keys: Vec::new(),
            is_dirty: false,
            owes: 0,
            is_quiet: false,
            touched: Vec::new(),
            waiting: Vec::new(),
            unchanged: Vec::new(),
        }
    }

    pub fn holds_nothing(&self) -> bool {
        self.queries.is_empty() && self.streams.is_empty() && self.keys.is_empty() && self.waiting.is_empty()
    }

    /// The same for first rows; they come in many frames, so it is bytes that count.
    pub fn has_space(&self) -> bool {
        self.session.has_space() || !self.session.ask_for_space()
    }

    /// Has it not yet been told everything up to where the lane stands?
    pub fn is_behind(&self) -> bool {
        self.is_dirty
            || self.streams.values().any(|stream| stream.is_behind)
            || self.keys.iter().any(|watch| watch.is_behind)
    }

    /// Is there room for a frame? If not the lane is told when there is.
    pub fn has_room(&self) -> bool {
        self.session.has_room() || !self.session.ask_for_room()
    }
}
