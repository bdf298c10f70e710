//! One step of a lane: one snapshot, every touched group evaluated once, one frame per socket, all at one revision.

use super::frame::{self, DeltaPart};
use super::group::{Difference, Group};
use super::inbox::{Since, Wanted};
use super::lane::Lane;
use super::query::{self, Identity};
use super::rows::{self, RowSet};
use super::session::RequestId;
use super::socket::{Socket, Watch};
use super::stream::{Encoder, Stream};
use crate::changes::change::{ChangeSet, Extent, Revision};
use crate::changes::log;
use crate::error::{Code, Error, Result};
use crate::keys;
use crate::sqlite::schema::Schema;
use crate::value::{Params, Value};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The writer tells a lane of a commit right after it; a lane that sees one in its snapshot waits for the news.
const NEWS_WAIT_MAX: Duration = Duration::from_secs(10);

/// Log read at one time to catch a change stream up.
const CATCH_UP_BYTES: usize = 256 << 10;

/// Log read at most to learn that nothing a returning client reads was touched.
const RESUME_BYTES: usize = 4 << 20;

/// Sockets to be moved, and where to: they hold a query that is too slow for this lane.
type TooSlow = HashMap<u64, usize>;

/// The same query is slow for everyone, so they share a lane.
fn slow_lane(identity: &Identity, limits: &crate::limits::Limits) -> usize {
    1 + (identity.0 % limits.slow_lanes.max(1) as u128) as usize
}

