//! Families: the groups of one template, and the way from a changed row to those it may matter to.
//!
//! What a write costs follows from here: each template that reads the table is looked at once, whatever the number of
//! its groups, and of these only the ones are touched that the row's values lead to.

use super::query::{self, Identity, Query, Template, TemplateId};
use super::route::Keys;
use crate::changes::change::{ChangeSet, Extent, Rows};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Debug)]
pub struct Family {
    pub template: Arc<Template>,
    pub groups: HashSet<Identity>,
    /// One for each of the template's routes.
    signposts: Vec<Signpost>,
}

/// Which groups a row of one table leads to.
#[derive(Debug, Default)]
struct Signpost {
    /// Mostly one: queries with the same values are one group.
    by_key: HashMap<u64, Vec<Identity>>,
    /// Groups whose values give no key: every row leads to them.
    always: HashSet<Identity>,
}

impl Signpost {
    fn add(&mut self, keys: &Keys, identity: &Identity) {
        match keys {
            Keys::All => drop(self.always.insert(identity.clone())),
            Keys::These(keys) => {
                for key in keys {
                    let groups = self.by_key.entry(*key).or_default();
                    if !groups.contains(identity) {
                        groups.push(identity.clone());
                    }
                }
            }
        }
    }

    fn remove(&mut self, keys: &Keys, identity: &Identity) {
        match keys {
            Keys::All => drop(self.always.remove(identity)),
            Keys::These(keys) => {
                for key in keys {
                    let Some(groups) = self.by_key.get_mut(key) else { continue };
                    groups.retain(|group| group != identity);
                    if groups.is_empty() {
                        self.by_key.remove(key);
                    }
                }
            }
        }
    }
}

/// What a step found.
#[derive(Debug, Default)]
pub struct Touched {
    pub groups: HashSet<Identity>,
    /// Groups that read what was written, but that no changed row led to.
    pub spared: u64,
}

#[derive(Debug, Default)]
pub struct Families {
    by_template: HashMap<TemplateId, Family>,
    /// By the lower-case tables they read; those that every commit may touch are under `""`.
    by_table: HashMap<Box<str>, HashSet<TemplateId>>,
}

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
                signposts: template.routes.iter().map(|_| Signpost::default()).collect(),
            }
        });
        if family.groups.insert(query.identity.clone()) {
            for (route, signpost) in family.template.routes.iter().zip(&mut family.signposts) {
                signpost.add(&route.keys(&query.params), &query.identity);
            }
        }
    }

    pub fn remove(&mut self, query: &Query) {
        let Some(family) = self.by_template.get_mut(&query.template.id) else { return };
        if family.groups.remove(&query.identity) {
            for (route, signpost) in family.template.routes.iter().zip(&mut family.signposts) {
                signpost.remove(&route.keys(&query.params), &query.identity);
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

    /// Adds the groups that a change set may matter to.
    pub fn find_touched(&self, set: &ChangeSet, touched: &mut Touched) {
        let Extent::Rows(rows) = &set.extent else {
            touched.groups.extend(self.by_template.values().flat_map(|family| family.groups.iter().cloned()));
            return;
        };
        let written = rows.shapes.iter().map(|shape| query::lower(&shape.table));
        let opaque = rows.opaque.iter().map(|table| Cow::Borrowed(&**table));
        let mut seen = HashSet::new();
        for table in written.chain(opaque).chain([Cow::Borrowed("")]) {
            for template in self.by_table.get(&*table).into_iter().flatten() {
                if seen.insert(*template) {
                    self.by_template[template].find_touched(rows, touched);
                }
            }
        }
    }
}

impl Family {
    fn find_touched(&self, rows: &Rows, touched: &mut Touched) {
        let before = touched.groups.len();
        let reads = &self.template.reads;
        let mut is_read = reads.is_touched_as_a_whole(rows);
        if is_read {
            touched.groups.extend(self.groups.iter().cloned());
        }
        for (index, shape) in rows.shapes.iter().enumerate() {
            if !reads.is_touched_in(rows, index) {
                continue;
            }
            is_read = true;
            let route = self.template.routes.iter().position(|route| route.is_of(&shape.table));
            let signpost = route.map(|route| (&self.template.routes[route], &self.signposts[route]));
            match signpost {
                Some((route, signpost)) if route.fits(shape) => {
                    touched.groups.extend(signpost.always.iter().cloned());
                    for key in route.keys_of_rows(rows, index) {
                        touched.groups.extend(signpost.by_key.get(&key).into_iter().flatten().cloned());
                    }
                }
                _ => touched.groups.extend(self.groups.iter().cloned()),
            }
        }
        if is_read {
            let found = touched.groups.len() - before;
            touched.spared += self.groups.len().saturating_sub(found) as u64;
        }
    }
}

/// Under which names a family is found when something changes.
fn tables(template: &Template) -> Vec<Box<str>> {
    let reads = &template.reads;
    if reads.is_everything() { vec!["".into()] } else { reads.tables().map(Into::into).collect() }
}
