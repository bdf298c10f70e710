//! A lane: one thread that keeps the queries of its sessions true.
//!
//! Lane 0 is quick: a query whose evaluation takes longer than it may there is moved, with all sockets that hold it, to
//! one of the slow lanes, so that only those wait. Each turn takes what has arrived, and if something must be told makes
//! one step on one snapshot ([`super::step`]). Which SQL runs and what it means is not decided here.

use super::edge::Foremost;
use super::family::{Families, Found, Touched};
use super::first::LogEnd;
use super::frame;
use super::group::Group;
use super::groups::Groups;
use super::inbox::{Arrived, Command, Inbox, Moved, Wanted};
use super::lift::lift;
use super::mirror::Mirrors;
use super::query::Identity;
use super::report::LaneReport;
use super::session::{Ended, RequestId, Session};
use super::socket::{Asking, Socket, Watch};
use super::step::guarded;
use super::stream::Stream;
use crate::changes::change::{ChangeSet, Extent, Revision};
use crate::error::Result;
use crate::limits::Limits;
use crate::shared::Shared;
use crate::sqlite::Sqlite;
use crate::sqlite::schema::Schema;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often groups that nobody holds and sockets that hear nothing are looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

pub struct Lane {
    pub(super) number: usize,
    pub(super) sqlite: Sqlite,
    pub(super) limits: Arc<Limits>,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) schema: Schema,
    pub(super) schema_epoch: i64,
    /// The revision of the last snapshot: every group's state is that of its query there.
    pub(super) at: Revision,
    /// The last revision at which anything may have changed. Another program's write was in the file before it, so what
    /// a client was told as of an earlier revision may have had it or not.
    pub(super) unknown_at: Revision,
    /// Change sets that came early: newer than the snapshot of the step that received them.
    pub(super) early: Vec<Arc<ChangeSet>>,
    pub(super) groups: Groups,
    /// The groups of one template, and the way from a changed row to them.
    pub(super) families: Families,
    /// A group's state is in doubt: the next step evaluates it.
    pub(super) has_stale: bool,
    /// Groups that were evaluated to something new in the step under way: their histories may have grown too long.
    pub(super) grown: Vec<Identity>,
    pub(super) sockets: HashMap<u64, Socket>,
    /// Sockets to be looked at although nothing they hold was touched.
    pub(super) due: HashSet<u64>,
    /// Sockets with change streams or keys: these hear of every step.
    pub(super) listening: HashSet<u64>,
    /// Missing indexes that the log has.
    pub(super) told_indexes: HashSet<String>,
    /// The rows that the step under way has changed, for queries to be run on them alone.
    pub(super) mirrors: Mirrors,
    pub(super) log_end: LogEnd,
    housekept: Instant,
}

impl Lane {
    pub fn new(number: usize, sqlite: Sqlite, shared: Arc<Shared>, inbox: Arc<Inbox>) -> Result<Self> {
        let schema = Schema::load(&sqlite.own)?;
        Ok(Self {
            number,
            sqlite,
            limits: Arc::clone(&shared.limits),
            at: shared.revision(),
            shared,
            inbox,
            schema,
            schema_epoch: -1,
            unknown_at: 0,
            early: Vec::new(),
            groups: Groups::default(),
            families: Families::default(),
            has_stale: false,
            grown: Vec::new(),
            sockets: HashMap::new(),
            due: HashSet::new(),
            listening: HashSet::new(),
            told_indexes: HashSet::new(),
            mirrors: Mirrors::default(),
            log_end: LogEnd::default(),
            housekept: Instant::now(),
        })
    }

