//! Keys that are watched: every value told in order while the socket has room, the newest when it has again.

use super::frame;
use super::lane::Lane;
use super::session::{RequestId, Session};
use super::socket::Watch;
use super::step::log_internal;
use crate::changes::change::{Change, ChangeSet, Extent, Revision};
use crate::error::{Error, Result};
use crate::keys::{self, Entry, Presence};
use crate::sqlite::Sqlite;
use crate::sqlite::schema::Schema;
use crate::value::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

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
        for number in &self.listening {
            let Some(socket) = self.sockets.get_mut(number) else { continue };
            let has_room = socket.keys.is_empty() || socket.session.has_room();
            for watch in &mut socket.keys {
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
        if let Some(id) = id {
            socket.session.release_id(id);
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

fn tell_key_now(session: &Session, watch: &mut Watch, entry: Option<&Entry>, at: Revision) {
    watch.is_behind = false;
    let revision = entry.map_or(at, |entry| entry.revision.unwrap_or(at));
    tell_key(session, watch, entry.map(|entry| entry.value.as_bytes()), revision);
}
