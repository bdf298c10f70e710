//! One step of a lane: one snapshot, every touched group evaluated once, one frame per socket, all at one revision.

use super::family::Touched;
use super::frame::{self, DeltaPart};
use super::group::{Counting, Difference, Group};
use super::groups::Groups;
use super::inbox::Wanted;
use super::lane::Lane;
use super::mirror;
use super::part::Parts;
use super::query::{self, Identity, Query, SharedQuery};
use super::report::Run;
use super::rows;
use super::session::RequestId;
use super::socket::{Asking, Socket};
use super::stream::{Encoder, Stream};
use super::tally::GoneOn;
use crate::changes::change::{ChangeSet, Extent, Revision};
use crate::changes::log;
use crate::error::{Code, Error, Result};
use crate::sqlite::schema::Schema;
use crate::value::Params;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The writer tells a lane of a commit right after it; a lane that sees one in its snapshot waits for the news.
const NEWS_WAIT_MAX: Duration = Duration::from_secs(10);

/// Log read at one time to catch a change stream up.
const CATCH_UP_BYTES: usize = 256 << 10;

/// A run as long as this many parts would take is worth another one to count.
const TALLY_WORTH: u64 = 40;

/// How long one step gives first rows, at least those of one query.
const FIRST_ROWS_TIME: Duration = Duration::from_millis(20);

/// What became of an attempt to count a result on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Done,
    Not,
    /// To run the whole is quicker, this time.
    TooMany,
}

/// Sockets to be moved, and where to: they hold a query that is too slow for this lane.
type TooSlow = HashMap<u64, usize>;

/// What one run of a query that lingers may take, and all of them together in a step.
const LINGERING_COST_MAX: Duration = Duration::from_millis(1);
const LINGERING_TIME_MAX: Duration = Duration::from_millis(250);
/// A lesser share of an evaluation is not counted.
const SHARE_MIN: Duration = Duration::from_micros(1);

/// Time that a step has spent on evaluations.
#[derive(Default)]
struct Spent {
    /// On queries that nobody holds any more.
    for_nobody: Duration,
    /// By session, each with its share of what it holds with others.
    for_sessions: HashMap<u64, Duration>,
}

/// The same query is slow for everyone, so they share a lane.
fn slow_lane(sql: &str, params: &Params, limits: &crate::limits::Limits) -> usize {
    1 + (query::number(sql, params) % limits.slow_lanes.max(1) as u64) as usize
}

