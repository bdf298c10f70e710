//! One client: its subscriptions by the ids it chose, and the outbox from which a face writes to its socket.
//!
//! A session is not a socket. The face pulls batches of frames, writes each batch at once, and says when it is written;
//! only then do its bytes stop counting, and live queries may put further frames in.

use super::frame::{Frame, Kind};
use super::inbox::{Command, Inbox, Moved};
use crate::access::Principal;
use crate::changes::change::Revision;
use crate::error::{Error, Result};
use crate::shared::Shared;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::Notify;

/// The client's own name for a request: JSON text of a string or an integer, echoed as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub const BYTES_MAX: usize = 256;

    /// # Errors
    /// `invalid` unless it is a JSON string or integer of moderate length.
    pub fn parse(json: &str) -> Result<Self> {
        let is_integer = !json.is_empty() && json.strip_prefix('-').unwrap_or(json).bytes().all(|b| b.is_ascii_digit());
        if json.len() > Self::BYTES_MAX || !(json.starts_with('"') || is_integer) {
            return Err(Error::invalid("An \"id\" is a string or an integer of at most 256 characters."));
        }
        Ok(Self(json.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who serves a subscription, so that it can be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A lane: a query, a change stream or a key.
    Lane,
    Topic(Box<str>),
}

/// Why the server ends a session. The faces have the close code for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    TooSlow,
    Restarting,
}

#[derive(Debug, Default)]
struct Outbox {
    frames: VecDeque<Frame>,
    /// Bytes queued or being written.
    bytes: usize,
    /// Of these, those of one frame that was let in although it is larger than what may pile up.
    exempt: usize,
    ended: Option<Ended>,
}

/// What the face writes next, as one piece.
#[derive(Debug)]
pub struct Batch {
    pub frames: Vec<Frame>,
    bytes: usize,
    live: usize,
}

impl Batch {
    /// Of its frames' texts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

pub struct Session {
    pub number: u64,
    /// Who its requests and subscriptions speak for.
    pub principal: Principal,
    shared: Arc<Shared>,
    outbox: Mutex<Outbox>,
    filled: Notify,
    /// Called instead, if it is set.
    on_filled: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Frames of live queries that are queued or being written.
    live_in_flight: AtomicUsize,
    /// The lane has something to send once there is room.
    wants_room: AtomicBool,
    /// The same for first rows, which need space.
    wants_space: AtomicBool,
    /// Topics (and ids) for which this session is behind.
    topics_behind: Mutex<Vec<(Box<str>, Option<RequestId>)>>,
    /// The lane that serves its queries; it may be moved to another. Held while a command is queued there, so that a
    /// lane gets the session itself before any command for it.
    lane: Mutex<usize>,
    closed: AtomicBool,
    /// The revision it was told when it opened.
    hello: Revision,
    subscriptions: Mutex<HashMap<RequestId, Holder>>,
    /// Subscriptions without an id: keys and topics only.
    nameless: Mutex<Vec<Holder>>,
}

impl Session {
    pub fn new(shared: &Arc<Shared>, principal: Principal) -> Arc<Self> {
        shared.metrics.sessions.add(1);
        Arc::new(Self {
            number: shared.next_session(),
            principal,
            shared: Arc::clone(shared),
            outbox: Mutex::default(),
            filled: Notify::new(),
            on_filled: OnceLock::new(),
            live_in_flight: AtomicUsize::new(0),
            wants_room: AtomicBool::new(false),
            wants_space: AtomicBool::new(false),
            topics_behind: Mutex::default(),
            lane: Mutex::new(0),
            closed: AtomicBool::new(false),
            hello: shared.revision(),
            subscriptions: Mutex::default(),
            nameless: Mutex::default(),
        })
    }

    fn outbox(&self) -> std::sync::MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame. A client that does not read is ended when too much waits for it.
    pub fn push(&self, frame: Frame) {
        let mut outbox = self.outbox();
        if outbox.ended.is_some() {
            return;
        }
        // One large answer to a client that reads is not its fault: it may be larger than what may pile up.
        if outbox.bytes == 0 {
            outbox.exempt = frame.text.len();
        }
        let others = outbox.bytes - outbox.exempt.min(outbox.bytes);
        if outbox.bytes > 0 && others + frame.text.len() > self.shared.limits.outbox_bytes_max {
            outbox.ended = Some(Ended::TooSlow);
            outbox.frames.clear();
            self.shared.metrics.sessions_too_slow.add(1);
        } else {
            outbox.bytes += frame.text.len();
            if is_live(&frame) {
                self.live_in_flight.fetch_add(1, Ordering::AcqRel);
                self.shared.metrics.live_bytes.add(frame.text.len() as u64);
            }
            outbox.frames.push_back(frame);
        }
        drop(outbox);
        self.wake();
    }

    fn wake(&self) {
        match self.on_filled.get() {
            Some(call) => call(),
            None => self.filled.notify_one(),
        }
    }

    /// Instead of waiting for [`Session::next_batch`], a face can be called whenever something has come into the outbox, or
    /// the session was ended: it takes what there is with [`Session::try_batch`]. Set once, before anything is queued.
    pub fn on_filled(&self, call: impl Fn() + Send + Sync + 'static) {
        // A second one has no meaning.
        drop(self.on_filled.set(Box::new(call)));
    }

    /// Queues a topic's message, unless so much waits already that it had better be caught up later.
    pub fn push_message(&self, frame: Frame, topic: &str, id: Option<&RequestId>) -> bool {
        let outbox = self.outbox();
        // Noted while nothing can be written: whoever writes what waits sees it afterwards.
        if outbox.bytes > self.shared.limits.outbox_messages_bytes_max {
            let mut behind = self.topics_behind.lock().unwrap_or_else(PoisonError::into_inner);
            behind.push((topic.into(), id.cloned()));
            return false;
        }
        drop(outbox);
        self.shared.metrics.messages_delivered.add(1);
        self.push(frame);
        true
    }

    /// Ends the session: what is queued is dropped, the face closes the socket.
    pub fn end(&self, why: Ended) {
        let mut outbox = self.outbox();
        outbox.ended.get_or_insert(why);
        drop(outbox);
        self.wake();
    }

    /// Waits for frames; an error when the session has been ended by the server.
    pub async fn next_batch(&self) -> std::result::Result<Batch, Ended> {
        loop {
            if let Some(batch) = self.try_batch()? {
                return Ok(batch);
            }
            self.filled.notified().await;
        }
    }

    /// What waits to be written; an error when there is nothing and the session has been ended by the server.
    pub fn try_batch(&self) -> std::result::Result<Option<Batch>, Ended> {
        let mut outbox = self.outbox();
        if outbox.frames.is_empty() {
            return outbox.ended.map_or(Ok(None), Err);
        }
        let frames: Vec<Frame> = outbox.frames.drain(..).collect();
        let bytes = frames.iter().map(|frame| frame.text.len()).sum();
        let live = frames.iter().filter(|frame| is_live(frame)).count();
        Ok(Some(Batch { frames, bytes, live }))
    }

    /// The batch has been handed to the system: there is room for more. Gives the topics to be caught up now.
    pub fn written(&self, batch: &Batch) -> Vec<(Box<str>, Option<RequestId>)> {
        let mut outbox = self.outbox();
        outbox.bytes -= batch.bytes;
        // It was the first of its batch.
        outbox.exempt = 0;
        drop(outbox);
        self.live_in_flight.fetch_sub(batch.live, Ordering::AcqRel);
        let has_come = |is_wanted: &AtomicBool, is_there: bool| is_there && is_wanted.swap(false, Ordering::AcqRel);
        if has_come(&self.wants_room, self.has_room()) | has_come(&self.wants_space, self.has_space()) {
            self.command(Command::Drained { session: self.number });
        }
        std::mem::take(&mut *self.topics_behind.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// May a lane send another frame?
    pub fn has_room(&self) -> bool {
        self.live_in_flight.load(Ordering::Acquire) < self.shared.limits.live_frames_in_flight_max
    }

    /// May first rows be queued? A whole result must fit besides what waits already.
    pub fn has_space(&self) -> bool {
        self.outbox().bytes <= self.shared.limits.outbox_bytes_max / 2
    }

    /// Asks to be told when there is room. False if there is some by now, and nobody will tell.
    pub fn ask_for_room(&self) -> bool {
        self.wants_room.store(true, Ordering::Release);
        !(self.has_room() && self.wants_room.swap(false, Ordering::AcqRel))
    }

    /// The same for space.
    pub fn ask_for_space(&self) -> bool {
        self.wants_space.store(true, Ordering::Release);
        !(self.has_space() && self.wants_space.swap(false, Ordering::AcqRel))
    }

    /// The revision of its `hello`: where its queries stand before the first frame.
    pub fn hello(&self) -> Revision {
        self.hello
    }

    /// Has the server given it up?
    pub fn is_ended(&self) -> bool {
        self.outbox().ended.is_some()
    }

    /// Has the face closed it?
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Which lane serves it: 0 is the quick one.
    pub fn lane(&self) -> usize {
        *self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a command to the lane that serves this session.
    pub fn command(&self, command: Command) {
        let lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = self.shared.lane(*lane) {
            lane.push(command);
        }
    }

    /// From now on another lane serves it, which is handed what the session holds, and then what waits for it in the
    /// inbox of the one that did.
    pub fn move_to(&self, lane: usize, from: &Inbox, moved: Moved) {
        let mut place = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        *place = lane;
        if let Some(lane) = self.shared.lane(lane) {
            lane.push(Command::Move(Box::new(moved)));
            from.take_of(self.number).into_iter().for_each(|command| lane.push(command));
        }
    }

    /// Takes an id for a new subscription.
    ///
    /// # Errors
    /// `conflict` if it is in use, `too_many` past the limit.
    pub fn take_id(&self, id: &RequestId, holder: Holder) -> Result<()> {
        let mut subscriptions = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        if subscriptions.contains_key(id) {
            return Err(in_use(id));
        }
        if subscriptions.len() >= self.shared.limits.subscriptions_per_session_max {
            return Err(too_many(&self.shared));
        }
        subscriptions.insert(id.clone(), holder);
        self.shared.metrics.subscriptions.add(1);
        Ok(())
    }

    /// Takes some of these ids for queries that are gone on with, if none of them is in use.
    ///
    /// # Errors
    /// As of [`Session::take_id`]; then none is taken.
    pub fn take_ids<'a>(&self, all: &HashSet<&RequestId>, some: impl Iterator<Item = &'a RequestId>) -> Result<()> {
        let mut subscriptions = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = all.iter().find(|id| subscriptions.contains_key(**id)) {
            return Err(in_use(id));
        }
        let some: Vec<_> = some.map(|id| (id.clone(), Holder::Lane)).collect();
        if subscriptions.len() + some.len() > self.shared.limits.subscriptions_per_session_max {
            return Err(too_many(&self.shared));
        }
        self.shared.metrics.subscriptions.add(some.len() as u64);
        subscriptions.extend(some);
        Ok(())
    }

    /// The same for a subscription without an id.
    pub fn take_nameless(&self, holder: Holder) -> Result<()> {
        let mut nameless = self.nameless.lock().unwrap_or_else(PoisonError::into_inner);
        if nameless.len() >= self.shared.limits.subscriptions_per_session_max {
            return Err(too_many(&self.shared));
        }
        nameless.push(holder);
        self.shared.metrics.subscriptions.add(1);
        Ok(())
    }

    pub fn has_subscriptions(&self) -> bool {
        !self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub fn holder(&self, id: &RequestId) -> Option<Holder> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Lets go of an id: the subscription has ended.
    pub fn release_id(&self, id: &RequestId) {
        if self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).remove(id).is_some() {
            self.shared.metrics.subscriptions.subtract(1);
        }
    }

    /// The same for one without an id.
    pub fn release_nameless(&self, holder: &Holder) {
        let mut nameless = self.nameless.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = nameless.iter().position(|held| held == holder) {
            nameless.swap_remove(at);
            self.shared.metrics.subscriptions.subtract(1);
        }
    }

    /// Ends everything this client holds. Called once, by the face, when its socket has closed.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.command(Command::Detach { session: self.number });
        let named = std::mem::take(&mut *self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner));
        let nameless = std::mem::take(&mut *self.nameless.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.metrics.subscriptions.subtract((named.len() + nameless.len()) as u64);
        self.shared.metrics.sessions.subtract(1);
        for (id, holder) in named {
            if let Holder::Topic(topic) = holder {
                self.shared.topics.unsubscribe(&topic, self.number, Some(&id));
            }
        }
        for holder in nameless {
            if let Holder::Topic(topic) = holder {
                self.shared.topics.unsubscribe(&topic, self.number, None);
            }
        }
        self.outbox().ended.get_or_insert(Ended::Restarting);
    }
}

/// Frames that count as in flight: a socket that has two of them unread gets its next changes merged.
fn is_live(frame: &Frame) -> bool {
    matches!(frame.kind, Kind::Delta | Kind::Rows | Kind::Changes)
}

fn in_use(id: &RequestId) -> Error {
    Error::conflict(format!("The id {id} is in use on this socket; unsubscribe it first."))
}

fn too_many(shared: &Shared) -> Error {
    Error::too_many(format!("A socket may have {} subscriptions.", shared.limits.subscriptions_per_session_max))
}
