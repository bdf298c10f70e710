//! One live query with everyone who holds it: evaluated once, written once, whatever the number of listeners.
//!
//! Pure state. The last deltas are remembered, within a byte cap, for sockets that are behind and for clients that come
//! back; without listeners the whole group lingers for a while for the same reason.

use super::delta::{self, Delta};
use super::edge::{Foremost, Place};
use super::few::Few;
use super::frame::{self, RowsHead};
use super::query::SharedQuery;
use super::rows::{Changed, Fresh, PartChanges, RowSet, Seen};
use super::session::{RequestId, Session};
use super::tags::Tag;
use super::tally::Counts;
use crate::changes::change::Revision;
use crate::limits::Limits;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// First rows kept ready for further listeners, at most.
const READY_ROWS_BYTES_MAX: usize = 256 << 10;

/// Steps that are remembered to have changed nothing in the end; past it what was told before them is not gone on from.
const BLURS_MAX: usize = 64;

/// From and to which revision. Apart, for most groups never have any.
#[derive(Debug, Default)]
struct Blurs(VecDeque<(Revision, Revision)>);

pub struct Group {
    pub query: SharedQuery,
    pub rows: RowSet,
    /// Where the last row stands, if a LIMIT has cut the result.
    edge: Option<Place>,
    pub listeners: Few<(u64, RequestId)>,
    pub counting: Counting,
    history: VecDeque<Step>,
    history_bytes: usize,
    /// Of these, those that are in the sum of all groups.
    summed_bytes: usize,
    /// The history tells everything after this revision.
    history_from: Revision,
    /// The revision of the last delta, or of the first evaluation.
    pub changed_at: Revision,
    /// A revision at which the state was surely true. Unless it is stale it is also true where the lane stands.
    evaluated_at: Revision,
    /// When somebody last joined with rows of their own, which are those of the group only if no other program's write
    /// was in the file unnoticed. The least revision if nobody has.
    pub joined_at: Revision,
    /// Steps over several commits that left the result as it was, the newest last.
    blurs: Option<Box<Blurs>>,
    /// The state may be older than the lane: it must be evaluated whatever was touched.
    pub is_stale: bool,
    pub left_at: Option<Instant>,
    ready_rows: Option<Arc<Vec<Bytes>>>,
    /// Moving average of what one evaluation takes, in microseconds.
    cost: u32,
}

/// The numbers of a query with a tally.
#[derive(Debug)]
pub enum Counting {
    Not,
    /// As of the result that is remembered.
    Here(Box<Counts>),
    /// There is something that cannot be counted on from what came and went.
    Never,
}

impl Counting {
    /// The numbers, which are not here any more.
    pub fn take(&mut self) -> Option<Box<Counts>> {
        match std::mem::replace(self, Self::Not) {
            Self::Here(counts) => Some(counts),
            other => {
                *self = other;
                None
            }
        }
    }

    /// The result is another, which was not counted.
    fn end(&mut self) {
        if matches!(self, Self::Here(_)) {
            *self = Self::Not;
        }
    }
}

/// What one evaluation changed. It may tell of several revisions at once.
struct Step {
    from: Revision,
    delta: Arc<Delta>,
}

/// What has become of a result.
pub struct Twin {
    rows: RowSet,
    edge: Option<Place>,
    delta: Option<Arc<Delta>>,
}

/// What a listener that stands at some revision needs.
pub enum Difference {
    None,
    Delta(Arc<Delta>),
    /// The history does not reach back that far, or none of its steps begins there.
    Unknown,
}

impl Group {
    pub fn new(query: SharedQuery, rows: RowSet, revision: Revision) -> Self {
        Self {
            query,
            rows,
            edge: None,
            listeners: Few::None,
            counting: Counting::Not,
            history: VecDeque::new(),
            history_bytes: 0,
            summed_bytes: 0,
            history_from: revision,
            changed_at: revision,
            evaluated_at: revision,
            joined_at: Revision::MIN,
            blurs: None,
            is_stale: false,
            left_at: None,
            ready_rows: None,
            cost: 0,
        }
    }

