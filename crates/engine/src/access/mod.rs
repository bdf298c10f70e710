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
pub mod spelling;
pub mod statements;
pub mod translate;

pub use policy::{Action, Policy};
pub use principal::{Caller, Principal, Role};

use crate::error::{Error, Result};
use crate::keys;
use crate::sqlite::exclude;
use crate::sqlite::schema::{Address, Relation, Schema, Table};
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

/// A view of the schema.
#[derive(Debug)]
struct View {
    columns: Vec<String>,
    /// What its text names, in lower case.
    relations: Vec<String>,
}

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
    /// By name in lower case.
    views: HashMap<String, View>,
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
            views: if policies.is_empty() { HashMap::new() } else { views(connection, &schema)? },
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

    /// What a sight shows, whatever in its policies is the name of a relation, and what stands behind those that are views; in
    /// lower case.
    fn relations_behind(&self, sight: &Sight) -> Vec<String> {
        let policies = self.policies.iter().filter(|policy| policy.table.eq_ignore_ascii_case(&sight.table));
        let texts = policies.filter_map(|policy| policy.using.as_deref());
        let mut behind: Vec<String> = texts.flat_map(|text| relations_named(text, &self.schema)).collect();
        behind.push(sight.table.to_ascii_lowercase());
        let mut at = 0;
        while let Some(relation) = behind.get(at) {
            let further = self.views.get(relation).into_iter().flat_map(|view| &view.relations);
            let further: Vec<String> = further.filter(|name| !behind.contains(name)).cloned().collect();
            behind.extend(further);
            at += 1;
        }
        behind
    }

    /// Is the (lower-case) name taken by the schema?
    fn names(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Names of a table's or a view's columns.
    fn columns(&self, relation: &str) -> Vec<String> {
        if let Some(Relation::Table(table)) = self.schema.get(relation) {
            return table.columns.iter().map(|column| column.name.to_string()).collect();
        }
        self.views.get(&relation.to_ascii_lowercase()).map(|view| view.columns.clone()).unwrap_or_default()
    }

    /// The columns, in lower case, that the role sees in every row it sees; none is all.
    fn granted(&self, table: &Table, role: Role) -> Option<HashSet<String>> {
        let seen: Vec<&Policy> = self.policies_for(&table.name, Action::Select, role).collect();
        if !seen.is_empty() && seen.iter().all(|policy| policy.columns.is_none()) {
            return None;
        }
        // A column that only some grant could be NULL in a view; here it would be shown.
        let is_granted = |name: &str| !seen.is_empty() && seen.iter().all(|policy| policy.grants(name));
        let columns = table.columns.iter().map(|column| column.name.to_ascii_lowercase());
        Some(columns.filter(|name| is_granted(name)).collect())
    }

    /// The columns, in lower case, that a write of the role may read in its table; none is all.
    fn readable(&self, table: &Table, role: Role) -> Option<HashSet<String>> {
        let mut readable = self.granted(table, role)?;
        readable.extend(names_of_rows(table));
        // SQLite says so of the rowid; a column that is called so cannot be told from it.
        if !table.columns.iter().any(|column| *column.name == *passage::ROWID) {
            readable.insert(passage::ROWID.to_owned());
        }
        Some(readable)
    }

    /// What of that its author may not say of rows that are there: what names a row, and is granted to nobody of the role.
    fn withheld(&self, table: &Table, role: Role) -> HashSet<String> {
        let Some(granted) = self.granted(table, role) else { return HashSet::new() };
        // The rowid is the key, if that is an integer.
        let is_key_seen =
            matches!(&table.address, Address::Rowid(name) if granted.contains(&name.to_ascii_lowercase()));
        let is_withheld = |name: &String| !(granted.contains(name) || is_key_seen && ROWIDS.contains(&name.as_str()));
        names_of_rows(table).filter(is_withheld).collect()
    }

    /// The columns, in lower case, that a write of the role may give back of a row that it makes; none is all.
    pub fn told(&self, table: &str, role: Role) -> Option<HashSet<String>> {
        match self.schema.get(table) {
            Some(Relation::Table(table)) => self.readable(table, role),
            _ => Some(HashSet::new()),
        }
    }

    /// May the role write the column, in some row?
    pub fn may_write(&self, table: &str, column: &str, role: Role) -> bool {
        let mut policies = self
            .policies
            .iter()
            .filter(|policy| policy.is_for(table, Action::Insert, role) || policy.is_for(table, Action::Update, role));
        policies.any(|policy| policy.grants(column))
    }

    /// The columns of a relation that the role sees, in some row.
    ///
    /// # Errors
    /// `forbidden` if the relation is closed to it, or is none.
    pub fn shown(&self, relation: &str, role: Role) -> Result<Vec<String>> {
        let seen: Vec<&Policy> = self.policies_for(relation, Action::Select, role).collect();
        let columns = self.columns(relation);
        if seen.is_empty() || columns.is_empty() {
            return Err(Error::forbidden(passage::closed(relation)));
        }
        Ok(columns.into_iter().filter(|column| seen.iter().any(|policy| policy.grants(column))).collect())
    }

    fn tied(&self, table: &str) -> Arc<HashMap<String, Tied>> {
        self.tied.get(&table.to_ascii_lowercase()).cloned().unwrap_or_default()
    }
}

