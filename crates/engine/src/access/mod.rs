//! Who may see and change what: policies, and how they are enforced in all SQL of a caller.
//!
//! Three lines stand behind each other. [`translate`] puts views ([`sight`]) of what a role may see in the place of tables,
//! and conditions into writes. [`passage`] refuses, when SQLite compiles the result, whatever reaches a table otherwise.
//! [`admission`] compares the rows that a statement really changed with those it was admitted to, and judges what it left.
//! The administrator's SQL meets none of them: there are no objects with a table's name, no triggers, no rewriting.
//!
//! Who a token belongs to, the server knows; a [`Principal`] comes with every request.

pub mod admission;
pub mod asked;
pub mod asking;
pub mod functions;
pub mod messages;
pub mod passage;
pub mod policy;
pub mod principal;
pub mod reach;
pub mod sight;
pub mod statements;
pub mod translate;

pub use policy::{Action, Policy};
pub use principal::{Caller, Principal, Role};

use crate::error::Result;
use crate::keys;
use crate::sqlite::schema::{Relation, Schema, Table};
use crate::sqlite::tokens::tokens;
use asked::Asks;
use messages::Questions;
use passage::Tied;
use reach::Reach;
use rusqlite::Connection;
use sight::{Kind, Sight};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use translate::{Translated, named};

/// Statements whose translation is remembered; past it all are forgotten. Long ones are translated each time.
const TRANSLATED_MAX: usize = 4096;
const TRANSLATED_BYTES_MAX: usize = 4096;

type Statements = HashMap<Box<str>, Arc<Translated>>;

/// The policies in force, with the schema they are for. Never changed: a new one takes its place.
#[derive(Debug, Default)]
pub struct Access {
    /// Tells one from the next: what a connection has made for another must go.
    pub epoch: u64,
    pub policies: Vec<Policy>,
    pub schema: Arc<Schema>,
    /// Views and triggers, in lower case.
    trusted: Arc<HashSet<String>>,
    /// Everything in the schema that has a name, in lower case.
    names: HashSet<String>,
    /// What views, triggers and computed columns of the schema ask of a caller.
    pub asks: Asks,
    /// By lower-case table, what its foreign keys may touch.
    tied: HashMap<String, Arc<HashMap<String, Tied>>>,
    /// What is asked about topics.
    topics: Questions,
    /// What policies on topics, and those on keys, ask of the rest.
    pub topics_reach: Reach,
    pub keys_reach: Reach,
    /// By role.
    translated: Mutex<[Statements; 3]>,
}

impl Access {
    pub fn load(connection: &Connection, schema: Arc<Schema>) -> Result<Arc<Self>> {
        static EPOCH: AtomicU64 = AtomicU64::new(1);
        let policies = policy::load(connection)?;
        let mut list = connection.prepare("SELECT lower(name), type IN ('view', 'trigger') FROM main.sqlite_schema")?;
        let all: Vec<(String, bool)> =
            list.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let trusted = all.iter().filter(|(_, is_program)| *is_program).map(|(name, _)| name.clone()).collect();
        // Without policies nothing is open, and nobody asks what keys are tied to.
        let tied = if policies.is_empty() { HashMap::new() } else { ties(connection)? };
        let of_table = |table| policies.iter().filter(move |policy: &&Policy| policy.table.eq_ignore_ascii_case(table));
        Ok(Arc::new(Self {
            epoch: EPOCH.fetch_add(1, Ordering::Relaxed),
            trusted: Arc::new(trusted),
            names: all.into_iter().map(|(name, _)| name).collect(),
            asks: asked_by_schema(connection)?,
            tied,
            topics: messages::questions(&policies),
            topics_reach: Reach::of(of_table(messages::TABLE), &schema),
            keys_reach: Reach::of(of_table(keys::TABLE), &schema),
            translated: Mutex::default(),
            policies,
            schema,
        }))
    }

    /// # Errors
    /// As [`translate::translate`].
    pub fn translate(&self, role: Role, sql: &str) -> Result<Arc<Translated>> {
        let index = role as usize;
        if let Some(known) = self.translated.lock().unwrap_or_else(PoisonError::into_inner)[index].get(sql) {
            return Ok(Arc::clone(known));
        }
        let translated = Arc::new(translate::translate(self, role, sql)?);
        if sql.len() > TRANSLATED_BYTES_MAX {
            return Ok(translated);
        }
        let mut known = self.translated.lock().unwrap_or_else(PoisonError::into_inner);
        if known[index].len() >= TRANSLATED_MAX {
            known[index].clear();
        }
        known[index].insert(sql.into(), Arc::clone(&translated));
        Ok(translated)
    }