    /// Takes a new result over, as the lane goes from one revision to another. True if it differs.
    pub fn advance(&mut self, mut fresh: Fresh, from: Revision, to: Revision) -> bool {
        self.counting.end();
        let mut delta = delta::difference(&self.rows, &fresh, self.query.template.is_ordered, to);
        if fresh.size() > 2 * delta.size() {
            delta.let_go_of_text();
        }
        let from = if self.is_stale { self.evaluated_at } else { from };
        self.is_stale = false;
        self.evaluated_at = to;
        self.edge = fresh.edge.take();
        if delta.is_empty() {
            self.blur(from, to);
            return false;
        }
        self.rows = fresh.into_set();
        self.remember(from, Arc::new(delta));
        true
    }

    /// The same with what became of some parts of the result; the state must not be stale.
    pub fn advance_parts(&mut self, changes: PartChanges, from: Revision, to: Revision) -> bool {
        let delta = Arc::new(changes.delta(to));
        self.advance_by(&delta, &changes, from, to)
    }

    /// The same with the delta that says so, which others may have, too.
    pub fn advance_by(&mut self, delta: &Arc<Delta>, changes: &PartChanges, from: Revision, to: Revision) -> bool {
        self.evaluated_at = to;
        if delta.is_empty() {
            self.blur(from, to);
            return false;
        }
        changes.delete.iter().for_each(|key| self.rows.set(key.clone(), None));
        for Changed { key, hash, .. } in changes.insert.iter().chain(&changes.update) {
            self.rows.set(key.clone(), Some(Seen { hash: *hash, place: 0 }));
        }
        self.remember(from, Arc::clone(delta));
        true
    }

    /// What others take over whose result was the same before; `is_other` if it has just changed.
    pub fn twin(&self, is_other: bool) -> Option<Twin> {
        let last = self.history.back().map(|step| Arc::clone(&step.delta));
        let delta = if is_other { Some(last?) } else { None };
        Some(Twin { rows: self.rows.clone(), edge: self.edge.clone(), delta })
    }

    /// Becomes what another has become; the state must not be stale.
    pub fn follow(&mut self, twin: &Twin, from: Revision, to: Revision) {
        self.counting.end();
        self.evaluated_at = to;
        self.edge.clone_from(&twin.edge);
        match &twin.delta {
            Some(delta) => {
                self.rows = twin.rows.clone();
                self.remember(from, Arc::clone(delta));
            }
            None => self.blur(from, to),
        }
    }

    /// The result as it was just read; it is not told to anyone who listens.
    pub fn take(&mut self, mut fresh: Fresh) {
        self.counting.end();
        self.edge = fresh.edge.take();
        self.rows = fresh.into_set();
    }

    /// It is what was remembered.
    pub fn confirm(&mut self, mut fresh: Fresh) {
        self.edge = fresh.edge.take();
    }

    /// Can nothing that changed have come into the result, or have been in it?
    pub fn is_before(&self, foremost: &Foremost) -> bool {
        !self.is_stale && foremost.is_behind(self.edge.as_ref())
    }

    fn remember(&mut self, from: Revision, delta: Arc<Delta>) {
        self.history_bytes += delta.size();
        self.changed_at = delta.to;
        self.history.push_back(Step { from, delta });
        self.ready_rows = None;
    }

    /// Begins anew, empty: nothing before can be told as a difference. Gives those who listened.
    pub fn restart(&mut self, query: SharedQuery, revision: Revision) -> Few<(u64, RequestId)> {
        let before = std::mem::replace(self, Self::new(query, RowSet::default(), revision));
        self.left_at = Some(Instant::now());
        before.listeners
    }

