//! Keys that are watched: every value told in order while the socket has room, the newest when it has again.
//!
//! A caller's are read in its name whenever the key, the policies on keys, or what those ask may have changed: it is told
//! what it sees at the end of each step. A key that it no longer sees is told as one that is gone.

use super::frame;
use super::lane::Lane;
use super::session::{Holder, RequestId, Session};
use super::socket::Watch;
use super::step::log_internal;
use crate::access::{Access, Principal, Role};
use crate::changes::change::{Change, ChangeSet, Extent, Revision};
use crate::error::{Error, Result};
use crate::keys::bound::Bound;
use crate::keys::{self, Entry, Presence};
use crate::sqlite::Sqlite;
use crate::sqlite::gate::Mode;
use crate::sqlite::schema::Schema;
use crate::storage::execute::Place;
use crate::value::Value;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The values a step's change sets gave to keys, in order; none is a key that is gone.
type Changed = HashMap<String, Vec<(Revision, Option<Vec<u8>>)>>;

impl Lane {
    pub(super) fn serve_keys(&mut self, sets: &[Arc<ChangeSet>]) {
        let mut changed = Changed::new();
        let mut all = false;
        for set in sets {
            match &set.extent {
                Extent::Everything { .. } => all = true,
                Extent::Rows(rows) => rows
                    .changes
                    .iter()
                    .filter(|change| rows.shapes[change.shape].table.eq_ignore_ascii_case(keys::TABLE))
                    .for_each(|change| note_key(&mut changed, change, set.revision)),
            }
        }
        let mut refused = Vec::new();
        let access = self.shared.access();
        let are_other = all || sets.iter().any(|set| access.keys_reach.is_touched_by(set));
        let deadline = Instant::now() + self.time_max();
        for number in &self.listening {
            let Some(socket) = self.sockets.get_mut(number) else { continue };
            let has_room = socket.keys.is_empty() || socket.session.has_room();
            let caller = socket.session.principal.role().map(|role| (role, socket.session.principal.clone()));
            for watch in &mut socket.keys {
                if let Some((role, principal)) = &caller {
                    watch.is_behind |= are_other || watch.told.is_none() || changed.contains_key(&watch.key);
                    if watch.is_behind && (has_room || watch.told.is_none()) && Instant::now() < deadline {
                        let time = self.limits.live_quick_time_max;
                        match seen_now(&mut self.sqlite, &access, principal, *role, &watch.key, time) {
                            Ok(entry) => tell_key_seen(&socket.session, watch, entry.as_ref(), self.at),
                            Err(error) => refused.push((*number, watch.id.clone(), watch.key.clone(), error)),
                        }
                    }
                    continue;
                }
                if all || watch.is_behind || watch.told.is_none() {
                    watch.is_behind = true;
                    if has_room || watch.told.is_none() {
                        let time = self.limits.live_quick_time_max;
                        match key_now(&mut self.sqlite, &self.schema, &watch.key, time) {
                            Ok(entry) => tell_key_now(&socket.session, watch, entry.as_ref(), self.at),
                            Err(error) => refused.push((*number, watch.id.clone(), watch.key.clone(), error)),
                        }
                    }
                } else if let Some(values) = changed.get(&watch.key) {
                    if has_room {
                        for (revision, value) in values {
                            tell_key(&socket.session, watch, value.as_deref(), *revision);
                        }
                    } else {
                        watch.is_behind = true;
                    }
                }
            }
            if socket.keys.iter().any(|watch| watch.is_behind) && socket.has_room() {
                self.due.insert(*number);
            }
        }
        for (session, id, key, error) in refused {
            self.end_watch(session, id.as_ref(), &key, &error);
        }
    }