const ROWIDS: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// The columns that name a row of the table, in lower case. A column may be called like the rowid, and is then a column like
/// others.
fn names_of_rows(table: &Table) -> impl Iterator<Item = String> {
    let keys = table.key.iter().map(|&column| table.columns[column].name.to_ascii_lowercase());
    let is_free = |name: &&str| !table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    keys.chain(ROWIDS.into_iter().filter(is_free).map(str::to_owned))
}

/// In lower case.
fn relations_named<'a>(sql: &'a str, schema: &'a Schema) -> impl Iterator<Item = String> + 'a {
    tokens(sql).map(|token| named(&token).to_ascii_lowercase()).filter(|word| schema.get(word).is_some())
}

fn views(connection: &Connection, schema: &Schema) -> Result<HashMap<String, View>> {
    let mut list = connection.prepare("SELECT name, sql FROM main.sqlite_schema WHERE type = 'view'")?;
    let all: Vec<(String, String)> =
        list.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let view = |(name, sql): (String, String)| {
        // One that no longer fits its tables has no columns.
        let columns = exclude::columns(connection, &name).unwrap_or_default();
        (name.to_ascii_lowercase(), View { columns, relations: relations_named(&sql, schema).collect() })
    };
    Ok(all.into_iter().map(view).collect())
}

fn asked_by_schema(connection: &Connection) -> Result<Asks> {
    let mut list = connection.prepare("SELECT sql FROM main.sqlite_schema WHERE sql LIKE '%auth_%'")?;
    let texts: Vec<String> = list.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(texts.iter().fold(Asks::default(), |asks, text| asks.and(&Asks::of(text))))
}

/// One column of a foreign key: child, its column, parent, its column (none if it is the primary key's).
type Link = (String, String, String, Option<String>);

/// The table of each trigger, and whatever may be the name of a table in it; in lower case.
fn triggered(connection: &Connection) -> Result<Vec<(String, HashSet<String>)>> {
    let mut list = connection.prepare("SELECT lower(tbl_name), sql FROM main.sqlite_schema WHERE type = 'trigger'")?;
    let triggers: Vec<(String, String)> =
        list.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let names = |sql: &str| tokens(sql).map(|token| named(&token).to_ascii_lowercase()).collect();
    Ok(triggers.into_iter().map(|(table, sql)| (table, names(&sql))).collect())
}

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
    let steps = triggered(connection)?;
    let mut ties = HashMap::new();
    let linked = links.iter().flat_map(|(child, _, parent, _)| [child, parent]);
    let written: HashSet<&String> = linked.chain(steps.iter().map(|(table, _)| table)).collect();
    for table in written {
        let mut tied: HashMap<String, Tied> = HashMap::new();
        // The table, those whose rows may go with its rows, and those that triggers write to.
        let mut following = vec![table.clone()];
        let mut at = 0;
        while let Some(parent) = following.get(at).cloned() {
            at += 1;
            let named = steps.iter().filter(|(on, _)| *on == parent).flat_map(|(_, names)| names);
            let leads_on = |name: &&String| {
                links.iter().any(|link| link.0 == **name || link.2 == **name) || steps.iter().any(|(on, _)| on == *name)
            };
            for name in named.filter(leads_on) {
                if !following.contains(name) {
                    following.push(name.clone());
                }
            }
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
