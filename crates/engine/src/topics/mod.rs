//! Topics: messages from publishers to whoever listens, in memory; a topic that keeps some has them in a table.
//!
//! A message has a cursor, ever growing within its topic: a listener who comes back says the last one it saw and gets
//! what the topic has kept since, or is told that something is gone. Listeners who say who they are see each other.
//! A listener that does not read loses messages, never others their speed: it is marked and caught up when it has read.
//! Who may listen and publish, policies say: [`crate::access::messages`]; that they go on saying so, [`warden`] sees to.

mod kept;
pub mod warden;

pub use kept::{Kept, KeptMessage, TopicWrite, read_after, read_settings, run};

use crate::error::{Error, Result};
use crate::json;
use crate::limits::Limits;
use crate::live::frame::{self, Frame, Kind};
use crate::live::session::{Holder, RequestId, Session};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub type Cursor = i64;

/// One session listening to one topic.
struct Listener {
    session: Arc<Session>,
    /// Absent when the client gave none: its frames then have no `id`.
    id: Option<RequestId>,
    /// The cursor up to which it has been sent messages.
    sent: Cursor,
    /// Messages are not sent to it as they come: it is being caught up, or does not read.
    is_behind: bool,
    /// JSON of its presence state, if it shows itself.
    presence: Option<Box<str>>,
}

/// A caller whom policies bind, listening.
pub struct Bound {
    pub topic: Box<str>,
    pub session: Arc<Session>,
    pub id: Option<RequestId>,
    pub presence: Option<Box<str>>,
}

#[derive(Default)]
struct Topic {
    /// Messages kept in the table; 0 is none.
    keep: u64,
    last: Cursor,
    listeners: Vec<Listener>,
}

/// All topics that have a setting, a listener or were published to.
pub struct Topics {
    limits: Arc<Limits>,
    by_name: Mutex<HashMap<Box<str>, Topic>>,
    /// Cursors are microseconds, made to grow: so those of an earlier run are less than ours.
    clock: AtomicI64,
    started: Cursor,
}

impl Topics {
    pub fn new(limits: Arc<Limits>) -> Self {
        let started = crate::clock::now_us();
        Self { limits, by_name: Mutex::default(), clock: AtomicI64::new(started), started }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Topic>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what the file says: settings, and a clock that is past every kept cursor.
    pub fn restore(&self, settings: Vec<(String, u64)>, newest: Cursor) {
        self.clock.fetch_max(newest, Ordering::Relaxed);
        let mut topics = self.lock();
        for (topic, keep) in settings {
            topics.entry(topic.into()).or_default().keep = keep;
        }
    }

    /// The settings are others; who listens goes on listening.
    pub fn recall(&self, settings: Vec<(String, u64)>, newest: Cursor) {
        self.lock().values_mut().for_each(|topic| topic.keep = 0);
        self.restore(settings, newest);
    }

    fn next_cursor(&self) -> Cursor {
        let now = crate::clock::now_us();
        let next = |last: Cursor| Some(now.max(last + 1));
        self.clock.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).map_or(now, |last| now.max(last + 1))
    }

    /// How many messages the topic keeps: those must go through the writer.
    pub fn keeps(&self, topic: &str) -> u64 {
        self.lock().get(topic).map_or(0, |topic| topic.keep)
    }

    pub(crate) fn set_keep(&self, topic: &str, keep: u64) {
        self.lock().entry(topic.into()).or_default().keep = keep;
    }

    /// # Errors
    /// `invalid` or `too_large` for a name or a message past the limits.
    pub fn check(&self, topic: &str, data: &str) -> Result<()> {
        if topic.is_empty() {
            return Err(Error::invalid("A topic needs a name."));
        }
        if topic.len() > self.limits.topic_bytes_max {
            return Err(Error::too_large(format!("A topic's name may have {} bytes.", self.limits.topic_bytes_max)));
        }
        if data.len() > self.limits.message_bytes_max {
            return Err(Error::too_large(format!("A message may have {} bytes.", self.limits.message_bytes_max)));
        }
        Ok(())
    }

    /// Publishes to a topic that keeps nothing.
    pub fn publish(&self, topic: &str, data: &str) -> Cursor {
        let mut topics = self.lock();
        // The cursor is taken under the lock: listeners get them in order.
        let cursor = self.next_cursor();
        let has_place = topics.len() < self.limits.topics_max;
        if let Some(state) = topics.get_mut(topic) {
            state.deliver(topic, cursor, data);
        } else if has_place {
            // Nobody listens; that something was published is remembered for those who resume.
            topics.insert(topic.into(), Topic { last: cursor, ..Topic::default() });
        }
        cursor
    }

