//! Families: the groups of one template, and the way from a changed row to those it may matter to.
//!
//! What a write costs follows from here: each template that reads the table is looked at once, whatever the number of
//! its groups, and of these only the ones are touched that the row's values lead to.

use super::edge::Foremost;
use super::few::Few;
use super::interval::Intervals;
use super::part::{Part, Parts};
use super::query::{self, Identity, Query, ReadColumns, Template, TemplateId};
use super::report::{Run, Runs, TEMPLATES_TOLD_MAX, TemplateReport};
use super::route::{Keys, Mark};
use super::trail::Trail;
use crate::changes::change::{Change, ChangeSet, Extent, Rows, Shape};
use crate::sqlite::Sqlite;
use crate::value::Value;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Different beginnings of one trail in one change set; with more, everything counts.
const BEGINNINGS_MAX: usize = 256;

#[derive(Debug)]
pub struct Family {
    pub template: Arc<Template>,
    pub groups: HashSet<Identity>,
    /// One for each of the template's routes.
    signposts: Vec<Signpost>,
    /// What is known of the tables as they were when they were written.
    sights: Vec<Sight>,
    /// Runs of its groups, by how much was read, and what they took together.
    runs: Runs,
    took: Duration,
    /// What reading one part takes, as a moving average.
    part_cost: Duration,
}

/// A table, as it was when some rows were written, in the eyes of one template: found out once.
#[derive(Debug)]
struct Sight {
    shape: Arc<Shape>,
    /// None if the template does not read it.
    read: Option<ReadColumns>,
    /// The way from its rows.
    way: Way,
    has_part: bool,
    has_edge: bool,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// Indexes in the template's [`super::ways::Ways`].
    Route(usize),
    Trail(usize),
    /// Every change counts for every group.
    None,
}

/// Tables and states of them remembered; after a change of the schema the old ones are of no use.
const SIGHTS_MAX: usize = 16;

/// Which groups a row of one table leads to.
#[derive(Debug, Default)]
struct Signpost {
    /// Mostly one: queries with the same values are one group.
    by_key: HashMap<u64, Few<Identity>>,
    by_rank: Intervals,
    /// Groups whose values give no key: every row leads to them.
    always: HashSet<Identity>,
}

impl Signpost {
    fn add(&mut self, keys: Keys, identity: &Identity) {
        match keys {
            Keys::All => drop(self.always.insert(*identity)),
            Keys::Within(interval) => self.by_rank.add(interval, *identity),
            Keys::These(keys) => {
                for key in keys {
                    self.by_key.entry(key).or_default().insert(*identity);
                }
            }
        }
    }

    fn remove(&mut self, keys: &Keys, identity: &Identity) {
        match keys {
            Keys::All => drop(self.always.remove(identity)),
            Keys::Within(interval) => self.by_rank.remove(interval, identity),
            Keys::These(keys) => {
                for key in keys {
                    let Some(groups) = self.by_key.get_mut(key) else { continue };
                    groups.remove(identity);
                    if groups.is_empty() {
                        self.by_key.remove(key);
                    }
                }
            }
        }
    }

    /// Does it lead anywhere, for all that can be told quickly?
    fn leads(&mut self, mark: &Mark) -> bool {
        match mark {
            Mark::Any => true,
            Mark::Key(key) => self.by_key.contains_key(key),
            // To look through many would hold the writer up.
            Mark::Rank(_) if !self.by_rank.is_quick() => true,
            Mark::Rank(rank) => {
                let mut leads = false;
                self.by_rank.find(rank, |_| leads = true);
                leads
            }
        }
    }

    /// False if it cannot tell.
    fn find(&mut self, mark: &Mark, found: &mut HashSet<Identity>) -> bool {
        match mark {
            Mark::Any => return false,
            Mark::Key(key) => found.extend(self.by_key.get(key).into_iter().flat_map(Few::iter)),
            Mark::Rank(rank) => self.by_rank.find(rank, |group| found.extend([*group])),
        }
        true
    }
}

/// What a step found.
#[derive(Debug, Default)]
pub struct Touched {
    pub families: HashMap<TemplateId, Found>,
    /// Families that read what was written, found or not; some more than once.
    looked: Vec<TemplateId>,
    /// Trails that were followed.
    pub trails: u64,
    /// A trail must be followed, and there was no snapshot to do it in: more may be touched than was found.
    pub lacks_snapshot: bool,
}