    /// One who listened no longer does. Without listeners the group lingers for those who come back.
    pub fn leave(&mut self, session: u64, id: &RequestId) {
        self.listeners.remove(&(session, id.clone()));
        if self.listeners.is_empty() {
            self.left_at = Some(Instant::now());
        }
    }

    /// Forgets the oldest deltas past so many bytes. Called when all sockets have been served.
    fn trim(&mut self, bytes_max: usize) {
        while self.history_bytes > bytes_max {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= oldest.delta.size();
            self.history_from = self.history_from.max(oldest.delta.to);
        }
    }

    /// Trims its history, and brings the sum of all groups up to date.
    pub fn trim_in(&mut self, sum: &mut usize, bytes_max: usize) {
        self.trim(bytes_max);
        *sum = *sum + self.history_bytes - self.summed_bytes;
        self.summed_bytes = self.history_bytes;
    }

    /// The same for half of what it has.
    pub fn halve_in(&mut self, sum: &mut usize) {
        self.trim_in(sum, self.history_bytes / 2);
    }

    /// It is no longer one of them.
    pub fn leave_sum(&mut self, sum: &mut usize) {
        *sum -= std::mem::take(&mut self.summed_bytes);
    }

    /// What happened after `told`.
    pub fn since(&self, told: Revision) -> Difference {
        if self.is_blurred(told) {
            return Difference::Unknown;
        }
        if told >= self.changed_at {
            return Difference::None;
        }
        if told < self.history_from {
            return Difference::Unknown;
        }
        let first = self.history.partition_point(|step| step.delta.to <= told);
        if self.history[first].from < told {
            // The client stood in another lane, which went there by other steps: it knows a part of this one.
            return Difference::Unknown;
        }
        if first + 1 == self.history.len() {
            return Difference::Delta(Arc::clone(&self.history[first].delta));
        }
        let deltas = self.history.iter().skip(first).map(|step| &*step.delta);
        let merged = delta::merge(deltas, &self.rows, self.query.template.is_ordered, self.changed_at);
        if merged.is_empty() { Difference::None } else { Difference::Delta(Arc::new(merged)) }
    }

    /// The revision its next step begins at, if the lane stands at this one. Whoever was told more cannot join: a row that came
    /// and went in between would be no difference to the group, and would stay with them.
    pub fn stands_at(&self, lane: Revision) -> Revision {
        if self.is_stale { self.evaluated_at } else { lane }
    }

    /// Can a client that was told this revision be brought here by deltas?
    pub fn reaches_back_to(&self, told: Revision) -> bool {
        told >= self.history_from && !self.is_blurred(told)
    }

    /// The result was the same after several commits as before them; what it was in between is not known.
    fn blur(&mut self, from: Revision, to: Revision) {
        if to - from < 2 {
            return;
        }
        let Blurs(all) = &mut **self.blurs.get_or_insert_default();
        all.push_back((from, to));
        if all.len() > BLURS_MAX
            && let Some((_, end)) = all.pop_front()
        {
            self.history_from = self.history_from.max(end);
        }
    }

    /// Was it told in between by another lane, or before a reconnect? Then a row that came and went meanwhile may be known there.
    fn is_blurred(&self, told: Revision) -> bool {
        self.blurs.as_ref().is_some_and(|blurs| blurs.0.iter().any(|(from, to)| *from < told && told < *to))
    }

    /// The state was true at this revision of the lane; it must be evaluated before it is used.
    pub fn doubt(&mut self, at: Revision) {
        if !std::mem::replace(&mut self.is_stale, true) {
            self.evaluated_at = at;
        }
    }

    /// What one evaluation takes, as a moving average.
    pub fn cost(&self) -> Duration {
        Duration::from_micros(self.cost.into())
    }

    pub fn note_cost(&mut self, took: Duration) {
        let average = if self.cost == 0 { took } else { (self.cost() * 3 + took) / 4 };
        self.cost = u32::try_from(average.as_micros()).unwrap_or(u32::MAX);
    }