    /// Runs until told to stop.
    pub fn run(mut self) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => self.begin_again(),
            }
        }
    }

    /// What has arrived, and a step if something is to be told. False if told to stop.
    fn turn(&mut self) -> bool {
        let may_pass = self.may_pass() && self.early.is_empty();
        self.families.settle();
        let time = if self.due.is_empty() { HOUSEKEEPING } else { Duration::ZERO };
        let Arrived { commands, sets, passed } = self.inbox.take(time, may_pass.then_some(&mut self.families));
        self.at = self.at.max(passed.revision.unwrap_or(self.at));
        self.shared.metrics.live_spared.add(passed.spared);
        for command in commands {
            if matches!(command, Command::Stop) {
                return false;
            }
            self.obey(command);
        }
        self.early.extend(sets);
        if self.sockets.is_empty() && self.groups.is_empty() {
            // Nobody listens: the next step will read where it stands from its snapshot.
            self.early.clear();
            self.at = self.at.max(self.shared.revision());
        } else if (!self.early.is_empty() || !self.due.is_empty()) && !self.pass_over() {
            self.step();
        }
        if self.housekept.elapsed() >= HOUSEKEEPING {
            self.housekept = Instant::now();
            self.housekeep();
        }
        true
    }

    /// A mistake in the engine must not be silence: whoever was served here comes back and begins again.
    fn begin_again(&mut self) {
        tracing::error!(lane = self.number, sockets = self.sockets.len(), "a lane panicked; its sockets are closed");
        if !self.sqlite.is_autocommit() {
            drop(self.sqlite.own.execute_batch("ROLLBACK"));
        }
        self.sqlite.forget_statements();
        self.mirrors.forget();
        self.sockets.drain().for_each(|(_, socket)| socket.session.end(Ended::Restarting));
        self.shared.metrics.live_groups.subtract(self.groups.count() as u64);
        self.groups = Groups::default();
        self.families = Families::default();
        (self.has_stale, self.schema_epoch) = (false, -1);
        self.early.clear();
        self.grown.clear();
        self.due.clear();
        self.listening.clear();
    }

    /// Does nobody wait for a word of every change?
    fn may_pass(&self) -> bool {
        !self.has_stale && self.due.is_empty() && self.listening.is_empty()
    }

    /// Most writes concern nobody here: if what has come leads to no query, and nobody waits for a word, all results are
    /// true at the new revision too, and no snapshot is needed to know it.
    fn pass_over(&mut self) -> bool {
        if !self.may_pass() {
            return false;
        }
        if self.early.iter().any(|set| matches!(set.extent, Extent::Everything { .. })) {
            return false;
        }
        let mut touched = Touched::default();
        for set in &self.early {
            self.families.find_touched(set, None, &mut touched);
        }
        let spared = self.families.spared(&mut touched);
        let behind = self.leave_out_behind(&mut touched);
        if !touched.is_nothing() {
            return false;
        }
        self.shared.metrics.live_behind.add(behind);
        self.shared.metrics.live_spared.add(spared);
        self.at = self.early.drain(..).map(|set| set.revision).fold(self.at, Revision::max);
        true
    }

    /// Leaves out the groups behind whose last rows everything has happened; how many.
    pub(super) fn leave_out_behind(&self, touched: &mut Touched) -> u64 {
        let mut count = 0;
        for found in touched.families.values_mut().filter(|found| matches!(found.foremost, Foremost::At(_))) {
            let Found { groups, foremost, .. } = found;
            let before = groups.len();
            groups.retain(|identity| self.groups.get(identity).is_none_or(|group| !group.is_before(foremost)));
            count += before - groups.len();
        }
        count as u64
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Subscribe { session, id, wanted } => {
                let wanted = self.lifted(wanted);
                let Some(socket) = self.socket_of(&session) else { return };
                let is_key = matches!(wanted, Wanted::Key { .. });
                // Without an id only keys can be watched; the engine has seen to that.
                match (id, wanted) {
                    (id, Wanted::Key { key }) => {
                        socket.keys.push(Watch { id, key, told: None, told_hash: 0, is_behind: true });
                    }
                    (Some(id), wanted) => socket.waiting.push(Asking { id, wanted, is_by_tag: false }),
                    (None, _) => {}
                }
                self.due.insert(session.number);
                if is_key {
                    self.listening.insert(session.number);
                }
            }
            Command::Resume { session, queries } => {
                let waiting: Vec<Asking> = queries
                    .into_iter()
                    .map(|(id, wanted)| Asking { id, wanted: self.lifted(wanted), is_by_tag: true })
                    .collect();
                let Some(socket) = self.socket_of(&session) else { return };
                socket.waiting.extend(waiting);
                self.due.insert(session.number);
            }
            Command::Unsubscribe { session, id, reply } => {
                self.unsubscribe(&session, &id);
                session.release_id(&id);
                session.push(frame::result(&reply, b"true", None));
            }
            Command::Answered { session, revision } => {
                let Some(socket) = self.socket_of(&session) else { return };
                socket.owes = socket.owes.max(revision);
                self.due.insert(session.number);
            }
            Command::Drained { session } => {
                self.due.insert(session);
            }
            Command::Detach { session } => self.detach(session),
            Command::Move(moved) => self.receive(*moved),
            // Who asked may have gone.
            Command::Report(reply) => drop(reply.send(self.report())),
            Command::Stop => {}
        }
    }

    /// Once, when it comes: from then on two texts that differ in a value are one, whatever becomes of them.
    fn lifted(&self, wanted: Wanted) -> Wanted {
        let Wanted::Query { sql, params, since } = wanted else { return wanted };
        let lifted = guarded(|| Ok(lift(&sql, &params, &self.schema)));
        let (sql, params) = lifted.ok().flatten().unwrap_or((sql, params));
        Wanted::Query { sql, params, since }
    }

    fn report(&self) -> LaneReport {
        LaneReport {
            lane: self.number,
            revision: self.at,
            sockets: self.sockets.len(),
            groups: self.groups.count(),
            templates: self.families.count(),
            dearest: self.families.dearest(),
        }
    }

    /// Made when something is first asked for; none for a session that has closed, which stays gone.
    fn socket_of(&mut self, session: &Arc<Session>) -> Option<&mut Socket> {
        if session.is_closed() {
            return None;
        }
        Some(self.sockets.entry(session.number).or_insert_with(|| Socket::new(Arc::clone(session), session.hello())))
    }

    pub(super) fn unsubscribe(&mut self, session: &Session, id: &RequestId) {
        let Some(socket) = self.sockets.get_mut(&session.number) else { return };
        socket.waiting.retain(|asking| asking.id != *id);
        socket.touched.retain(|(touched, _)| touched != id);
        socket.streams.remove(id);
        socket.keys.retain(|watch| watch.id.as_ref() != Some(id));
        if let Some(identity) = socket.queries.remove(id) {
            self.leave(&identity, session.number, id);
        }
    }

    pub(super) fn leave(&mut self, identity: &Identity, session: u64, id: &RequestId) {
        self.groups.leave(identity, session, id);
        if self.groups.get(identity).is_some_and(|group| group.listeners.is_empty() && group.is_stale) {
            // Too slow for this lane: nobody shall try it again for nobody.
            self.drop_group(identity);
        }
    }

    fn detach(&mut self, session: u64) {
        let Some(socket) = self.sockets.remove(&session) else { return };
        self.due.remove(&session);
        self.listening.remove(&session);
        for (id, identity) in &socket.queries {
            // However long it was held: whoever has lost a connection is about to come back.
            if let Some(group) = self.groups.get(identity) {
                let tags = &self.shared.tags;
                tags.remember(&socket.session.principal, tags.of(&group.query), &group.query);
            }
            self.leave(identity, session, id);
        }
    }

    pub(super) fn add_group(&mut self, identity: Identity, group: Group) {
        self.families.add(&group.query);
        self.has_stale |= group.is_stale;
        self.shared.metrics.live_groups.add(1);
        self.groups.insert(identity, group);
    }

    pub(super) fn drop_group(&mut self, identity: &Identity) -> Option<Group> {
        let group = self.groups.remove(identity)?;
        self.families.remove(&group.query);
        self.shared.metrics.live_groups.subtract(1);
        Some(group)
    }

    /// Hands a socket with all it holds to another lane. What it holds there begins from what it was last told.
    pub(super) fn send_to(&mut self, session: u64, lane: usize) {
        let Some(mut socket) = self.sockets.remove(&session) else { return };
        self.due.remove(&session);
        self.listening.remove(&session);
        let mut queries = Vec::new();
        for (id, identity) in socket.queries.drain() {
            let Some(group) = self.groups.get(&identity) else { continue };
            // The state serves as a start only if the socket has been told all of it.
            let rows = (group.changed_at <= socket.told).then(|| group.rows.clone());
            queries.push((id.clone(), Arc::clone(&group.query), rows));
            self.leave(&identity, session, &id);
        }
        let moved = Moved {
            told: socket.told,
            queries,
            waiting: socket.waiting,
            streams: socket.streams.drain().collect(),
            keys: socket.keys,
            owes: socket.owes,
            session: Arc::clone(&socket.session),
        };
        self.shared.metrics.live_moved_to_slow_lane.add(u64::from(lane != 0));
        socket.session.move_to(lane, &self.inbox, moved);
    }

    fn receive(&mut self, moved: Moved) {
        let number = moved.session.number;
        let mut socket = Socket::new(Arc::clone(&moved.session), moved.told);
        socket.owes = moved.owes;
        socket.waiting = moved.waiting;
        socket.streams =
            moved.streams.into_iter().map(|(id, stream)| (id, Stream { is_behind: true, ..stream })).collect();
        socket.keys = moved.keys.into_iter().map(|watch| Watch { is_behind: true, ..watch }).collect();
        socket.is_dirty = true;
        for (id, query, rows) in moved.queries {
            let identity = query.identity;
            let group = self.groups.get(&identity);
            // The schema has changed since it was analysed there: it has other columns perhaps.
            let is_old = query.is_older_than(self.schema_epoch);
            if group.is_none_or(|group| group.listeners.is_empty())
                && !is_old
                && let Some(rows) = rows
            {
                self.drop_group(&identity);
                let mut group = Group::new(query, rows, moved.told);
                group.is_stale = true;
                self.add_group(identity, group);
            } else if is_old
                || moved.told < self.unknown_at
                || !group
                    .is_some_and(|group| group.stands_at(self.at) >= moved.told && group.reaches_back_to(moved.told))
            {
                moved.session.push(frame::resync(&id, None));
                let wanted = query.wanted();
                socket.waiting.push(Asking { id, wanted, is_by_tag: false });
                continue;
            }
            if let Some(group) = self.groups.get_mut(&identity) {
                group.listeners.insert((number, id.clone()));
                group.left_at = None;
                group.joined_at = self.at.max(moved.told);
            }
            socket.queries.insert(id, identity);
        }
        if !socket.streams.is_empty() || !socket.keys.is_empty() {
            self.listening.insert(number);
        }
        self.sockets.insert(number, socket);
        self.due.insert(number);
    }

    fn housekeep(&mut self) {
        self.log_end.forget();
        self.families.housekeep();
        for identity in self.groups.forsaken(self.limits.group_linger) {
            self.drop_group(&identity);
        }
        let closed: Vec<u64> =
            self.sockets.iter().filter(|(_, socket)| socket.session.is_closed()).map(|(number, _)| *number).collect();
        closed.into_iter().for_each(|session| self.detach(session));
        let quiet: Vec<u64> = self
            .sockets
            .iter()
            .filter(|(_, socket)| {
                !socket.is_behind() && !socket.holds_nothing() && socket.last_frame.elapsed() >= self.limits.at_interval
            })
            .map(|(session, _)| *session)
            .collect();
        for session in quiet {
            if let Some(socket) = self.sockets.get_mut(&session) {
                socket.is_quiet = true;
                socket.last_frame = Instant::now();
                self.due.insert(session);
            }
        }
        if self.number != 0 {
            self.send_quick_ones_home();
        }
    }

    /// A socket whose queries are quick, one by one and together, goes back among the quick.
    fn send_quick_ones_home(&mut self) {
        let quick = self.limits.live_quick_time_max / 2;
        let cost = |identity: &Identity| self.groups.get(identity).map_or(Duration::MAX, Group::cost);
        let home: Vec<u64> = self
            .sockets
            .iter()
            .filter(|(_, socket)| {
                let together =
                    socket.queries.values().fold(Duration::ZERO, |sum, query| sum.saturating_add(cost(query)));
                !socket.is_dirty && socket.waiting.is_empty() && together <= quick
            })
            .map(|(session, _)| *session)
            .collect();
        for session in home {
            self.send_to(session, 0);
        }
    }
}