impl Lane {
    pub(super) fn step(&mut self) {
        if let Err(error) = self.try_step() {
            // The file cannot be read now; everything is looked at again at the next turn.
            tracing::error!(%error, lane = self.number, "a step of the live queries failed");
            if !self.sqlite.is_autocommit() {
                let _ = self.sqlite.own.execute_batch("ROLLBACK");
            }
            for group in self.groups.values_mut() {
                group.is_stale = true;
            }
            self.due.extend(self.sockets.keys());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_step(&mut self) -> Result<()> {
        self.shared.metrics.live_steps.add(1);
        self.sqlite.own.prepare_cached("BEGIN")?.execute([])?;
        let (revision, schema_epoch) = log::stand(&self.sqlite.own)?;
        let sets = self.news_until(revision);
        if schema_epoch != self.schema_epoch {
            self.schema = Schema::load(&self.sqlite.own)?;
            self.schema_epoch = schema_epoch;
            self.sqlite.forget_statements();
            self.analyse_again(revision);
        }
        let mut too_slow = TooSlow::new();
        self.evaluate_touched(&sets, revision, &mut too_slow);
        let before = std::mem::replace(&mut self.at, revision);
        // Whoever must be looked at again in the next turn is put back by the following.
        let due = std::mem::take(&mut self.due);
        self.serve_sockets(&due, &too_slow);
        self.serve_streams(&due, &sets, before)?;
        self.serve_keys(&sets)?;
        self.serve_waiting(&due, &mut too_slow);
        self.sqlite.own.prepare_cached("COMMIT")?.execute([])?;
        for group in self.groups.values_mut() {
            group.trim(&self.limits);
        }
        for (session, lane) in too_slow {
            self.send_to(session, lane);
        }
        Ok(())
    }

    /// The change sets up to the snapshot's revision, none missing; newer ones stay for the next step.
    fn news_until(&mut self, revision: Revision) -> Vec<Arc<ChangeSet>> {
        let deadline = Instant::now() + NEWS_WAIT_MAX;
        loop {
            let newest = self.early.last().map_or(self.at, |set| set.revision);
            if newest >= revision {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::error!(revision, newest, "the news of a commit did not come; everything is read again");
                let extent = Extent::Everything { schema: true };
                self.early.push(Arc::new(ChangeSet { revision, extent }));
                break;
            }
            let more = self.inbox.take_changes(left);
            self.early.extend(more);
        }
        let later = self.early.partition_point(|set| set.revision <= revision);
        let rest = self.early.split_off(later);
        let mut sets = std::mem::replace(&mut self.early, rest);
        sets.retain(|set| set.revision > self.at);
        sets
    }

    /// After a schema change a query may have other columns, or be impossible.
    fn analyse_again(&mut self, revision: Revision) {
        let identities: Vec<Identity> = self.groups.keys().cloned().collect();
        for identity in identities {
            let Some(old) = self.groups.get(&identity).map(|group| Arc::clone(&group.query)) else { continue };
            let analysed = query::analyse(
                &mut self.sqlite,
                &self.schema,
                self.schema_epoch,
                &old.written,
                &old.params,
                &self.limits,
            );
            match analysed {
                Err(error) => self.end_group(&identity, &error),
                Ok(new) => {
                    let Some(mut group) = self.drop_group(&identity) else { continue };
                    let is_alike = new.columns == old.columns && new.is_ordered == old.is_ordered && new.key == old.key;
                    if is_alike {
                        group.query = Arc::new(new);
                    } else {
                        group.restart(Arc::new(new), RowSet::default(), revision);
                        self.resync_all(&identity, &mut group);
                    }
                    group.is_stale = true;
                    self.add_group(identity, group);
                }
            }
        }
    }

    /// Every listener is told to forget, and waits for its rows like a new one.
    fn resync_all(&mut self, identity: &Identity, group: &mut Group) {
        for (session, id) in std::mem::take(&mut group.listeners) {
            let Some(socket) = self.sockets.get_mut(&session) else { continue };
            socket.queries.retain(|_, held| held != identity);
            ask_again(socket, id, group);
            self.due.insert(session);
        }
        group.left_at = Some(Instant::now());
    }

    fn evaluate_touched(&mut self, sets: &[Arc<ChangeSet>], revision: Revision, too_slow: &mut TooSlow) {
        let mut touched: HashSet<Identity> =
            self.groups.iter().filter(|(_, group)| group.is_stale).map(|(identity, _)| identity.clone()).collect();
        for set in sets {
            self.find_touched(set, &mut touched);
        }
        for identity in touched {
            self.evaluate_one(&identity, revision, too_slow);
        }
    }

    fn find_touched(&self, set: &ChangeSet, touched: &mut HashSet<Identity>) {
        let Extent::Rows(rows) = &set.extent else {
            touched.extend(self.groups.keys().cloned());
            return;
        };
        let tables = rows.shapes.iter().map(|shape| shape.table.to_ascii_lowercase());
        let opaque = rows.opaque.iter().map(|table| table.to_string());
        for table in tables.chain(opaque).chain([String::new()]) {
            for identity in self.by_table.get(table.as_str()).into_iter().flatten() {
                if !touched.contains(identity) && self.groups[identity].query.reads.is_touched_by(set) {
                    touched.insert(identity.clone());
                }
            }
        }
    }

    fn evaluate_one(&mut self, identity: &Identity, revision: Revision, too_slow: &mut TooSlow) {
        let Some(group) = self.groups.get_mut(identity) else { return };
        let time = if self.number == 0 { self.limits.live_quick_time_max } else { self.limits.live_slow_time_max };
        self.shared.metrics.live_evaluations.add(1);
        let started = Instant::now();
        let (sqlite, limits) = (&mut self.sqlite, &self.limits);
        let fresh = guarded(|| rows::evaluate(sqlite, &group.query, Some(&group.rows), time, limits));
        group.note_cost(started.elapsed());
        match fresh {
            Ok(fresh) => {
                if group.advance(fresh, revision) {
                    self.shared.metrics.live_deltas.add(1);
                    for (session, id) in &group.listeners {
                        if let Some(socket) = self.sockets.get_mut(session) {
                            socket.touched.push((id.clone(), identity.clone()));
                            self.due.insert(*session);
                        }
                    }
                }
            }
            Err(error) if error.code == Code::Timeout && self.number == 0 => {
                group.is_stale = true;
                if group.listeners.is_empty() {
                    self.drop_group(identity);
                } else {
                    let lane = slow_lane(identity, &self.limits);
                    too_slow.extend(group.listeners.iter().map(|(session, _)| (*session, lane)));
                }
            }
            Err(error) => self.end_group(identity, &error),
        }
    }

    /// Tells every listener why its query cannot go on.
    fn end_group(&mut self, identity: &Identity, error: &Error) {
        let Some(group) = self.drop_group(identity) else { return };
        log_internal(error);
        for (session, id) in &group.listeners {
            if let Some(socket) = self.sockets.get_mut(session) {
                socket.queries.remove(id);
                socket.touched.retain(|(touched, _)| touched != id);
                socket.session.release_id(id);
                socket.session.push(frame::error(Some(id), error));
            }
        }
    }

    /// One delta frame for each socket that holds something changed and has room for it.
    fn serve_sockets(&mut self, due: &HashSet<u64>, too_slow: &TooSlow) {
        for session in due.iter().filter(|session| !too_slow.contains_key(*session)) {
            let Some(socket) = self.sockets.get_mut(session) else { continue };
            let has_news = !socket.touched.is_empty() || socket.is_dirty;
            if has_news && !socket.has_room() {
                self.shared.metrics.live_merged.add(1);
                socket.is_dirty = true;
                socket.touched.clear();
                continue;
            }
            bring_up(socket, &self.groups, self.at, &self.shared);
            if socket.owes > socket.told {
                say_at(socket, self.at);
            }
        }
    }

    fn serve_streams(&mut self, due: &HashSet<u64>, sets: &[Arc<ChangeSet>], before: Revision) -> Result<()> {
        let mut encoder = Encoder::default();
        for number in &self.listening {
            let Some(socket) = self.sockets.get_mut(number) else { continue };
            let is_due = due.contains(number);
            let has_room = socket.session.has_room();
            for (id, stream) in &mut socket.streams {
                if stream.is_behind && is_due && has_room {
                    catch_up(&self.sqlite, &socket.session, id, stream, self.at)?;
                } else if !stream.is_behind && stream.at >= before && has_room {
                    sets.iter().for_each(|set| encoder.tell(&socket.session, id, stream, set));
                    stream.at = self.at;
                } else if sets.iter().any(|set| set.revision > stream.at) {
                    stream.is_behind = true;
                } else if !stream.is_behind {
                    stream.at = self.at;
                }
            }
            if socket.streams.values().any(|stream| stream.is_behind) && socket.has_room() {
                // The log is read in pieces: the next turn goes on.
                self.due.insert(*number);
            }
        }
        Ok(())
    }

    fn serve_keys(&mut self, sets: &[Arc<ChangeSet>]) -> Result<()> {
        let mut changed: HashMap<String, Vec<(Revision, Option<Vec<u8>>)>> = HashMap::new();
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
        for number in &self.listening {
            let Some(socket) = self.sockets.get_mut(number) else { continue };
            let has_room = socket.keys.is_empty() || socket.session.has_room();
            for watch in &mut socket.keys {
                if all || watch.is_behind || watch.told.is_none() {
                    watch.is_behind = true;
                    if has_room || watch.told.is_none() {
                        tell_key_now(&self.sqlite, &socket.session, watch, self.at)?;
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
        Ok(())
    }

    /// First rows, on the snapshot of this step: no gap between them and the deltas that follow.
    fn serve_waiting(&mut self, due: &HashSet<u64>, too_slow: &mut TooSlow) {
        for session in due.iter().copied() {
            if too_slow.contains_key(&session) {
                continue;
            }
            let Some(socket) = self.sockets.get_mut(&session) else { continue };
            let mut waiting = std::collections::VecDeque::from(std::mem::take(&mut socket.waiting));
            while let Some((id, wanted)) = waiting.pop_front() {
                match self.serve_first(session, &id, &wanted) {
                    Ok(()) => {}
                    Err(error) if error.code == Code::Timeout && self.number == 0 => {
                        if let Wanted::Query { sql, params, .. } = &wanted {
                            too_slow.insert(session, slow_lane(&query::identity(sql, params), &self.limits));
                        }
                        waiting.push_front((id, wanted));
                        break;
                    }
                    Err(error) => self.refuse(session, &id, &error),
                }
            }
            if let Some(socket) = self.sockets.get_mut(&session) {
                socket.waiting.extend(waiting);
            }
        }
    }

    fn refuse(&mut self, session: u64, id: &RequestId, error: &Error) {
        log_internal(error);
        if let Some(socket) = self.sockets.get(&session) {
            socket.session.release_id(id);
            socket.session.push(frame::error(Some(id), error));
        }
    }

    fn serve_first(&mut self, session: u64, id: &RequestId, wanted: &Wanted) -> Result<()> {
        match wanted {
            Wanted::Query { sql, params, since } => self.first_rows(session, id, sql, params, since.as_ref()),
            Wanted::Changes { table, since } => {
                self.first_changes(session, id, table.as_deref(), since.as_ref());
                Ok(())
            }
            Wanted::Key { .. } => Ok(()),
        }
    }

    fn first_changes(&mut self, session: u64, id: &RequestId, table: Option<&str>, since: Option<&Since>) {
        let Some(socket) = self.sockets.get_mut(&session) else { return };
        let mut stream =
            Stream { table: table.map(|table| table.to_ascii_lowercase().into()), at: self.at, is_behind: false };
        match since {
            // From here on: the first frame says from where.
            None => socket.session.push(frame::changes(id, self.at, b"", true)),
            Some(since) if since.history == self.shared.history && since.revision <= self.at => {
                stream.is_behind = since.revision < self.at;
                stream.at = since.revision;
                if !stream.is_behind {
                    socket.session.push(frame::changes(id, self.at, b"", true));
                }
            }
            Some(_) => socket.session.push(frame::resync(id, Some(self.at))),
        }
        let mut is_behind = stream.is_behind;
        if is_behind {
            // The first piece at once, so that what was missed comes before anything new.
            if catch_up(&self.sqlite, &socket.session, id, &mut stream, self.at).is_err() {
                stream.is_behind = true;
            }
            is_behind = stream.is_behind;
        }
        socket.streams.insert(id.clone(), stream);
        self.listening.insert(session);
        if is_behind {
            self.due.insert(session);
        }
    }

    fn first_rows(
        &mut self,
        session: u64,
        id: &RequestId,
        sql: &str,
        params: &Params,
        since: Option<&Since>,
    ) -> Result<()> {
        let identity = query::identity(sql, params);
        let is_new = !self.groups.contains_key(&identity);
        let chunks = self.hydrate(&identity, sql, params)?;
        let resumed = since.is_some_and(|since| self.resume(session, id, &identity, since, is_new));
        let Some(socket) = self.sockets.get_mut(&session) else { return Ok(()) };
        if !resumed {
            bring_to(socket, &self.groups, self.at, &self.shared);
            if let Some(group) = self.groups.get(&identity) {
                group.send_rows(&socket.session, id, &chunks, self.at);
            }
        }
        socket.queries.insert(id.clone(), identity.clone());
        socket.last_frame = Instant::now();
        if let Some(group) = self.groups.get_mut(&identity) {
            group.listeners.insert((session, id.clone()));
            group.left_at = None;
        }
        Ok(())
    }

    /// Makes sure of the group, and gives its rows in chunks.
    fn hydrate(&mut self, identity: &Identity, sql: &str, params: &Params) -> Result<Arc<Vec<bytes::Bytes>>> {
        if let Some(ready) = self.groups.get(identity).filter(|group| !group.is_stale).and_then(Group::ready_rows) {
            return Ok(ready);
        }
        let query = match self.groups.get(identity) {
            Some(group) => Arc::clone(&group.query),
            None => {
                Arc::new(query::analyse(&mut self.sqlite, &self.schema, self.schema_epoch, sql, params, &self.limits)?)
            }
        };
        let time = if self.number == 0 { self.limits.live_quick_time_max } else { self.limits.live_slow_time_max };
        self.shared.metrics.live_evaluations.add(1);
        let started = Instant::now();
        let (sqlite, limits) = (&mut self.sqlite, &self.limits);
        let fresh = guarded(|| rows::evaluate(sqlite, &query, None, time, limits))?;
        if let Some(group) = self.groups.get_mut(identity) {
            group.note_cost(started.elapsed());
            return Ok(group.keep_rows(&fresh, &self.limits));
        }
        let mut group = Group::new(query, RowSet::default(), self.at);
        group.cost = started.elapsed();
        let chunks = group.keep_rows(&fresh, &self.limits);
        group.rows = fresh.into_set();
        group.left_at = Some(Instant::now());
        self.add_group(identity.clone(), group);
        Ok(chunks)
    }

    /// Tries to continue where a client stopped. True if it was told all it needs.
    fn resume(&mut self, session: u64, id: &RequestId, identity: &Identity, since: &Since, is_new: bool) -> bool {
        let Some(group) = self.groups.get(identity) else { return false };
        let fits = since.history == self.shared.history
            && since.revision <= self.at
            && since.tag.as_deref() == Some(&*group.query.tag);
        if !fits {
            return false;
        }
        let difference = if is_new || !group.reaches_back_to(since.revision) {
            if self.was_untouched(identity, since.revision) { Difference::None } else { Difference::Unknown }
        } else {
            group.since(since.revision)
        };
        let Some(socket) = self.sockets.get_mut(&session) else { return false };
        match difference {
            Difference::Unknown => false,
            Difference::None => {
                bring_to(socket, &self.groups, self.at, &self.shared);
                socket.session.push(frame::unchanged(id, self.at));
                true
            }
            Difference::Delta(delta) => {
                bring_up(socket, &self.groups, self.at, &self.shared);
                let part = DeltaPart { id, since: Some(since.revision), delta: &delta };
                socket.session.push(frame::delta(socket.told, self.at, &[part]));
                socket.told = self.at;
                true
            }
        }
    }

    /// Does the log say that nothing the query reads has changed since?
    fn was_untouched(&self, identity: &Identity, since: Revision) -> bool {
        let Some(group) = self.groups.get(identity) else { return false };
        match log::read_after(&self.sqlite.own, since, RESUME_BYTES) {
            Ok(Some(sets)) => {
                let reached = sets.last().map_or(since, |set| set.revision);
                reached >= self.at && !sets.iter().any(|set| group.query.reads.is_touched_by(set))
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%error, "the change log could not be read");
                false
            }
        }
    }
}

/// Sends what changed since the socket was last told, if something did.
fn bring_up(socket: &mut Socket, groups: &HashMap<Identity, Group>, at: Revision, shared: &crate::shared::Shared) {
    let touched = std::mem::take(&mut socket.touched);
    let all: Vec<(RequestId, Identity)>;
    let looked_at = if std::mem::take(&mut socket.is_dirty) {
        all = socket.queries.iter().map(|(id, identity)| (id.clone(), identity.clone())).collect();
        &all
    } else {
        &touched
    };
    let mut deltas = Vec::new();
    for (id, identity) in looked_at {
        let Some(group) = groups.get(identity) else { continue };
        match group.since(socket.told) {
            Difference::None => {}
            Difference::Delta(delta) => deltas.push((id, delta)),
            Difference::Unknown => {
                shared.metrics.live_resyncs.add(1);
                let id = id.clone();
                socket.queries.remove(&id);
                ask_again(socket, id, group);
            }
        }
    }
    if deltas.is_empty() {
        return;
    }
    let parts: Vec<DeltaPart<'_>> = deltas.iter().map(|(id, delta)| DeltaPart { id, since: None, delta }).collect();
    socket.session.push(frame::delta(socket.told, at, &parts));
    shared.metrics.live_frames.add(1);
    socket.told = at;
    socket.last_frame = Instant::now();
}

/// The same, and says `at` if nothing did: afterwards the socket stands at this revision.
fn bring_to(socket: &mut Socket, groups: &HashMap<Identity, Group>, at: Revision, shared: &crate::shared::Shared) {
    bring_up(socket, groups, at, shared);
    if socket.told < at {
        say_at(socket, at);
    }
}

fn say_at(socket: &mut Socket, at: Revision) {
    socket.session.push(frame::at(at));
    socket.told = at;
    socket.last_frame = Instant::now();
}

/// Forget this result; rows follow, like for a new subscription.
fn ask_again(socket: &mut Socket, id: RequestId, group: &Group) {
    socket.session.push(frame::resync(&id, None));
    let query = &group.query;
    let wanted = Wanted::Query { sql: query.written.clone(), params: query.params.clone(), since: None };
    socket.waiting.push((id, wanted));
}

/// One reading of the log for a stream that is behind.
fn catch_up(
    sqlite: &crate::sqlite::Sqlite,
    session: &super::session::Session,
    id: &RequestId,
    stream: &mut Stream,
    at: Revision,
) -> Result<()> {
    match log::read_after(&sqlite.own, stream.at, CATCH_UP_BYTES)? {
        None => {
            session.push(frame::resync(id, Some(at)));
            stream.at = at;
        }
        Some(sets) => {
            let mut encoder = Encoder::default();
            let reached = sets.last().map_or(at, |set| set.revision);
            sets.iter().for_each(|set| encoder.tell(session, id, stream, set));
            stream.at = reached.min(at);
        }
    }
    stream.is_behind = stream.at < at;
    Ok(())
}

/// A change of a row of `kv`: the values of its key, in order.
fn note_key(
    changed: &mut HashMap<String, Vec<(Revision, Option<Vec<u8>>)>>,
    change: &crate::changes::change::Change,
    revision: Revision,
) {
    let text = |value: &Value| match value {
        Value::Text(bytes) => Some(bytes.to_vec()),
        _ => None,
    };
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
        let value = row.get(1).and_then(text);
        let values = changed.entry(new).or_default();
        // The same key deleted and made again in one transaction is one change.
        values.retain(|(at, _)| *at != revision);
        values.push((revision, value));
    }
}

fn tell_key(session: &super::session::Session, watch: &mut Watch, value: Option<&[u8]>, revision: Revision) {
    if watch.told.is_some_and(|(told, had_value)| told >= revision || !had_value && value.is_none()) {
        return;
    }
    session.push(frame::key(watch.id.as_ref(), &watch.key, value, revision));
    watch.told = Some((revision, value.is_some()));
}

/// Reads the key in the step's snapshot, for a new watch or one that missed something.
fn tell_key_now(
    sqlite: &crate::sqlite::Sqlite,
    session: &super::session::Session,
    watch: &mut Watch,
    at: Revision,
) -> Result<()> {
    watch.is_behind = false;
    let entry = keys::get(&sqlite.own, &watch.key)?;
    let revision = entry.as_ref().map_or(at, |entry| entry.revision.unwrap_or(at));
    tell_key(session, watch, entry.as_ref().map(|entry| entry.value.as_bytes()), revision);
    Ok(())
}

/// A panic in one query must end that query and nothing else.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal("evaluating a live query panicked")))
}

fn log_internal(error: &Error) {
    if error.code == Code::Internal {
        tracing::error!(%error, source = ?error.source, "a live query failed");
    }
}