/// What was found of one family.
#[derive(Debug)]
pub struct Found {
    pub groups: HashSet<Identity>,
    /// Of these, those for which the parts are not all.
    pub whole: HashSet<Identity>,
    pub parts: Parts,
    pub foremost: Foremost,
}

impl Default for Found {
    fn default() -> Self {
        Self { groups: HashSet::new(), whole: HashSet::new(), parts: Parts::none(), foremost: Foremost::None }
    }
}

impl Touched {
    fn of(&mut self, template: TemplateId) -> &mut Found {
        self.families.entry(template).or_default()
    }

    fn looked(&mut self, template: TemplateId) {
        if self.looked.last() != Some(&template) {
            self.looked.push(template);
        }
    }

    pub fn is_nothing(&self) -> bool {
        !self.lacks_snapshot && self.families.values().all(|found| found.groups.is_empty())
    }
}

/// Where trails are followed: a connection with its snapshot open, and until when; what is not known by then counts.
pub type Snapshot<'a> = (&'a mut Sqlite, Instant);

#[derive(Debug, Default)]
pub struct Families {
    by_template: HashMap<TemplateId, Family>,
    /// By the lower-case tables they read; those that every commit may touch are under `""`.
    by_table: HashMap<Box<str>, HashSet<TemplateId>>,
    /// These have come to have other groups since they were last settled.
    unsettled: HashSet<TemplateId>,
    /// These since their trees were made whole; true if since the last housekeeping.
    young: HashMap<TemplateId, bool>,
}

/// So much is looked through at one time on behalf of a writer: rows, and templates that read their tables.
const GLANCE_ROWS_MAX: usize = 16;
const GLANCE_TEMPLATES_MAX: usize = 64;

impl Families {
    pub fn get(&self, template: TemplateId) -> Option<&Family> {
        self.by_template.get(&template)
    }

    pub fn ids(&self) -> Vec<TemplateId> {
        self.by_template.keys().copied().collect()
    }

    pub fn add(&mut self, query: &Query) {
        let template = &query.template;
        let family = self.by_template.entry(template.id).or_insert_with(|| {
            for table in tables(template) {
                self.by_table.entry(table).or_default().insert(template.id);
            }
            Family {
                template: Arc::clone(template),
                groups: HashSet::new(),
                signposts: template.ways.routes.iter().map(|_| Signpost::default()).collect(),
                sights: Vec::new(),
                runs: Runs::default(),
                took: Duration::ZERO,
                part_cost: Duration::ZERO,
            }
        });
        if family.groups.insert(query.identity) {
            self.unsettled.insert(template.id);
            for (route, signpost) in family.template.ways.routes.iter().zip(&mut family.signposts) {
                signpost.add(route.keys(query.routing_params()), &query.identity);
            }
        }
    }

    pub fn remove(&mut self, query: &Query) {
        let Some(family) = self.by_template.get_mut(&query.template.id) else { return };
        if family.groups.remove(&query.identity) {
            self.unsettled.insert(query.template.id);
            for (route, signpost) in family.template.ways.routes.iter().zip(&mut family.signposts) {
                signpost.remove(&route.keys(query.routing_params()), &query.identity);
            }
        }
        if family.groups.is_empty()
            && let Some(family) = self.by_template.remove(&query.template.id)
        {
            for table in tables(&family.template) {
                if let Some(templates) = self.by_table.get_mut(&table) {
                    templates.remove(&family.template.id);
                    if templates.is_empty() {
                        self.by_table.remove(&table);
                    }
                }
            }
        }
    }

    /// Prepares for [`Families::glance`].
    pub fn settle(&mut self) {
        for template in self.unsettled.drain() {
            if let Some(family) = self.by_template.get_mut(&template) {
                family.signposts.iter_mut().for_each(|signpost| signpost.by_rank.settle());
                self.young.insert(template, true);
            }
        }
    }