    pub fn ready_rows(&self) -> Option<Arc<Vec<Bytes>>> {
        self.ready_rows.clone()
    }

    /// Cuts the rows into chunks, and keeps them for further listeners if there is one already and they are small.
    pub fn keep_rows(&mut self, fresh: &Fresh, limits: &Limits) -> Arc<Vec<Bytes>> {
        let chunks = Arc::new(chunks(fresh, limits.rows_chunk_bytes));
        let size: usize = chunks.iter().map(Bytes::len).sum();
        let is_shared = !self.listeners.is_empty();
        self.ready_rows = (is_shared && size <= READY_ROWS_BYTES_MAX).then(|| Arc::clone(&chunks));
        chunks
    }

    pub fn send_rows(&self, session: &Session, id: &RequestId, chunks: &[Bytes], revision: Revision, tag: Tag) {
        let template = &self.query.template;
        let tag = tag.to_string();
        let base = template.base.as_ref().map(|base| base.told(&self.query.params));
        let (columns, is_ordered) = (&template.columns, template.is_ordered);
        let mut head = RowsHead { revision, tag: &tag, columns, is_ordered, base: base.as_deref() };
        for (index, chunk) in chunks.iter().enumerate() {
            session.push(frame::rows(id, head, chunk, index + 1 == chunks.len()));
            head.base = None;
        }
    }
}

/// The inside of the `rows` arrays; at least one, for an empty result is told too.
fn chunks(fresh: &Fresh, bytes: usize) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    let mut chunk = Vec::new();
    for row in &fresh.rows {
        if chunk.len() >= bytes {
            chunks.push(Bytes::from(std::mem::take(&mut chunk)));
        }
        if !chunk.is_empty() {
            chunk.push(b',');
        }
        delta::write_row(&mut chunk, &row.key, &fresh.json(row));
    }
    chunks.push(Bytes::from(chunk));
    chunks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::access::Principal;
    use crate::live::query::{self, Query};
    use crate::live::rows;
    use crate::sqlite::open::{Purpose, open};
    use crate::sqlite::schema::Schema;
    use crate::value::Params;

    #[test]
    fn a_step_is_not_told_to_whoever_knows_a_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("group.db");
        let (time, limits) = (Duration::from_secs(5), Limits::default());
        let writer = open(&path, None, Purpose::Write, time).unwrap();
        writer.own.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
        let mut sqlite = open(&path, None, Purpose::Live, time).unwrap();
        let schema = Schema::load(&sqlite.own).unwrap();
        let template = query::analyse(&mut sqlite, &schema, 0, "SELECT id FROM t", &limits, None).unwrap();
        let query = Query::new(Arc::new(template), &Params::None, &Principal::Admin).unwrap();
        let mut group = Group::new(Arc::new(query), RowSet::default(), 10);
        let mut advance = |group: &mut Group, from, to| {
            writer.own.execute_batch("INSERT INTO t DEFAULT VALUES").unwrap();
            let fresh = rows::evaluate(&mut sqlite, &group.query, Some(&group.rows), time, &limits).unwrap();
            assert!(group.advance(fresh, from, to));
        };
        advance(&mut group, 12, 15);
        let told = |group: &Group, told| match group.since(told) {
            Difference::None => "none",
            Difference::Delta(_) => "delta",
            Difference::Unknown => "unknown",
        };
        // From another lane, which made steps of its own, clients come at revisions that this one passed over.
        for (at, expected) in [(9, "unknown"), (10, "delta"), (12, "delta"), (13, "unknown"), (15, "none")] {
            assert_eq!(told(&group, at), expected, "told {at}");
        }
        group.doubt(17);
        group.doubt(18);
        advance(&mut group, 18, 20);
        for (at, expected) in [(15, "delta"), (17, "delta"), (18, "unknown"), (20, "none")] {
            assert_eq!(told(&group, at), expected, "told {at}");
        }
    }
}