    /// Tells listeners of a message that is now durable. Called by the writer, in order.
    pub fn deliver_kept(&self, message: KeptMessage) {
        match message {
            KeptMessage::Published { topic, cursor, data } => {
                self.lock().entry(topic.as_str().into()).or_default().deliver(&topic, cursor, &data);
            }
            KeptMessage::Setting { topic, keep } => self.set_keep(&topic, keep),
        }
    }

    /// Begins to listen. `after` is the last message the client has seen.
    ///
    /// True if the listener must be caught up first: see [`Topics::caught_up`].
    pub fn subscribe(
        &self,
        topic: &str,
        session: &Arc<Session>,
        id: Option<RequestId>,
        after: Option<Cursor>,
        presence: Option<String>,
    ) -> Result<bool> {
        self.check(topic, "")?;
        if presence.as_ref().is_some_and(|state| state.len() > self.limits.presence_bytes_max) {
            return Err(Error::too_large(format!(
                "A presence state may have {} bytes.",
                self.limits.presence_bytes_max
            )));
        }
        let mut topics = self.lock();
        if !topics.contains_key(topic) && topics.len() >= self.limits.topics_max {
            return Err(Error::too_many("There are too many topics."));
        }
        let started = self.started;
        // A cursor of the future is of another file or of a clock that was put back: it says nothing.
        let after = after.map(|after| if after > self.clock.load(Ordering::Relaxed) { 0 } else { after });
        let state = topics.entry(topic.into()).or_default();
        if state.listeners.iter().any(|listener| listener.session.number == session.number && listener.id == id) {
            return Err(Error::conflict("This socket already listens to this topic under this id."));
        }
        // Nothing is missing if the client saw the last message; a topic never published to since the start has
        // lost nothing to a client that was told something after it.
        let missing = after.is_some_and(|after| after != state.last && (state.last != 0 || after < started));
        let presence: Option<Box<str>> = presence.map(Into::into);
        let sent = after.unwrap_or(state.last);
        let listener = Listener { session: Arc::clone(session), id, sent, is_behind: missing, presence };
        if let Some(presence) = &listener.presence {
            state.tell_presence(topic, &[(session.number, presence)], &[]);
        }
        let shows = listener.presence.is_some();
        state.listeners.push(listener);
        if shows {
            state.tell_all_present(topic);
        }
        Ok(missing)
    }

    /// Sends the kept messages a listener has missed; the caller has read those after [`Topics::sent`].
    ///
    /// True when it now gets messages as they come; false if more were published meanwhile: read again.
    pub fn caught_up(&self, topic: &str, session: u64, id: Option<&RequestId>, kept: &Kept) -> bool {
        let mut topics = self.lock();
        let Some(state) = topics.get_mut(topic) else { return true };
        let last = state.last;
        let Some(listener) = state.listeners.iter_mut().find(|l| l.session.number == session && l.id.as_ref() == id)
        else {
            return true;
        };
        if !kept.is_complete {
            // Something is gone: the client must know, and from where it goes on. What is left follows.
            let before = kept.messages.first().map_or(last.max(self.started), |(cursor, _)| cursor - 1);
            listener.session.push(resync(listener.id.as_ref(), topic, before));
            listener.sent = listener.sent.max(before);
        }
        for (cursor, data) in &kept.messages {
            listener.session.push(message(listener.id.as_ref(), topic, *cursor, data));
            listener.sent = *cursor;
        }
        // The table may be ahead of what was delivered, never behind it.
        listener.is_behind = listener.sent < last;
        !listener.is_behind
    }

    /// Up to where a listener has been sent messages.
    pub fn sent(&self, topic: &str, session: u64, id: Option<&RequestId>) -> Option<Cursor> {
        let topics = self.lock();
        let listener =
            topics.get(topic)?.listeners.iter().find(|l| l.session.number == session && l.id.as_ref() == id)?;
        Some(listener.sent)
    }

    /// True if the session listened.
    pub fn unsubscribe(&self, topic: &str, session: u64, id: Option<&RequestId>) -> bool {
        let mut topics = self.lock();
        let Some(state) = topics.get_mut(topic) else { return false };
        let Some(at) = state.listeners.iter().position(|l| l.session.number == session && l.id.as_ref() == id) else {
            return false;
        };
        let gone = state.listeners.swap_remove(at);
        if gone.presence.is_some() {
            state.tell_presence(topic, &[], &[session]);
        }
        if state.listeners.is_empty() && state.keep == 0 && state.last == 0 {
            topics.remove(topic);
        }
        true
    }