    /// Called now and then: where no group has come or gone for that time, none is looked through one by one any more.
    pub fn housekeep(&mut self) {
        let families = &mut self.by_template;
        self.young.retain(|template, is_new| {
            if std::mem::take(is_new) {
                return true;
            }
            let signposts = families.get_mut(template).into_iter().flat_map(|family| &mut family.signposts);
            signposts.for_each(|signpost| signpost.by_rank.make_whole());
            false
        });
    }

    /// Does the change set surely matter to no group? Then how many groups read what it has changed. For the writer, so
    /// what takes long to be told is not told.
    pub fn glance(&mut self, set: &ChangeSet) -> Option<u64> {
        let Extent::Rows(rows) = &set.extent else { return None };
        if self.by_table.contains_key("") || rows.changes.len() > GLANCE_ROWS_MAX {
            return self.by_template.is_empty().then_some(0);
        }
        let written = rows.shapes.iter().map(|shape| query::lower(&shape.table));
        let opaque = rows.opaque.iter().map(|table| Cow::Borrowed(&**table));
        let mut spared = 0;
        for table in written.chain(opaque) {
            let Some(templates) = self.by_table.get(&*table) else { continue };
            if templates.len() > GLANCE_TEMPLATES_MAX {
                return None;
            }
            for template in templates {
                spared += self.by_template.get_mut(template).map_or(Some(0), |family| family.glance(rows))?;
            }
        }
        Some(spared)
    }

    /// Adds the groups that a change set may matter to.
    pub fn find_touched(&mut self, set: &ChangeSet, mut snapshot: Option<Snapshot<'_>>, touched: &mut Touched) {
        let Extent::Rows(rows) = &set.extent else {
            for (template, family) in &self.by_template {
                family.touch_all(touched.of(*template));
            }
            return;
        };
        let written = rows.shapes.iter().map(|shape| query::lower(&shape.table));
        let opaque = rows.opaque.iter().map(|table| Cow::Borrowed(&**table));
        // Few tables are written at a time: a template that reads several of them is looked at just once.
        let mut seen: Vec<&HashSet<TemplateId>> = Vec::new();
        for table in written.chain(opaque).chain([Cow::Borrowed("")]) {
            let Some(templates) = self.by_table.get(&*table) else { continue };
            for template in templates.iter().filter(|template| !seen.iter().any(|seen| seen.contains(template))) {
                if let Some(family) = self.by_template.get_mut(template) {
                    family.find_touched(rows, snapshot.as_mut(), touched);
                }
            }
            seen.push(templates);
        }
    }

    pub fn count(&self) -> usize {
        self.by_template.len()
    }

    pub fn note_run(&mut self, template: TemplateId, run: Run, took: Duration) {
        if let Some(family) = self.by_template.get_mut(&template) {
            family.runs.note(run);
            family.took += took;
        }
    }

    /// What reading one part is found to take.
    pub fn part_cost(&self, template: TemplateId) -> Duration {
        self.by_template.get(&template).map_or(Duration::ZERO, |family| family.part_cost)
    }

    pub fn note_parts(&mut self, template: TemplateId, count: usize, took: Duration) {
        if let Some(family) = self.by_template.get_mut(&template) {
            let one = took / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
            family.part_cost = if family.part_cost.is_zero() { one } else { (family.part_cost * 7 + one) / 8 };
        }
    }

    /// Parts were thought too dear to be read: they are tried again in the end.
    pub fn doubt_part_cost(&mut self, template: TemplateId) {
        if let Some(family) = self.by_template.get_mut(&template) {
            family.part_cost = family.part_cost * 63 / 64;
        }
    }

    /// The templates that took the most.
    pub fn dearest(&self) -> Vec<TemplateReport> {
        let mut families: Vec<&Family> = self.by_template.values().collect();
        families.sort_unstable_by_key(|family| (Reverse(family.took), family.template.id));
        families.into_iter().take(TEMPLATES_TOLD_MAX).map(Family::report).collect()
    }

    /// How many groups read what was written, and were not found.
    pub fn spared(&self, touched: &mut Touched) -> u64 {
        touched.looked.sort_unstable();
        touched.looked.dedup();
        let spared = |template: &TemplateId| {
            let all = self.by_template.get(template).map_or(0, |family| family.groups.len());
            all.saturating_sub(touched.families.get(template).map_or(0, |found| found.groups.len()))
        };
        touched.looked.iter().map(spared).sum::<usize>() as u64
    }
}

