//! The views through which a role sees and changes a table's rows: temporary, made on each connection when first needed.
//!
//! A caller's statement never names a table itself: [`super::translate`] puts these views in the tables' places. Policies
//! stand in them as written; their sub-queries see every row.

use super::Access;
use super::policy::{Action, Policy};
use super::principal::Role;
use crate::sqlite::exclude::quoted;
use crate::sqlite::schema::{Address, Relation, Table};

/// What a view is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The rows a role may see; SQLite merges it with the statement.
    See,
    /// The same behind a barrier: nothing of the statement is tried on a row that is not seen.
    Wall,
    /// The keys of rows that are seen and may be updated.
    Update,
    /// The keys of rows that are seen and may be deleted.
    Delete,
    /// The keys of rows that are seen, whatever may be done with them: for a rehearsal.
    Seen,
}

/// One such view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    pub kind: Kind,
    pub role: Role,
    /// Its name as the schema has it.
    pub table: Box<str>,
    /// Of an update: which policies grant the columns that are set, by their place among all.
    pub policies: Vec<usize>,
}

/// Begins the names of key columns in views of keys.
pub const KEY: &str = "_tide_key";

impl Sight {
    pub fn name(&self) -> String {
        let kind = match self.kind {
            Kind::See => "see",
            Kind::Wall => "wall",
            Kind::Update => "update",
            Kind::Delete => "delete",
            Kind::Seen => "seen",
        };
        let mut name = format!("_tide_{kind}_{}", self.role.name());
        name.push('_');
        if !self.policies.is_empty() {
            // Ends at the first underscore, so no two have one name.
            let policies: Vec<String> = self.policies.iter().map(usize::to_string).collect();
            name.push_str(&policies.join(","));
            name.push('_');
        }
        name.push_str(&self.table);
        name
    }

    /// The statement that makes it.
    pub fn sql(&self, access: &Access) -> String {
        let seen: Vec<&Policy> = access.policies_for(&self.table, Action::Select, self.role).collect();
        let seen_when = any_of(seen.iter().map(|policy| policy.using_sql()));
        let table = quoted(&self.table);
        let (shown, when) = match self.kind {
            Kind::Seen => (keys(access, &self.table), seen_when),
            Kind::See | Kind::Wall => (shown(access, &self.table, &seen), seen_when),
            Kind::Update => {
                let granting = self.policies.iter().filter_map(|&index| access.policies.get(index));
                (keys(access, &self.table), format!("{seen_when} AND {}", any_of(granting.map(Policy::using_sql))))
            }
            Kind::Delete => {
                let granting = access.policies_for(&self.table, Action::Delete, self.role);
                (keys(access, &self.table), format!("{seen_when} AND {}", any_of(granting.map(Policy::using_sql))))
            }
        };
        let barrier = if self.kind == Kind::Wall { " LIMIT -1" } else { "" };
        format!("CREATE TEMP VIEW {} AS SELECT {shown} FROM main.{table} WHERE {when}{barrier}", quoted(&self.name()))
    }
}

/// Alternatives; none of them is no.
pub fn any_of(conditions: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = conditions.collect();
    if all.is_empty() { "(false)".into() } else { format!("({})", all.join(" OR ")) }
}

/// The columns that the policies grant. One that not all of them grant is shown where one that does lets the row pass,
/// and is NULL elsewhere.
fn shown(access: &Access, table: &str, seen: &[&Policy]) -> String {
    if seen.iter().all(|policy| policy.columns.is_none()) {
        return "*".into();
    }
    let column = |name: &str| {
        let granting: Vec<&&Policy> = seen.iter().filter(|policy| policy.grants(name)).collect();
        let quoted = quoted(name);
        if granting.len() == seen.len() {
            return Some(quoted);
        }
        let when = any_of(granting.iter().map(|policy| policy.using_sql()));
        (!granting.is_empty()).then(|| format!("CASE WHEN {when} THEN {quoted} END AS {quoted}"))
    };
    access.columns(table).iter().filter_map(|name| column(name)).collect::<Vec<_>>().join(", ")
}

fn keys(access: &Access, table: &str) -> String {
    let Some(Relation::Table(table)) = access.schema.get(table) else { return "NULL".into() };
    let named = |(number, name): (usize, String)| format!("{name} AS {KEY}{number}");
    key_columns(table).into_iter().enumerate().map(named).collect::<Vec<_>>().join(", ")
}

/// The columns that name a row, as SQL; none if nothing does.
pub fn key_columns(table: &Table) -> Vec<String> {
    match &table.address {
        Address::Rowid(name) if ["rowid", "_rowid_", "oid"].contains(&&**name) => vec![name.to_string()],
        Address::Rowid(name) => vec![quoted(name)],
        Address::Key => table.key.iter().map(|&column| quoted(&table.columns[column].name)).collect(),
        Address::None => Vec::new(),
    }
}
