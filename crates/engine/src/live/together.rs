//! Many callers' results brought up to date at once: who of them sees a changed row is asked in one run ([`super::audience`]),
//! what it shows is read once for all who ask with the same values, and each result takes what concerns it.
//!
//! In an ordered result places change, too, which only the whole tells. It is run once for all whose results were the same
//! before and of whose rows the same becomes: *twins*. Whatever does not fit (a result without a twin, a row too many, an
//! error) is left to the step, which brings each up to date by itself ([`super::step`]).

use super::delta::Delta;
use super::family::Found;
use super::group::Group;
use super::lane::Lane;
use super::part::{Part, PartKeys, Parts};
use super::query::{Identity, Template, TemplateId};
use super::report::Run;
use super::row_set::is_of_part;
use super::rows::{self, Fresh, FreshRow, Key, KeySource, PartChanges, RowSet};
use super::step::guarded;
use crate::changes::change::Revision;
use crate::error::Result;
use crate::value::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Fewer are quicker brought up to date one by one.
const CALLERS_MIN: usize = 3;

/// Callers asked for in one run, and changed rows in one step; more rows are better read with the whole results.
const CALLERS_MAX: usize = 4096;
const KEYS_MAX: usize = 256;

/// What a run is reckoned to take by itself, and for each caller.
const RUN: Duration = Duration::from_micros(20);
const CALLER: Duration = Duration::from_micros(1);

/// Those who ask with the same values.
#[derive(Default)]
struct Class {
    /// Of each key, what those see who see it; read when the first does.
    fresh: Vec<Option<Fresh>>,
    /// By what became of each key in a result: what is to be done, and told.
    outcomes: HashMap<Box<[Outcome]>, Told>,
}

type Told = (Arc<PartChanges>, Arc<Delta>);

/// What becomes of one key in one result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Nothing,
    Comes,
    Changes,
    Goes,
}

/// What was made of one result.
enum Taken {
    Done,
    /// Its places change as those of its twins do.
    Placed(Box<[Outcome]>),
    /// It must be run by itself.
    Not,
}

/// Those who ask with the same values, of whose rows the same becomes, and whose results were the same.
type Twins = HashMap<(u128, Box<[Outcome]>, u128), Vec<Identity>>;

/// A template's work in one step.
struct Work<'a> {
    template: &'a Template,
    part: &'a Part,
    keys: Vec<(&'a Key, &'a [Value])>,
    revision: Revision,
}

impl Lane {
    /// Brings up to date whom it can; who that was.
    pub(super) fn evaluate_for_all(&mut self, id: TemplateId, found: &Found, revision: Revision) -> HashSet<Identity> {
        let mut done = HashSet::new();
        let Some(template) = self.families.get(id).map(|family| Arc::clone(&family.template)) else { return done };
        let (Some(part), Parts::These(keys)) = (&template.ways.part, &found.parts) else { return done };
        if template.audience.is_none() || !are_plain(keys) {
            return done;
        }
        let can_be = |group: &&Group| !group.is_stale && group.query.answers.is_some();
        let is_part = |identity: &&Identity| !found.whole.contains(*identity);
        let members = found.groups.iter().filter(is_part);
        let members: Vec<&Group> = members.filter_map(|identity| self.groups.get(identity).filter(can_be)).collect();
        let cost: Duration = members.iter().map(|group| group.cost()).sum();
        let reckoned = (RUN + CALLER * members.len() as u32) * keys.len() as u32;
        // At no price at all it is done whatever it takes.
        let is_forced = self.limits.live_part_micros == 0;
        if members.is_empty() || !is_forced && (members.len() < CALLERS_MIN || reckoned > cost) {
            return done;
        }
        let mut members: Vec<Identity> = members.iter().map(|group| group.query.identity).collect();
        members.sort_unstable();
        done.reserve(members.len());
        let mut keys: Vec<(&Key, &[Value])> = keys.iter().map(|(text, values)| (text, &**values)).collect();
        keys.sort_unstable_by_key(|(text, _)| *text);
        let work = Work { template: &template, part, keys, revision };
        for some in members.chunks(CALLERS_MAX) {
            let told = guarded(|| self.evaluate_together(&work, some, &mut done));
            if !matches!(told, Ok(true)) {
                break;
            }
        }
        done
    }