impl Family {
    fn report(&self) -> TemplateReport {
        let Template { written, reads, ways, .. } = &*self.template;
        TemplateReport {
            sql: written.to_string(),
            groups: self.groups.len(),
            runs: self.runs,
            took: self.took,
            is_found_by_value: !reads.is_everything() && reads.tables().all(|table| ways.lead_from(table)),
            is_read_by_parts: ways.part.is_some(),
            is_read_for_all: self.template.audience.is_some(),
        }
    }

    fn touch_all(&self, found: &mut Found) {
        found.groups.extend(self.groups.iter().copied());
        found.parts.add_all();
        found.foremost.add_all();
    }

    /// See [`Families::glance`].
    fn glance(&mut self, rows: &Rows) -> Option<u64> {
        if self.template.reads.is_touched_as_a_whole(rows) {
            return None;
        }
        let mut spared = 0;
        for (index, shape) in rows.shapes.iter().enumerate() {
            let sight = self.sight(shape);
            let Sight { read, way, .. } = &self.sights[sight];
            if !read.as_ref().is_some_and(|read| read.are_touched(rows, index)) {
                continue;
            }
            let Way::Route(route) = *way else { return None };
            let (route, signpost) = (&self.template.ways.routes[route], &mut self.signposts[route]);
            let mut changes = rows.changes.iter().filter(|change| change.shape == index);
            if !signpost.always.is_empty()
                || changes.any(|change| route.marks(change).any(|mark| signpost.leads(&mark)))
            {
                return None;
            }
            spared = self.groups.len() as u64;
        }
        Some(spared)
    }

    fn find_touched(&mut self, rows: &Rows, mut snapshot: Option<&mut Snapshot<'_>>, touched: &mut Touched) {
        if self.template.reads.is_touched_as_a_whole(rows) {
            self.touch_all(touched.of(self.template.id));
            return;
        }
        for (index, shape) in rows.shapes.iter().enumerate() {
            let sight = self.sight(shape);
            let Sight { read, way, has_part, has_edge, .. } = &self.sights[sight];
            if !read.as_ref().is_some_and(|read| read.are_touched(rows, index)) {
                continue;
            }
            let (way, has_part, has_edge) = (*way, *has_part, *has_edge);
            let changes = || rows.changes.iter().filter(move |change| change.shape == index);
            touched.looked(self.template.id);
            let groups = match way {
                Way::Route(route) => self.find_by_route(route, changes()),
                Way::Trail(trail) => {
                    let Some(snapshot) = &mut snapshot else {
                        touched.lacks_snapshot = true;
                        return;
                    };
                    touched.trails += 1;
                    let found = touched.of(self.template.id);
                    if !has_part {
                        found.foremost.add_all();
                        if !self.find_by_trail(trail, changes(), snapshot, found) {
                            self.touch_all(found);
                        }
                        continue;
                    }
                    // The keys are those of the changed rows themselves.
                    let mut ends = Found::default();
                    let is_told = self.find_by_trail(trail, changes(), snapshot, &mut ends);
                    Some(if is_told { ends.groups } else { self.groups.clone() })
                }
                Way::None => Some(self.groups.clone()),
            };
            let Some(groups) = groups else {
                self.touch_all(touched.of(self.template.id));
                continue;
            };
            if groups.is_empty() {
                continue;
            }
            let found = touched.of(self.template.id);
            match self.template.ways.part.as_ref().filter(|_| has_part) {
                Some(part) => changes().for_each(|change| found.parts.add_change(part, change)),
                None if self.template.ways.part.is_some() => found.whole.extend(groups.iter().copied()),
                None => {}
            }
            match self.template.ways.edge.as_ref().filter(|_| has_edge) {
                Some(edge) => changes().for_each(|change| found.foremost.add_change(edge, change)),
                None => found.foremost.add_all(),
            }
            if found.groups.is_empty() {
                found.groups = groups;
            } else {
                found.groups.extend(groups);
            }
        }
    }

