//! The first word on a subscription: its rows, or what a client that comes back has missed.

use super::delta;
use super::frame::{self, DeltaPart};
use super::granted;
use super::group::{Difference, Group};
use super::inbox::{Since, Wanted};
use super::lane::Lane;
use super::query::{self, Identity, Query, SharedQuery, Template};
use super::rows::{self, RowSet};
use super::session::RequestId;
use super::socket::Asking;
use super::step::{bring_to, bring_up, catch_up, guarded, log_internal};
use super::stream::Stream;
use super::tags::Tag;
use crate::access::{Access, Caller, Principal, Role};
use crate::changes::change::{ChangeSet, Revision};
use crate::changes::log;
use crate::documents::awaited;
use crate::error::{Error, Result};
use crate::storage::execute::{self, Rights};
use crate::value::Params;
use bytes::Bytes;
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Instant;

/// Log read at most to learn that nothing a returning client reads was touched.
const RESUME_BYTES: usize = 4 << 20;

/// The end of the log as it was last read: when many come back at once, it is read for all of them.
#[derive(Debug, Default)]
pub struct LogEnd {
    /// The change sets after the first and up to the second revision; none if they were not read.
    read: Option<(Revision, Revision, Vec<ChangeSet>)>,
    /// From here and from before it is too much, or some of it is gone.
    too_far: Option<Revision>,
}

impl LogEnd {
    /// All change sets after `since` and up to `at`; `None` if there is too much to read, or some of it is gone.
    fn after(&mut self, sqlite: &Connection, since: Revision, at: Revision) -> Result<Option<&[ChangeSet]>> {
        if self.too_far.is_some_and(|too_far| since <= too_far) {
            return Ok(None);
        }
        if !self.read.as_ref().is_some_and(|(after, to, _)| *after <= since && *to == at) {
            let sets = log::read_after(sqlite, since, RESUME_BYTES)?.unwrap_or_default();
            if sets.last().map_or(since, |set| set.revision) < at {
                self.too_far = Some(since);
                return Ok(None);
            }
            self.read = Some((since, at, sets));
        }
        let sets = self.read.as_ref().map_or(&[][..], |(.., sets)| sets);
        Ok(Some(&sets[sets.partition_point(|set| set.revision <= since)..]))
    }

    /// Nobody has come back for a while.
    pub fn forget(&mut self) {
        self.read = None;
    }
}

/// What somebody wants to know.
struct Asked<'a> {
    sql: &'a str,
    params: &'a Params,
    principal: Principal,
    is_by_tag: bool,
}

impl Lane {
    pub(super) fn refuse(&mut self, session: u64, id: &RequestId, error: &Error) {
        log_internal(error);
        if let Some(socket) = self.sockets.get(&session) {
            socket.session.release_id(id);
            socket.session.push(frame::error(Some(id), error));
        }
    }

