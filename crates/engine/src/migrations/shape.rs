//! What a database is made of besides its rows: tables, indexes, views, triggers, collections and policies, as they can be compared.
//!
//! What Tidebase keeps or makes by itself, and how virtual tables keep what they show, is left out.

use crate::access::policy::{self, Policy};
use crate::documents::TRIGGER;
use crate::error::Result;
use crate::export::shadow;
use crate::keys;
use crate::sqlite::exclude::{quoted, unquoted};
use crate::sqlite::gate::is_system;
use crate::sqlite::tokens::{Kind, tokens};
use rusqlite::Connection;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// In the order in which they were made. Also asked of a running server.
pub const OBJECTS: &str = "SELECT type, name, tbl_name, sql FROM sqlite_schema
    WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid";

/// A row of `sqlite_schema`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Object {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    #[serde(rename = "tbl_name")]
    pub table: String,
    pub sql: String,
}

#[derive(Clone, Debug, Default)]
pub struct Shape {
    pub objects: Vec<Object>,
    /// Tables that are collections of documents.
    pub collections: BTreeSet<String>,
    pub policies: Vec<Policy>,
}

impl Object {
    pub fn is_table(&self) -> bool {
        self.kind == "table"
    }

    pub fn is_virtual(&self) -> bool {
        self.is_table() && shadow::is_virtual(&self.sql)
    }

    pub fn same(&self, other: &Self) -> bool {
        self.table.eq_ignore_ascii_case(&other.table) && words(&self.sql) == words(&other.sql)
    }

    /// Does its SQL say one of these names?
    pub fn mentions(&self, names: &BTreeSet<String>) -> bool {
        words(&self.sql).iter().any(|word| names.contains(&word.to_ascii_lowercase()))
    }

    pub fn dropped(&self) -> String {
        format!("DROP {} {}", self.kind.to_ascii_uppercase(), quoted(&self.name))
    }
}

impl Shape {
    /// # Errors
    /// SQLite's own, and `internal` for policies that cannot be read.
    pub fn read(connection: &Connection) -> Result<Self> {
        let objects = objects(connection)?;
        let has_policies = objects.iter().any(|object| object.name == "_tide_policies");
        let policies = if has_policies { policy::load(connection)? } else { Vec::new() };
        Self::of(objects, policies)
    }

    /// # Errors
    /// SQLite's own, of virtual tables.
    pub fn of(mut objects: Vec<Object>, mut policies: Vec<Policy>) -> Result<Self> {
        let shadows = shadow::all(objects.iter().map(|object| (object.name.as_str(), object.sql.as_str())))?;
        let collections = objects.iter().filter(|object| object.kind == "trigger");
        let collections =
            collections.filter_map(|trigger| trigger.name.strip_prefix(TRIGGER)).map(str::to_owned).collect();
        objects.retain(|object| {
            let is_shadow = object.is_table() && shadows.contains(&object.name);
            !(is_system(&object.name) || is_system(&object.table) || is_shadow)
        });
        // The server makes it by itself, at the first key.
        let keys = layout_of_keys()?;
        if keys
            .iter()
            .any(|ours| objects.iter().any(|object| object.is_table() && object.name == ours.name && object.same(ours)))
        {
            objects.retain(|object| !keys.iter().any(|ours| object.name == ours.name && object.same(ours)));
        }
        for expression in policies.iter_mut().flat_map(|policy| [&mut policy.using, &mut policy.check]).flatten() {
            *expression = expression.trim().to_owned();
        }
        Ok(Self { objects, collections, policies })
    }

    pub fn find(&self, kind: &str, name: &str) -> Option<&Object> {
        self.objects.iter().find(|object| object.kind == kind && object.name == name)
    }

    pub fn tables(&self) -> impl DoubleEndedIterator<Item = &Object> {
        self.objects.iter().filter(|object| object.is_table())
    }

    /// Indexes, views and triggers.
    pub fn others(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(|object| !object.is_table())
    }

    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.name == name)
    }

    /// The first thing in which they differ, or nothing.
    pub fn differs(&self, other: &Self) -> Option<String> {
        let (ours, theirs) = (self.comparable(), other.comparable());
        let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        names.into_iter().find(|name| ours.get(*name) != theirs.get(*name)).cloned()
    }

    fn comparable(&self) -> BTreeMap<String, Vec<String>> {
        let objects = self.objects.iter().map(|object| {
            let of = std::iter::once(object.table.to_ascii_lowercase());
            (format!("{} {}", object.kind, object.name), of.chain(words(&object.sql)).collect())
        });
        let collections = self.collections.iter().map(|name| (format!("collection {name}"), Vec::new()));
        let policies =
            self.policies.iter().map(|policy| (format!("policy {}", policy.name), vec![format!("{policy:?}")]));
        objects.chain(collections).chain(policies).collect()
    }
}

fn objects(connection: &Connection) -> Result<Vec<Object>> {
    let mut statement = connection.prepare(OBJECTS)?;
    let objects = statement.query_map([], |row| {
        Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
    })?;
    Ok(objects.collect::<rusqlite::Result<_>>()?)
}

/// The table of keys, as the server makes it.
fn layout_of_keys() -> Result<Vec<Object>> {
    let scratch = Connection::open_in_memory()?;
    keys::make(&scratch)?;
    objects(&scratch)
}

/// SQL without what does not matter: comments, blanks, and the quotes of names, which SQLite adds when something is renamed.
pub fn words(sql: &str) -> Vec<String> {
    let word = |kind: Kind, text: &str| if kind == Kind::Quoted { unquoted(text) } else { text.to_owned() };
    tokens(sql).map(|token| word(token.kind, token.text)).collect()
}