    /// False if it cannot be told who sees what.
    fn evaluate_together(&mut self, work: &Work<'_>, some: &[Identity], done: &mut HashSet<Identity>) -> Result<bool> {
        let mut sees = Vec::with_capacity(work.keys.len());
        for (_, key) in &work.keys {
            let Some(which) = self.who_sees(work.template, some, key)? else { return Ok(false) };
            sees.push(which);
        }
        let mut classes: HashMap<u128, Class> = HashMap::new();
        let mut twins = Twins::new();
        for (number, identity) in some.iter().enumerate() {
            let Some(query) = self.groups.get(identity).map(|group| Arc::clone(&group.query)) else { continue };
            let values = query.params_hash();
            let class = classes.entry(values).or_default();
            class.fresh.resize_with(work.keys.len(), || None);
            for (index, (text, key)) in work.keys.iter().enumerate() {
                if sees[index][number] && class.fresh[index].is_none() {
                    let time = self.time_max();
                    let fresh = rows::read_part(&mut self.sqlite, &query, work.part, key, time, &self.limits)?;
                    let is_one =
                        |fresh: &Fresh| fresh.rows.len() < 2 && fresh.rows.iter().all(|row| is_of_part(&row.key, text));
                    let Some(fresh) = fresh.filter(is_one) else { return Ok(false) };
                    class.fresh[index] = Some(fresh);
                }
            }
            let sees = |index: usize| sees[index][number];
            match self.take_outcome(work, identity, class, sees) {
                Taken::Done => drop(done.insert(*identity)),
                Taken::Placed(outcomes) => {
                    let print = self.groups.get(identity).and_then(|group| group.rows.fingerprint());
                    if let Some(print) = print {
                        twins.entry((values, outcomes, print)).or_default().push(*identity);
                    }
                }
                Taken::Not => {}
            }
        }
        for alike in twins.into_values().filter(|alike| alike.len() > 1) {
            self.run_for_twins(&alike, work.revision, done)?;
        }
        Ok(true)
    }

    /// Runs the first, and has the others go the same way.
    fn run_for_twins(&mut self, alike: &[Identity], revision: Revision, done: &mut HashSet<Identity>) -> Result<()> {
        let (from, time) = (self.at, self.time_max());
        let Some(first) = alike.first().and_then(|identity| self.groups.get_mut(identity)) else { return Ok(()) };
        let started = Instant::now();
        let fresh = rows::evaluate(&mut self.sqlite, &first.query, Some(&first.rows), time, &self.limits)?;
        first.note_cost(started.elapsed());
        self.families.note_run(first.query.template.id, Run::Whole, started.elapsed());
        self.shared.metrics.live_evaluations.add(1);
        let is_other = first.advance(fresh, from, revision);
        let Some(twin) = first.twin(is_other) else { return Ok(()) };
        for identity in alike {
            done.insert(*identity);
            if identity != &alike[0]
                && let Some(group) = self.groups.get_mut(identity)
            {
                group.follow(&twin, from, revision);
            }
            if is_other {
                self.tell_of(identity);
            }
        }
        Ok(())
    }

    fn who_sees(&mut self, template: &Template, some: &[Identity], key: &[Value]) -> Result<Option<Vec<bool>>> {
        let Some(audience) = &template.audience else { return Ok(None) };
        let answers = |identity| self.groups.get(identity).and_then(|group| group.query.answers.clone());
        let callers: Vec<_> = some.iter().map(|identity| answers(identity).unwrap_or_default()).collect();
        let (time, started) = (self.time_max(), Instant::now());
        let seen = audience.who_sees(&mut self.sqlite, &callers, key, time);
        self.families.note_run(template.id, Run::ForAll, started.elapsed());
        self.shared.metrics.live_for_all.add(1);
        seen
    }