    pub fn policies_for(&self, table: &str, action: Action, role: Role) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(move |policy| policy.is_for(table, action, role))
    }

    /// The view through which the role sees the table; `None` if it is closed to it.
    fn sight(&self, kind: Kind, name: &str, role: Role) -> Option<Sight> {
        let table: Box<str> = match self.schema.get(name)? {
            Relation::Table(table) => table.name.clone(),
            Relation::View => name.to_ascii_lowercase().into(),
            Relation::Virtual(_) | Relation::Shadow(_) => return None,
        };
        let is_open =
            !crate::sqlite::gate::is_system(name) && self.policies_for(name, Action::Select, role).next().is_some();
        is_open.then(|| Sight { kind, role, table, policies: Vec::new() })
    }

    /// The table of a view, and whatever in its policies is the name of one; in lower case.
    fn tables_behind(&self, sight: &Sight) -> Vec<String> {
        let policies = self.policies.iter().filter(|policy| policy.table.eq_ignore_ascii_case(&sight.table));
        let texts = policies.filter_map(|policy| policy.using.as_deref());
        let words = texts.flat_map(tokens).map(|token| named(&token).to_ascii_lowercase());
        let own = std::iter::once(sight.table.to_ascii_lowercase());
        own.chain(words.filter(|word| self.schema.get(word).is_some())).collect()
    }

    /// Is the (lower-case) name taken by the schema?
    fn names(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Names of a table's columns; of a view, those that policies name.
    fn columns(&self, table: &str) -> Vec<String> {
        if let Some(Relation::Table(table)) = self.schema.get(table) {
            return table.columns.iter().map(|column| column.name.to_string()).collect();
        }
        let policies = self.policies.iter().filter(|policy| policy.table.eq_ignore_ascii_case(table));
        let mut columns: Vec<String> = Vec::new();
        for column in policies.filter_map(|policy| policy.columns.as_ref()).flatten() {
            if !columns.iter().any(|known| known.eq_ignore_ascii_case(column)) {
                columns.push(column.clone());
            }
        }
        columns
    }

    /// The columns, in lower case, that a write of the role may ask for in its table; none is all.
    fn readable(&self, table: &Table, role: Role) -> Option<HashSet<String>> {
        let seen: Vec<&Policy> = self.policies_for(&table.name, Action::Select, role).collect();
        if !seen.is_empty() && seen.iter().all(|policy| policy.columns.is_none()) {
            return None;
        }
        // A column that only some grant could be NULL in a view; here it would be shown.
        let is_granted = |name: &str| !seen.is_empty() && seen.iter().all(|policy| policy.grants(name));
        let columns = table.columns.iter().map(|column| column.name.to_ascii_lowercase());
        let mut readable: HashSet<String> = columns.filter(|name| is_granted(name)).collect();
        readable.extend(table.key.iter().map(|&column| table.columns[column].name.to_ascii_lowercase()));
        readable.extend(["rowid", "_rowid_", "oid"].map(str::to_owned));
        Some(readable)
    }

    /// The columns, in lower case, that a write of the role in this table may give back; none is all.
    pub fn told(&self, table: &str, role: Role) -> Option<HashSet<String>> {
        match self.schema.get(table) {
            Some(Relation::Table(table)) => self.readable(table, role),
            _ => Some(HashSet::new()),
        }
    }

    fn tied(&self, table: &str) -> Arc<HashMap<String, Tied>> {
        self.tied.get(&table.to_ascii_lowercase()).cloned().unwrap_or_default()
    }
}

fn asked_by_schema(connection: &Connection) -> Result<Asks> {
    let mut list = connection.prepare("SELECT sql FROM main.sqlite_schema WHERE sql LIKE '%auth_%'")?;
    let texts: Vec<String> = list.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(texts.iter().fold(Asks::default(), |asks, text| asks.and(&Asks::of(text))))
}

/// One column of a foreign key: child, its column, parent, its column (none if it is the primary key's).
type Link = (String, String, String, Option<String>);

/// What SQLite may touch to keep foreign keys in order, for each table that is written.
fn ties(connection: &Connection) -> Result<HashMap<String, Arc<HashMap<String, Tied>>>> {
    let mut list = connection.prepare(
        "SELECT lower(t.name), lower(f.\"from\"), lower(f.\"table\"), lower(f.\"to\")
         FROM main.sqlite_schema AS t, pragma_foreign_key_list(t.name) AS f WHERE t.type = 'table'",
    )?;
    let links: Vec<Link> = list
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let mut keys = connection.prepare("SELECT lower(name) FROM pragma_table_info(?1) WHERE pk")?;
    let mut ties = HashMap::new();
    let written: HashSet<&String> = links.iter().flat_map(|(child, _, parent, _)| [child, parent]).collect();
    for table in written {
        let mut tied: HashMap<String, Tied> = HashMap::new();
        // The table, and those whose rows may go with its rows.
        let mut following = vec![table.clone()];
        let mut at = 0;
        while let Some(parent) = following.get(at).cloned() {
            at += 1;
            for (child, column, ..) in links.iter().filter(|link| link.2 == parent) {
                let child_tied = tied.entry(child.clone()).or_default();
                child_tied.columns.insert(column.clone());
                child_tied.follows = true;
                if !following.contains(child) {
                    following.push(child.clone());
                }
            }
        }
        let is_near = |link: &&Link| following.contains(&link.0) || following.contains(&link.2);
        for (child, column, parent, to) in links.iter().filter(is_near) {
            tied.entry(child.clone()).or_default().columns.insert(column.clone());
            let parent_tied = tied.entry(parent.clone()).or_default();
            if let Some(to) = to {
                parent_tied.columns.insert(to.clone());
            } else {
                let primary = keys.query_map([parent], |row| row.get::<_, String>(0))?;
                parent_tied.columns.extend(primary.collect::<Result<Vec<_>, _>>()?);
            }
        }
        ties.insert(table.clone(), Arc::new(tied));
    }
    Ok(ties)
}