    /// All callers that listen.
    pub fn bound(&self) -> Vec<Bound> {
        let topics = self.lock();
        let all = topics.iter().flat_map(|(name, topic)| topic.listeners.iter().map(move |listener| (name, listener)));
        all.filter(|(_, listener)| listener.session.principal.caller().is_some())
            .map(|(name, listener)| Bound {
                topic: name.clone(),
                session: Arc::clone(&listener.session),
                id: listener.id.clone(),
                presence: listener.presence.clone(),
            })
            .collect()
    }

    /// Ends somebody's listening, and tells why.
    pub fn end(&self, bound: &Bound, why: &Error) {
        if !self.unsubscribe(&bound.topic, bound.session.number, bound.id.as_ref()) {
            return;
        }
        match &bound.id {
            Some(id) => bound.session.release_id(id),
            None => bound.session.release_nameless(&Holder::Topic(bound.topic.clone())),
        }
        bound.session.push(frame::error(bound.id.as_ref(), why));
    }

    pub fn listener_count(&self) -> usize {
        self.lock().values().map(|topic| topic.listeners.len()).sum()
    }
}

impl Topic {
    fn deliver(&mut self, name: &str, cursor: Cursor, data: &str) {
        self.last = self.last.max(cursor);
        // Most listeners have no id or the same one: the frame is written once for all of those.
        let mut written: Option<(Option<RequestId>, Frame)> = None;
        for listener in &mut self.listeners {
            if listener.is_behind || cursor <= listener.sent {
                continue;
            }
            let frame = match &written {
                Some((id, frame)) if *id == listener.id => frame.clone(),
                _ => {
                    let frame = message(listener.id.as_ref(), name, cursor, data);
                    written = Some((listener.id.clone(), frame.clone()));
                    frame
                }
            };
            if listener.session.push_message(frame, name, listener.id.as_ref()) {
                listener.sent = cursor;
            } else {
                listener.is_behind = true;
            }
        }
    }

    fn tell_presence(&self, name: &str, join: &[(u64, &str)], leave: &[u64]) {
        for listener in self.listeners.iter().filter(|listener| listener.presence.is_some()) {
            listener.session.push(presence(listener.id.as_ref(), name, join, leave));
        }
    }

    /// The newest listener's first frame lists everybody, itself included.
    fn tell_all_present(&self, name: &str) {
        let Some(newest) = self.listeners.last() else { return };
        let all: Vec<(u64, &str)> = self
            .listeners
            .iter()
            .filter_map(|listener| Some((listener.session.number, listener.presence.as_deref()?)))
            .collect();
        newest.session.push(presence(newest.id.as_ref(), name, &all, &[]));
    }
}

fn head(out: &mut Vec<u8>, id: Option<&RequestId>, kind: &str, topic: &str) {
    out.push(b'{');
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        out.extend_from_slice(id.as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"topic\":");
    json::write_str(out, topic);
}

fn message(id: Option<&RequestId>, topic: &str, cursor: Cursor, data: &str) -> Frame {
    let mut out = Vec::with_capacity(data.len() + topic.len() + 80);
    head(&mut out, id, "message", topic);
    out.extend_from_slice(b",\"cursor\":");
    json::write_integer(&mut out, cursor);
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(data.as_bytes());
    out.push(b'}');
    Frame { text: Bytes::from(out), kind: Kind::Message, revision: 0 }
}

fn resync(id: Option<&RequestId>, topic: &str, cursor: Cursor) -> Frame {
    let mut out = Vec::with_capacity(topic.len() + 72);
    head(&mut out, id, "resync", topic);
    out.extend_from_slice(b",\"cursor\":");
    json::write_integer(&mut out, cursor);
    out.push(b'}');
    Frame { text: Bytes::from(out), kind: Kind::Resync, revision: 0 }
}

fn presence(id: Option<&RequestId>, topic: &str, join: &[(u64, &str)], leave: &[u64]) -> Frame {
    let mut out = Vec::with_capacity(96);
    head(&mut out, id, "presence", topic);
    out.extend_from_slice(b",\"join\":[");
    for (index, (session, state)) in join.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        out.extend_from_slice(format!("{comma}{{\"session\":{session},\"state\":{state}}}").as_bytes());
    }
    out.extend_from_slice(b"],\"leave\":[");
    for (index, session) in leave.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        out.extend_from_slice(format!("{comma}{{\"session\":{session}}}").as_bytes());
    }
    out.extend_from_slice(b"]}");
    Frame { text: Bytes::from(out), kind: Kind::Presence, revision: 0 }
}