    /// Takes over what became of the keys in one result.
    fn take_outcome(
        &mut self,
        work: &Work<'_>,
        identity: &Identity,
        class: &mut Class,
        sees: impl Fn(usize) -> bool,
    ) -> Taken {
        let Some(group) = self.groups.get_mut(identity) else { return Taken::Not };
        let mut outcomes = Vec::with_capacity(work.keys.len());
        let (mut was_shown, mut is_shown) = (false, false);
        for (index, (text, _)) in work.keys.iter().enumerate() {
            let row = class.fresh[index].as_ref().filter(|_| sees(index)).and_then(|fresh| fresh.rows.first());
            let old = known_row(work, &group.rows, text);
            (was_shown, is_shown) = (was_shown || old.is_some(), is_shown || row.is_some());
            let Some(outcome) = outcome(old, row) else { return Taken::Not };
            outcomes.push(outcome);
        }
        if work.template.is_ordered && (was_shown || is_shown) {
            // For a row that leaves a result that is cut another one comes, which may not be the same for all.
            return if work.part.is_cut && was_shown { Taken::Not } else { Taken::Placed(outcomes.into()) };
        }
        let (changes, delta) = if let Some((changes, delta)) = class.outcomes.get(&*outcomes) {
            (Arc::clone(changes), Arc::clone(delta))
        } else {
            let changes = Arc::new(changes(work, &group.rows, &outcomes, class));
            let delta = Arc::new(changes.delta(work.revision));
            class.outcomes.insert(outcomes.into(), (Arc::clone(&changes), Arc::clone(&delta)));
            (changes, delta)
        };
        let grown = group.rows.count() + changes.insert.len();
        if grown > self.limits.live_rows_max || group.rows.size() > self.limits.live_bytes_max {
            return Taken::Not;
        }
        if group.advance_by(&delta, &changes, self.at, work.revision) {
            self.tell_of(identity);
        }
        Taken::Done
    }
}

/// Is each a key of one row, and are they few?
fn are_plain(keys: &PartKeys) -> bool {
    let has_null = |key: &[Value]| key.iter().any(|value| matches!(value, Value::Null));
    !keys.is_empty() && keys.len() <= KEYS_MAX && !keys.values().any(|key| has_null(key))
}

/// `None` if the row has come to have another key.
fn outcome(old: Option<(Key, u128)>, row: Option<&FreshRow>) -> Option<Outcome> {
    Some(match (old, row) {
        (None, None) => Outcome::Nothing,
        (None, Some(_)) => Outcome::Comes,
        (Some(_), None) => Outcome::Goes,
        (Some((key, _)), Some(row)) if key != row.key => return None,
        (Some((_, hash)), Some(row)) if hash == row.hash => Outcome::Nothing,
        (Some(_), Some(_)) => Outcome::Changes,
    })
}

/// The row of a key, as it is remembered.
fn known_row(work: &Work<'_>, known: &RowSet, text: &Key) -> Option<(Key, u128)> {
    if matches!(&work.template.key, KeySource::Columns(columns) if *columns == work.part.shown) {
        return known.get(text).map(|seen| (text.clone(), seen.hash));
    }
    known.part(text).into_iter().next().map(|(key, seen)| (key, seen.hash))
}

fn changes(work: &Work<'_>, known: &RowSet, outcomes: &[Outcome], class: &Class) -> PartChanges {
    let mut changes = PartChanges::default();
    for (index, outcome) in outcomes.iter().enumerate() {
        let text = work.keys[index].0;
        let fresh = class.fresh[index].as_ref().filter(|_| *outcome != Outcome::Goes);
        if *outcome != Outcome::Nothing {
            changes.note(known.part(text), fresh.unwrap_or(&Fresh::default()));
        }
    }
    changes.sort();
    changes
}