    /// Finds out what there is to know of a table, or finds it.
    fn sight(&mut self, shape: &Arc<Shape>) -> usize {
        if let Some(known) = self.sights.iter().position(|sight| Arc::ptr_eq(&sight.shape, shape)) {
            return known;
        }
        let Template { reads, ways, .. } = &*self.template;
        let route = ways.routes.iter().position(|route| route.is_of(&shape.table));
        let trail = ways.trails.iter().position(|trail| trail.table.eq_ignore_ascii_case(&shape.table));
        let way = match (route, trail) {
            (Some(route), _) if ways.routes[route].fits(shape) => Way::Route(route),
            (None, Some(trail)) if ways.trails[trail].fits(shape) => Way::Trail(trail),
            _ => Way::None,
        };
        let is_of_part = |part: &Part| part.table.eq_ignore_ascii_case(&shape.table) && part.fits(shape);
        let has_part = ways.part.as_ref().is_some_and(is_of_part);
        let has_edge = ways.edge.as_ref().is_some_and(|edge| edge.is_of(shape));
        let sight = Sight { shape: Arc::clone(shape), read: reads.of(shape), way, has_part, has_edge };
        if self.sights.len() >= SIGHTS_MAX {
            self.sights.clear();
        }
        self.sights.push(sight);
        self.sights.len() - 1
    }

    /// The groups; `None` if that cannot be told.
    fn find_by_route<'a>(
        &mut self,
        route: usize,
        mut changes: impl Iterator<Item = &'a Change>,
    ) -> Option<HashSet<Identity>> {
        let (route, signpost) = (&self.template.ways.routes[route], &mut self.signposts[route]);
        // Empty, as it mostly stays, it takes no memory.
        let mut found = signpost.always.clone();
        let is_told = changes.all(|change| route.marks(change).all(|mark| signpost.find(&mark, &mut found)));
        is_told.then_some(found)
    }

    /// False if that cannot be told.
    fn find_by_trail<'a>(
        &mut self,
        trail: usize,
        changes: impl Iterator<Item = &'a Change>,
        (sqlite, deadline): &mut Snapshot<'_>,
        found: &mut Found,
    ) -> bool {
        let template = Arc::clone(&self.template);
        let ways = &template.ways;
        let trail = &ways.trails[trail];
        let Some(beginnings) = beginnings(trail, changes) else { return false };
        let route = ways.routes.iter().position(|route| route.table == ways.target);
        let part = ways.part.as_ref().filter(|part| part.table == ways.target);
        match route {
            Some(route) => found.groups.extend(self.signposts[route].always.iter().copied()),
            None => found.groups.extend(self.groups.iter().copied()),
        }
        for values in beginnings {
            let time = deadline.saturating_duration_since(Instant::now());
            let Ok(Some(ends)) = trail.follow(sqlite, &values, time) else { return false };
            for end in ends {
                let terms = route.map_or(0, |route| ways.routes[route].terms.len());
                if let Some(route) = route
                    && let Some(mark) = ways.routes[route].mark(|term, _| end.get(term))
                    && !self.signposts[route].find(&mark, &mut found.groups)
                {
                    return false;
                }
                if part.is_some() {
                    found.parts.add(end[terms..].iter().map(Some));
                }
            }
        }
        if part.is_none() {
            found.parts.add_all();
        }
        true
    }
}

/// The different values with which the changed rows begin a trail. `None` if there are too many, or the table has
/// changed.
fn beginnings<'a>(trail: &Trail, changes: impl Iterator<Item = &'a Change>) -> Option<Vec<Vec<&'a Value>>> {
    let mut found: Vec<Vec<&Value>> = Vec::new();
    let mut seen = HashSet::new();
    for change in changes {
        for image in [change.old.as_deref(), change.new.as_deref()].into_iter().flatten() {
            let values: Vec<&Value> =
                trail.columns.iter().map(|(column, _)| image.get(*column)).collect::<Option<_>>()?;
            // Nothing is joined with NULL.
            if values.iter().any(|value| matches!(value, Value::Null)) || !seen.insert(query::values_hash(&values)) {
                continue;
            }
            if found.len() == BEGINNINGS_MAX {
                return None;
            }
            found.push(values);
        }
    }
    Some(found)
}

/// Under which names a family is found when something changes.
fn tables(template: &Template) -> Vec<Box<str>> {
    let reads = &template.reads;
    if reads.is_everything() { vec!["".into()] } else { reads.tables().map(Into::into).collect() }
}