    pub(super) fn serve_first(&mut self, session: u64, asking: &Asking) -> Result<()> {
        let id = &asking.id;
        match &asking.wanted {
            Wanted::Query { sql, params, since } => {
                let Some(socket) = self.sockets.get(&session) else { return Ok(()) };
                let principal = socket.session.principal.clone();
                let asked = Asked { sql, params, principal, is_by_tag: asking.is_by_tag };
                self.first_rows(session, id, &asked, since.as_ref())
            }
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
            Some(since) if *since.history == *self.shared.history() && since.revision <= self.at => {
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

    fn first_rows(&mut self, session: u64, id: &RequestId, asked: &Asked<'_>, since: Option<&Since>) -> Result<()> {
        let query = self.query_of(asked)?;
        let identity = query.identity;
        let tag = self.shared.tags.of(&query);
        let is_new = !self.groups.has(&identity);
        let chunks = self.hydrate(Arc::clone(&query))?;
        self.shared.tags.remember(&asked.principal, tag, &query);
        let fits = |since: &&Since| {
            *since.history == *self.shared.history()
                && since.revision <= self.at
                && since.tag.as_deref().and_then(Tag::parse).is_some_and(|told| told.is_like(tag))
        };
        let since = since.filter(fits).map(|since| since.revision);
        let resumed = since.is_some_and(|since| self.resume(session, id, &identity, since, is_new, asked.is_by_tag));
        let Some(socket) = self.sockets.get_mut(&session) else {
            // Nobody has come to hold it.
            self.leave(&identity, session, id);
            return Ok(());
        };
        if !resumed {
            bring_to(socket, &mut self.groups, self.at, &self.shared);
            if let Some(group) = self.groups.get(&identity) {
                group.send_rows(&socket.session, id, &chunks, self.at, tag);
            }
        }
        socket.queries.insert(id.clone(), identity);
        socket.last_frame = Instant::now();
        if let Some(group) = self.groups.get_mut(&identity) {
            group.listeners.insert((session, id.clone()));
            group.left_at = None;
            if resumed {
                group.joined_at = self.at;
            }
        }
        Ok(())
    }

    /// Makes sure of the query's group, and gives its rows in chunks.
    fn hydrate(&mut self, query: SharedQuery) -> Result<Arc<Vec<Bytes>>> {
        let identity = &query.identity.clone();
        if let Some(ready) = self.groups.get(identity).filter(|group| !group.is_stale).and_then(Group::ready_rows) {
            return Ok(ready);
        }
        let time = self.time_max();
        self.shared.metrics.live_evaluations.add(1);
        let started = Instant::now();
        let (sqlite, limits) = (&mut self.sqlite, &self.limits);
        let fresh = guarded(|| rows::evaluate(sqlite, &query, None, time, limits))?;
        let took = started.elapsed();
        if let Some(mut group) = self.drop_group(identity) {
            group.note_cost(took);
            // At the same revision it can differ by what another program wrote and nobody has noticed yet.
            let differs = !delta::difference(&group.rows, &fresh, group.query.template.is_ordered, self.at).is_empty();
            if differs {
                self.begin_anew(identity, &mut group, query, self.at);
            }
            let chunks = group.keep_rows(&fresh, &self.limits);
            if differs {
                group.take(fresh);
            } else {
                group.confirm(fresh);
            }
            self.add_group(*identity, group);
            self.begin_counting(identity, took);
            return Ok(chunks);
        }
        let mut group = Group::new(query, RowSet::default(), self.at);
        group.note_cost(took);
        let chunks = group.keep_rows(&fresh, &self.limits);
        group.take(fresh);
        self.add_group(*identity, group);
        self.begin_counting(identity, took);
        Ok(chunks)
    }

    /// The query of the group that this asks for, if there is one, or a new one.
    fn query_of(&mut self, asked: &Asked<'_>) -> Result<SharedQuery> {
        let role = asked.principal.role();
        let known = self.families.get(query::template_id(asked.sql, role)).map(|family| Arc::clone(&family.template));
        if known.is_none() && self.families.count() >= self.limits.live_templates_max {
            return Err(self.too_many());
        }
        let template = if let Some(known) = known {
            known
        } else {
            let new = self.analyse(asked.sql, role)?;
            self.tell_missing_indexes(&new);
            Arc::new(new)
        };
        if let Some(group) = self.groups.get(&query::identity(&template, asked.params, &asked.principal)) {
            return Ok(Arc::clone(&group.query));
        }
        if self.groups.count() >= self.limits.live_queries_max {
            return Err(self.too_many());
        }
        Query::new(template, asked.params, &asked.principal).map(Arc::new)
    }

    fn too_many(&self) -> Error {
        Error::too_many(format!(
            "There are {} different texts of live queries with {} sets of parameters; {} and {} may be. \
             Give values as parameters.",
            self.families.count(),
            self.groups.count(),
            self.limits.live_templates_max,
            self.limits.live_queries_max
        ))
    }

    /// Once for each index.
    fn tell_missing_indexes(&mut self, template: &Template) {
        for index in template.ways.trails.iter().filter_map(|trail| trail.unindexed.as_ref()) {
            if self.told_indexes.insert(index.clone()) {
                self.shared.metrics.live_missing_indexes.add(1);
                tracing::warn!(index, sql = &*template.written, "a live query follows a join without an index");
            }
        }
    }

    pub(super) fn analyse(&mut self, sql: &str, role: Option<Role>) -> Result<Template> {
        let access = self.shared.access();
        let Some(instead) = awaited::instead(sql, &self.schema, role.map(|role| (role, &*access))) else {
            return self.analyse_text(sql, role, &access);
        };
        let mut template = self.analyse_text(&instead, role, &access)?;
        (template.id, template.written) = (query::template_id(sql, role), sql.into());
        Ok(template)
    }

    fn analyse_text(&mut self, sql: &str, role: Option<Role>, access: &Arc<Access>) -> Result<Template> {
        let (sqlite, schema, epoch, limits) = (&mut self.sqlite, &self.schema, self.schema_epoch, &self.limits);
        let Some(role) = role else { return guarded(|| query::analyse(sqlite, schema, epoch, sql, limits, None)) };
        // What is found holds for whoever has the role.
        let anyone = Principal::Caller(Arc::new(Caller::new(role, None)));
        guarded(|| {
            let mut template = sqlite.speaking_for(&anyone, |sqlite| {
                query::analyse(sqlite, schema, epoch, sql, limits, Some((role, access)))
            })?;
            let rights = Rights { access, role };
            let expanded = execute::expanded(sqlite, sql, Some(rights))?;
            if let [one] = execute::split(&expanded)?[..] {
                granted::find_ways(sqlite, schema, &mut template, limits, one);
            }
            Ok(template)
        })
    }

    /// Tries to continue where a client stopped. True if it was told all it needs.
    fn resume(
        &mut self,
        session: u64,
        id: &RequestId,
        identity: &Identity,
        since: Revision,
        is_new: bool,
        is_by_tag: bool,
    ) -> bool {
        let Some(group) = self.groups.get(identity) else { return false };
        let difference = if is_new || !group.reaches_back_to(since) || since < self.unknown_at {
            if self.was_untouched(identity, since) { Difference::None } else { Difference::Unknown }
        } else {
            group.since(since)
        };
        let Some(socket) = self.sockets.get_mut(&session) else { return false };
        match difference {
            Difference::Unknown => false,
            Difference::None => {
                bring_to(socket, &mut self.groups, self.at, &self.shared);
                if is_by_tag {
                    socket.unchanged.push(id.clone());
                } else {
                    socket.session.push(frame::unchanged(id, self.at));
                }
                true
            }
            Difference::Delta(delta) => {
                bring_up(socket, &mut self.groups, self.at, &self.shared);
                let part = DeltaPart { id, since: Some(since), delta: &delta };
                socket.session.push(frame::delta(socket.told, self.at, &[part]));
                socket.told = self.at;
                true
            }
        }
    }

    /// Does the log say that nothing the query reads has changed since?
    fn was_untouched(&mut self, identity: &Identity, since: Revision) -> bool {
        let Some(group) = self.groups.get(identity) else { return false };
        match self.log_end.after(&self.sqlite.own, since, self.at) {
            Ok(Some(sets)) => !sets.iter().any(|set| group.query.is_touched_by(set)),
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%error, "the change log could not be read");
                false
            }
        }
    }
}