impl Lane {
    pub(super) fn step(&mut self) {
        if let Err(error) = self.try_step() {
            // The file cannot be read now; everything is looked at again at the next turn.
            tracing::error!(%error, lane = self.number, "a step of the live queries failed");
            if !self.sqlite.is_autocommit() {
                let _ = self.sqlite.own.execute_batch("ROLLBACK");
            }
            for group in self.groups.iter_mut() {
                group.doubt(self.at);
            }
            self.has_stale = true;
            // What the step was about to tell may not have been told.
            for socket in self.sockets.values_mut() {
                socket.is_dirty = true;
                socket.streams.values_mut().for_each(|stream| stream.is_behind = true);
                socket.keys.iter_mut().for_each(|watch| watch.is_behind = true);
            }
            self.due.extend(self.sockets.keys());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_step(&mut self) -> Result<()> {
        self.shared.metrics.live_steps.add(1);
        self.sqlite.own.prepare_cached("BEGIN")?.execute([])?;
        let (revision, schema_epoch) = log::stand(&self.sqlite.own)?;
        let schema = (schema_epoch != self.schema_epoch).then(|| Schema::load(&self.sqlite.own)).transpose()?;
        // From here on nothing may fail: what is taken now will not come again.
        let sets = self.news_until(revision);
        if let Some(schema) = schema {
            self.schema = schema;
            self.schema_epoch = schema_epoch;
            self.sqlite.forget_statements();
            self.mirrors.forget();
            self.analyse_again(revision);
        }
        self.doubt_the_joined(&sets, revision);
        let mut too_slow = TooSlow::new();
        self.evaluate_touched(&sets, revision, &mut too_slow);
        let before = std::mem::replace(&mut self.at, revision);
        // Whoever must be looked at again in the next turn is put back by the following.
        let due = std::mem::take(&mut self.due);
        // Change streams first: an `at` says that everything up to it has been told.
        self.serve_streams(&due, &sets, before)?;
        self.serve_keys(&sets);
        self.serve_sockets(&due, &too_slow);
        self.serve_waiting(&due, &mut too_slow);
        self.sqlite.own.prepare_cached("COMMIT")?.execute([])?;
        self.groups.trim_histories(&std::mem::take(&mut self.grown), &self.limits);
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
        let mut templates = self.families.ids();
        templates.sort_unstable();
        for id in templates {
            let Some(family) = self.families.get(id) else { continue };
            let mut identities: Vec<Identity> = family.groups.iter().copied().collect();
            identities.sort_unstable();
            let old = Arc::clone(&family.template);
            let role = old.bound.as_ref().map(|bound| bound.role);
            let new = match self.analyse(&old.written, role) {
                Ok(new) => Arc::new(new),
                Err(error) => {
                    identities.iter().for_each(|identity| self.end_group(identity, &error));
                    continue;
                }
            };
            let is_alike = new.columns == old.columns && new.is_ordered == old.is_ordered && new.key == old.key;
            let asks_the_same = new.asks == old.asks;
            // A family is of one template: all leave the old one before the first joins the new.
            let groups: Vec<Group> = identities.iter().filter_map(|identity| self.drop_group(identity)).collect();
            for mut group in groups {
                let identity = group.query.identity;
                match Query::new(Arc::clone(&new), &group.query.params, &group.query.principal).map(Arc::new) {
                    // Its listeners fall into other groups now, each by its own answers.
                    Ok(query) if !asks_the_same => {
                        self.begin_anew(&identity, &mut group, query, revision);
                        continue;
                    }
                    Ok(query) if is_alike => group.query = query,
                    Ok(query) => self.begin_anew(&identity, &mut group, query, revision),
                    Err(error) => {
                        self.add_group(identity, group);
                        self.end_group(&identity, &error);
                        continue;
                    }
                }
                group.doubt(self.at);
                self.add_group(identity, group);
            }
        }
    }

    /// Another program's write was in the file before it was noticed: whoever joined a group in that time with rows of
    /// their own may have it already, or lack what the group has.
    fn doubt_the_joined(&mut self, sets: &[Arc<ChangeSet>], revision: Revision) {
        let mut before = self.at;
        for set in sets {
            if matches!(set.extent, Extent::Everything { .. }) {
                self.unknown_at = set.revision;
                let joined = |(_, group): &(Identity, &Group)| group.joined_at >= before;
                let doubtful: Vec<Identity> = self.groups.iter().filter(joined).map(|(identity, _)| identity).collect();
                for identity in doubtful {
                    let Some(mut group) = self.drop_group(&identity) else { continue };
                    let query = Arc::clone(&group.query);
                    self.begin_anew(&identity, &mut group, query, revision);
                    group.doubt(self.at);
                    self.add_group(identity, group);
                }
            }
            before = set.revision;
        }
    }

    /// A result to which no difference leads: every listener is told to forget, and waits for its rows like a new one.
    pub(super) fn begin_anew(&mut self, identity: &Identity, group: &mut Group, query: SharedQuery, at: Revision) {
        let listeners = group.restart(query, at);
        for (session, id) in listeners.iter() {
            let (session, id) = (*session, id.clone());
            let Some(socket) = self.sockets.get_mut(&session) else { continue };
            socket.queries.retain(|_, held| held != identity);
            ask_again(socket, id, group.query.wanted());
            self.due.insert(session);
        }
    }

    fn evaluate_touched(&mut self, sets: &[Arc<ChangeSet>], revision: Revision, too_slow: &mut TooSlow) {
        let time = self.time_max();
        let mut spent = Spent::default();
        let mut touched = Touched::default();
        if std::mem::take(&mut self.has_stale) {
            for (identity, group) in self.groups.iter().filter(|(_, group)| group.is_stale) {
                let found = touched.families.entry(group.query.template.id).or_default();
                found.groups.insert(identity);
            }
        }
        let deadline = Instant::now() + time;
        for set in sets {
            self.families.find_touched(set, Some((&mut self.sqlite, deadline)), &mut touched);
        }
        self.shared.metrics.live_spared.add(self.families.spared(&mut touched));
        self.shared.metrics.live_behind.add(self.leave_out_behind(&mut touched));
        self.shared.metrics.live_trails.add(touched.trails);
        for (template, found) in touched.families {
            let family = self.families.get(template);
            let tally = family.and_then(|family| family.template.ways.tally.as_ref());
            let images = tally.map_or(0, |tally| mirror::count(&tally.table, sets));
            let done = self.evaluate_for_all(template, &found, revision);
            for identity in found.groups.iter().filter(|identity| !done.contains(*identity)) {
                if self.is_lingering_too_dear(identity, &spent) {
                    self.drop_group(identity);
                    continue;
                }
                let started = Instant::now();
                let counted = self.count_on(identity, sets, images, revision);
                let has_parts = !found.whole.contains(identity);
                let is_done = counted == Counted::Done
                    || has_parts && self.evaluate_changed_parts(identity, &found.parts, revision);
                if !is_done
                    && let Some(took) = self.evaluate_one(identity, revision, too_slow)
                    && counted != Counted::TooMany
                {
                    self.begin_counting(identity, took);
                }
                self.charge(identity, started.elapsed(), &mut spent);
            }
        }
        self.mirrors.end_step();
        // What all have to bear at times, such as another program's write, is nobody's fault.
        let is_of_rows = sets.iter().all(|set| matches!(set.extent, Extent::Rows(_)));
        if self.number == 0 && is_of_rows {
            for (session, _) in spent.for_sessions.into_iter().filter(|(_, spent)| *spent > time) {
                let lane = 1 + (session % self.limits.slow_lanes.max(1) as u64) as usize;
                too_slow.entry(session).or_insert(lane);
            }
        }
    }

    /// Nobody holds it, and to keep it true takes long: whoever comes back for it gets rows.
    fn is_lingering_too_dear(&self, identity: &Identity, spent: &Spent) -> bool {
        self.groups.get(identity).is_some_and(|group| {
            group.listeners.is_empty() && (group.cost() > LINGERING_COST_MAX || spent.for_nobody > LINGERING_TIME_MAX)
        })
    }

    /// Notes for whom so long was evaluated.
    fn charge(&mut self, identity: &Identity, took: Duration, spent: &mut Spent) {
        let Some(group) = self.groups.get(identity) else { return };
        let listeners = group.listeners.iter().count();
        if listeners == 0 {
            spent.for_nobody += took;
            return;
        }
        let share = took / u32::try_from(listeners).unwrap_or(u32::MAX);
        if share >= SHARE_MIN {
            for (session, _) in group.listeners.iter() {
                *spent.for_sessions.entry(*session).or_default() += share;
            }
        }
    }

    pub(super) fn time_max(&self) -> Duration {
        if self.number == 0 { self.limits.live_quick_time_max } else { self.limits.live_slow_time_max }
    }

    /// Counts the result on from the changed rows, of which there are so many images.
    fn count_on(&mut self, identity: &Identity, sets: &[Arc<ChangeSet>], images: usize, revision: Revision) -> Counted {
        let time = self.time_max();
        let Some(group) = self.groups.get_mut(identity) else { return Counted::Done };
        let query = Arc::clone(&group.query);
        let Some(tally) = query.template.ways.tally.as_ref().filter(|_| !group.is_stale) else { return Counted::Not };
        let Some(mut counts) = group.counting.take() else { return Counted::Not };
        if Duration::from_micros(self.limits.live_part_micros.saturating_mul(images as u64)) > group.cost() {
            return Counted::TooMany;
        }
        let started = Instant::now();
        let mirrors = &mut self.mirrors;
        let changes = guarded(|| tally.go_on(&mut counts, mirrors, &query, sets, time));
        self.families.note_run(query.template.id, Run::Counted, started.elapsed());
        let changes = match changes {
            Ok(GoneOn::Changes(changes)) if group.rows.count() + changes.insert.len() <= self.limits.live_rows_max => {
                changes
            }
            Ok(GoneOn::Never) => {
                group.counting = Counting::Never;
                return Counted::Not;
            }
            // The whole will show what is wrong.
            Ok(GoneOn::Changes(_) | GoneOn::Lost) | Err(_) => return Counted::Not,
        };
        group.counting = Counting::Here(counts);
        self.shared.metrics.live_tallies.add(1);
        if group.advance_parts(changes, self.at, revision) {
            self.tell_of(identity);
        }
        Counted::Done
    }

    /// After a run of the whole, in the same snapshot: the next changes can be counted on, if that took long.
    pub(super) fn begin_counting(&mut self, identity: &Identity, took: Duration) {
        let time = self.time_max();
        let Some(group) = self.groups.get_mut(identity) else { return };
        let query = Arc::clone(&group.query);
        let worth = Duration::from_micros(self.limits.live_part_micros.saturating_mul(TALLY_WORTH));
        let Some(tally) = query.template.ways.tally.as_ref().filter(|_| took >= worth) else { return };
        if matches!(group.counting, Counting::Not) {
            let sqlite = &mut self.sqlite;
            let counts = guarded(|| tally.count(sqlite, &query, time)).ok().flatten();
            group.counting = counts.map_or(Counting::Never, |counts| Counting::Here(Box::new(counts)));
        }
    }

    /// False if the result must be evaluated as a whole.
    fn evaluate_changed_parts(&mut self, identity: &Identity, parts: &Parts, revision: Revision) -> bool {
        let time = self.time_max();
        let Some(group) = self.groups.get_mut(identity) else { return true };
        let query = Arc::clone(&group.query);
        let (Some(part), Parts::These(keys)) = (&query.template.ways.part, parts) else { return false };
        if group.is_stale {
            return false;
        }
        // At no price at all they are read whatever they take.
        let least = Duration::from_micros(self.limits.live_part_micros);
        let one = if least.is_zero() { least } else { least.max(self.families.part_cost(query.template.id)) };
        if one.saturating_mul(u32::try_from(keys.len()).unwrap_or(u32::MAX)) > group.cost() {
            self.families.doubt_part_cost(query.template.id);
            return false;
        }
        let started = Instant::now();
        let (sqlite, limits) = (&mut self.sqlite, &self.limits);
        let changes = guarded(|| rows::evaluate_parts(sqlite, &query, part, keys, &group.rows, time, limits));
        self.families.note_run(query.template.id, Run::Parts, started.elapsed());
        self.families.note_parts(query.template.id, keys.len(), started.elapsed());
        // Whatever goes wrong: the whole will show whether it goes wrong there too.
        let Ok(Some(changes)) = changes else { return false };
        self.shared.metrics.live_parts.add(1);
        if group.advance_parts(changes, self.at, revision) {
            self.tell_of(identity);
        }
        true
    }

    /// A group has changed: its listeners are to be told.
    pub(super) fn tell_of(&mut self, identity: &Identity) {
        let Some(group) = self.groups.get(identity) else { return };
        self.grown.push(*identity);
        self.shared.metrics.live_deltas.add(1);
        for (session, id) in group.listeners.iter() {
            if let Some(socket) = self.sockets.get_mut(session) {
                socket.touched.push((id.clone(), *identity));
                self.due.insert(*session);
            }
        }
    }

    /// Runs the whole; how long that took, if it could be run.
    fn evaluate_one(&mut self, identity: &Identity, revision: Revision, too_slow: &mut TooSlow) -> Option<Duration> {
        let time = self.time_max();
        let group = self.groups.get_mut(identity)?;
        self.shared.metrics.live_evaluations.add(1);
        let started = Instant::now();
        let (sqlite, limits) = (&mut self.sqlite, &self.limits);
        let fresh = guarded(|| rows::evaluate(sqlite, &group.query, Some(&group.rows), time, limits));
        let took = started.elapsed();
        group.note_cost(took);
        self.families.note_run(group.query.template.id, Run::Whole, took);
        match fresh {
            Ok(fresh) => {
                if group.advance(fresh, self.at, revision) {
                    self.tell_of(identity);
                }
                return Some(took);
            }
            Err(error) if error.code == Code::Timeout && self.number == 0 => {
                group.doubt(self.at);
                self.has_stale = true;
                if group.listeners.is_empty() {
                    self.drop_group(identity);
                } else {
                    let lane = slow_lane(&group.query.template.written, &group.query.params, &self.limits);
                    too_slow.extend(group.listeners.iter().map(|(session, _)| (*session, lane)));
                }
            }
            Err(error) => self.end_group(identity, &error),
        }
        None
    }

    /// Tells every listener why its query cannot go on.
    fn end_group(&mut self, identity: &Identity, error: &Error) {
        let Some(group) = self.drop_group(identity) else { return };
        log_internal(error);
        for (session, id) in group.listeners.iter() {
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
            bring_up(socket, &mut self.groups, self.at, &self.shared);
            let is_owed = socket.owes > socket.told || socket.is_quiet;
            if is_owed && !socket.is_behind() {
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

    /// First rows, on the snapshot of this step: no gap between them and the deltas that follow. When many come at once
    /// not all are served in one step, for the changes wait behind it.
    fn serve_waiting(&mut self, due: &HashSet<u64>, too_slow: &mut TooSlow) {
        let started = Instant::now();
        for session in due.iter().copied() {
            if too_slow.contains_key(&session) {
                continue;
            }
            let Some(socket) = self.sockets.get_mut(&session).filter(|socket| !socket.waiting.is_empty()) else {
                continue;
            };
            if started.elapsed() >= FIRST_ROWS_TIME {
                self.due.insert(session);
                continue;
            }
            let mut waiting = std::collections::VecDeque::from(std::mem::take(&mut socket.waiting));
            while let Some(asking) = waiting.pop_front() {
                let has_space = self.sockets.get(&session).is_none_or(super::socket::Socket::has_space);
                if !has_space {
                    waiting.push_front(asking);
                    break;
                }
                match self.serve_first(session, &asking) {
                    Ok(()) => {}
                    Err(error) if error.code == Code::Timeout && self.number == 0 => {
                        if let Wanted::Query { sql, params, .. } = &asking.wanted {
                            too_slow.insert(session, slow_lane(sql, params, &self.limits));
                        }
                        waiting.push_front(asking);
                        break;
                    }
                    Err(error) => self.refuse(session, &asking.id, &error),
                }
                if started.elapsed() >= FIRST_ROWS_TIME {
                    self.due.insert(session);
                    break;
                }
            }
            if let Some(socket) = self.sockets.get_mut(&session) {
                socket.waiting.extend(waiting);
                let unchanged = std::mem::take(&mut socket.unchanged);
                if !unchanged.is_empty() {
                    socket.session.push(frame::all_unchanged(&unchanged, self.at));
                }
            }
        }
    }
}

/// Sends what changed since the socket was last told, if something did.
pub(super) fn bring_up(socket: &mut Socket, groups: &mut Groups, at: Revision, shared: &crate::shared::Shared) {
    let touched = std::mem::take(&mut socket.touched);
    let all: Vec<(RequestId, Identity)>;
    let looked_at = if std::mem::take(&mut socket.is_dirty) {
        all = socket.queries.iter().map(|(id, identity)| (id.clone(), *identity)).collect();
        &all
    } else {
        &touched
    };
    let mut deltas = Vec::new();
    for (id, identity) in looked_at {
        let Some(group) = groups.get_mut(identity) else { continue };
        match group.since(socket.told) {
            Difference::None => {}
            Difference::Delta(delta) => deltas.push((id, delta)),
            Difference::Unknown => {
                shared.metrics.live_resyncs.add(1);
                let id = id.clone();
                socket.queries.remove(&id);
                // Until it has its rows it holds nothing: should the query end before, it must be told once.
                let wanted = group.query.wanted();
                groups.leave(identity, socket.session.number, &id);
                ask_again(socket, id, wanted);
            }
        }
    }
    if deltas.is_empty() {
        return;
    }
    let frame = match deltas.as_slice() {
        [(id, delta)] => groups.frame_of(socket.told, at, id, delta),
        several => {
            let parts: Vec<DeltaPart<'_>> =
                several.iter().map(|(id, delta)| DeltaPart { id, since: None, delta }).collect();
            frame::delta(socket.told, at, &parts)
        }
    };
    socket.session.push(frame);
    shared.metrics.live_frames.add(1);
    socket.told = at;
    socket.last_frame = Instant::now();
}

/// The same, and says `at` if nothing did: afterwards the socket stands at this revision.
pub(super) fn bring_to(socket: &mut Socket, groups: &mut Groups, at: Revision, shared: &crate::shared::Shared) {
    bring_up(socket, groups, at, shared);
    if socket.told < at {
        say_at(socket, at);
    }
}

fn say_at(socket: &mut Socket, at: Revision) {
    socket.session.push(frame::at(at));
    socket.told = at;
    socket.is_quiet = false;
    socket.last_frame = Instant::now();
}

/// Forget this result; rows follow, like for a new subscription.
fn ask_again(socket: &mut Socket, id: RequestId, wanted: Wanted) {
    socket.session.push(frame::resync(&id, None));
    socket.waiting.push(Asking { id, wanted, is_by_tag: false });
}

/// One reading of the log for a stream that is behind.
pub(super) fn catch_up(
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

/// A panic in one query must end that query and nothing else.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal("evaluating a live query panicked")))
}

pub(super) fn log_internal(error: &Error) {
    if error.code == Code::Internal {
        tracing::error!(%error, source = ?error.source, "a live query failed");
    }
}