    /// Tells why a key can no longer be watched.
    fn end_watch(&mut self, session: u64, id: Option<&RequestId>, key: &str, error: &Error) {
        log_internal(error);
        let Some(socket) = self.sockets.get_mut(&session) else { return };
        socket.keys.retain(|watch| watch.id.as_ref() != id || watch.key != key);
        match id {
            Some(id) => socket.session.release_id(id),
            None => socket.session.release_nameless(&Holder::Lane),
        }
        socket.session.push(frame::error(id, error));
    }
}

/// A change of a row of `kv`: the values of its key, in order.
fn note_key(changed: &mut Changed, change: &Change, revision: Revision) {
    let text = |value: &Value| match value {
        Value::Text(bytes) => Some(bytes.to_vec()),
        _ => None,
    };
    // Only SQL can make a row that is not a key with JSON; it is as if there were none.
    let json = |value: &Value| text(value).filter(|value| keys::is_json(value));
    let key = |row: &Option<Box<[Value]>>| {
        let bytes = row.as_ref().and_then(|row| text(row.first()?))?;
        String::from_utf8(bytes).ok()
    };
    let (old, new) = (key(&change.old), key(&change.new));
    // A row that took another key is gone under the old one.
    if let Some(old) = old.filter(|old| new.as_ref() != Some(old)) {
        changed.entry(old).or_default().push((revision, None));
    }
    if let (Some(new), Some(row)) = (new, &change.new) {
        let value = row.get(1).and_then(json);
        let values = changed.entry(new).or_default();
        // The same key deleted and made again in one transaction is one change.
        values.retain(|(at, _)| *at != revision);
        values.push((revision, value));
    }
}

fn tell_key(session: &Session, watch: &mut Watch, value: Option<&[u8]>, revision: Revision) {
    if watch.told.is_some_and(|(told, had_value)| told >= revision || !had_value && value.is_none()) {
        return;
    }
    session.push(frame::key(watch.id.as_ref(), &watch.key, value, revision));
    watch.told = Some((revision, value.is_some()));
}

/// Reads the key in the step's snapshot, for a new watch or one that missed something.
fn key_now(sqlite: &mut Sqlite, schema: &Schema, key: &str, time: Duration) -> Result<Option<Entry>> {
    match keys::presence(schema) {
        Presence::Absent => Ok(None),
        Presence::Foreign => Err(keys::foreign()),
        Presence::Ours => sqlite.on_behalf(time, None, |own| keys::get(own, key)),
    }
}

/// The same as a caller sees it.
fn seen_now(
    sqlite: &mut Sqlite,
    access: &Access,
    principal: &Principal,
    role: Role,
    key: &str,
    time: Duration,
) -> Result<Option<Entry>> {
    sqlite.speaking_for(principal, |sqlite| {
        sqlite.bounded(time, None, Mode::Caller, |sqlite| Bound { sqlite, access, role, place: Place::Reader }.get(key))
    })
}

/// Tells a caller what it sees, unless it was told that last.
fn tell_key_seen(session: &Session, watch: &mut Watch, entry: Option<&Entry>, at: Revision) {
    watch.is_behind = false;
    let mut hasher = DefaultHasher::new();
    entry.map(|entry| (entry.revision, &entry.value)).hash(&mut hasher);
    let hash = hasher.finish();
    if watch.told.is_some() && watch.told_hash == hash {
        return;
    }
    // A key that comes into sight again is told with the revision at which it stands.
    let revision = entry.and_then(|entry| entry.revision).unwrap_or(at);
    session.push(frame::key(watch.id.as_ref(), &watch.key, entry.map(|entry| entry.value.as_bytes()), revision));
    (watch.told, watch.told_hash) = (Some((revision, entry.is_some())), hash);
}

fn tell_key_now(session: &Session, watch: &mut Watch, entry: Option<&Entry>, at: Revision) {
    watch.is_behind = false;
    let revision = entry.map_or(at, |entry| entry.revision.unwrap_or(at));
    tell_key(session, watch, entry.map(|entry| entry.value.as_bytes()), revision);
}
