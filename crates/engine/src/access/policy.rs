//! One policy: what a role may do with which rows of a table.
//!
//! Kept in `_tide_policies`, one row each. Several on one table and action are alternatives: a row passes if one of them
//! lets it. Without any the table is closed to everyone but the administrator.

use super::asking::spoken_functions;
use super::messages;
use super::principal::Role;
use crate::documents;
use crate::error::{Error, Result};
use crate::logs::AuditEntry;
use crate::sqlite::Sqlite;
use crate::sqlite::exclude::quoted;
use crate::sqlite::gate::{Mode, is_system};
use crate::sqlite::schema::{Relation, Schema};
use crate::sqlite::tokens::{Kind, Token, tokens};
use rusqlite::Connection;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Bytes of a name, and of an expression.
const NAME_BYTES_MAX: usize = 200;
const EXPRESSION_BYTES_MAX: usize = 16 << 10;
/// Of all tables together.
pub const POLICIES_MAX: usize = 2000;

/// What is done with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Select,
    Insert,
    Update,
    Delete,
    All,
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::All => "all",
        }
    }

    fn covers(self, action: Self) -> bool {
        self == action || self == Self::All
    }
}

/// As it is sent and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub name: String,
    pub table: String,
    pub action: Action,
    /// None is any of them.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "role_or_any")]
    pub role: Option<Role>,
    /// Which rows that exist, an SQL expression over the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub using: Option<String>,
    /// Which rows may be written; without it `using` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// The columns it is for; none is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
}

/// `"any"` is none of them in particular.
fn role_or_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Role>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    let named = |name: String| {
        let unknown = || D::Error::custom("\"role\" is \"client\", \"user\", \"anonymous\" or \"any\"");
        Role::named(&name).ok_or_else(unknown)
    };
    name.filter(|name| name != "any").map(named).transpose()
}

impl Policy {
    /// What can be said without the schema.
    ///
    /// # Errors
    /// `invalid`, saying what to change.
    pub fn check_form(&self) -> Result<()> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || self.name.contains('/') {
            return Err(Error::invalid(format!("A policy's \"name\" has 1 to {NAME_BYTES_MAX} bytes and no slash.")));
        }
        if self.name == "explain" {
            return Err(Error::invalid(
                "The name \"explain\" is taken: POST /policies/explain tells what policies do.",
            ));
        }
        let wants_using = !matches!(self.action, Action::Insert);
        if wants_using && self.using.is_none() {
            return Err(Error::invalid(format!(
                "A policy for {} needs \"using\": which rows that exist it is for. \"true\" means all of them.",
                self.action.name()
            )));
        }
        if self.action == Action::Insert && self.using.is_some() {
            return Err(Error::invalid(
                "A policy for insert has \"check\", which judges the new row; there is no row yet for \"using\".",
            ));
        }
        if self.action == Action::Insert && self.check.is_none() {
            return Err(Error::invalid(
                "A policy for insert needs \"check\": which new rows it lets in. \"true\" means all of them.",
            ));
        }
        if matches!(self.action, Action::Select | Action::Delete) && self.check.is_some() {
            return Err(Error::invalid("\"check\" judges rows as they are written; it is for insert, update and all."));
        }
        if self.columns.is_some() && self.action == Action::Delete {
            return Err(Error::invalid("A row is deleted whole: \"columns\" is for select, insert and update."));
        }
        if self.columns.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::invalid("\"columns\" names at least one column; without it all are meant."));
        }
        [&self.using, &self.check].into_iter().flatten().try_for_each(|expression| check_expression(expression))
    }

    pub fn is_for(&self, table: &str, action: Action, role: Role) -> bool {
        self.table.eq_ignore_ascii_case(table) && self.action.covers(action) && self.role.is_none_or(|its| its == role)
    }

    pub fn grants(&self, column: &str) -> bool {
        self.columns.as_ref().is_none_or(|columns| columns.iter().any(|its| its.eq_ignore_ascii_case(column)))
    }

    /// Which rows that exist, as SQL in parentheses.
    pub fn using_sql(&self) -> String {
        enclosed(self.using.as_deref().unwrap_or("false"))
    }

    /// Which rows may be written.
    pub fn check_sql(&self) -> String {
        enclosed(self.check.as_deref().or(self.using.as_deref()).unwrap_or("false"))
    }
}

/// NULL counts as no, and a comment at its end ends there.
fn enclosed(expression: &str) -> String {
    format!("({}\n)", spoken_functions(expression))
}

/// One expression and nothing else: what encloses it must stay around it.
fn check_expression(expression: &str) -> Result<()> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(Error::too_large(format!("A policy's expression may have {EXPRESSION_BYTES_MAX} bytes.")));
    }
    let mut depth = 0_i64;
    for token in tokens(expression) {
        match token.kind {
            Kind::Punctuation(b'(') => depth += 1,
            Kind::Punctuation(b')') if depth == 0 => {
                return Err(Error::invalid("A policy's expression closes a parenthesis that it has not opened."));
            }
            Kind::Punctuation(b')') => depth -= 1,
            Kind::Punctuation(b';') => {
                return Err(Error::invalid("A policy's expression is one expression, without a semicolon."));
            }
            Kind::Variable => {
                return Err(Error::invalid(
                    "A policy's expression has no parameters; auth.claim('…') tells of the caller.",
                ));
            }
            // A part's name would stand for the view in SQLite's questions about what is read.
            Kind::Word if token.is("with") => {
                return Err(Error::invalid("A policy has no WITH: write its parts as sub-queries."));
            }
            _ if is_reserved(&token) => return Err(reserved()),
            _ => {}
        }
    }
    let is_blank = tokens(expression).next().is_none();
    if depth != 0 || is_blank || expression.contains('\0') {
        return Err(Error::invalid("A policy's expression is one whole SQL expression over the row."));
    }
    Ok(())
}

/// Names of ours, however they are quoted.
pub fn is_reserved(token: &Token<'_>) -> bool {
    let name = token.text.trim_start_matches(['"', '`', '[', '\'']);
    token.kind != Kind::Number && name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("_tide"))
}

pub fn reserved() -> Error {
    Error::forbidden("Names that begin with _tide are Tidebase's own.")
}

/// What can be done with policies.
#[derive(Clone, Debug)]
pub enum PolicyWrite {
    /// In place of one of the same name.
    Keep(Policy),
    /// By name.
    Drop(String),
}

impl PolicyWrite {
    pub fn audited(&self, who: &str) -> AuditEntry {
        match self {
            Self::Keep(policy) => AuditEntry::new(who, "policy kept", serde_json::json!(policy)),
            Self::Drop(name) => AuditEntry::new(who, "policy dropped", serde_json::json!({ "name": name })),
        }
    }
}

/// Does it, on the writer's connection. Gives the JSON of the answer.
///
/// # Errors
/// `invalid` in SQLite's words for an expression that does not fit the table, `not_found` without table or policy.
pub fn run(sqlite: &mut Sqlite, schema: &Schema, write: &PolicyWrite) -> Result<Vec<u8>> {
    match write {
        PolicyWrite::Keep(policy) => {
            policy.check_form()?;
            check_fit(sqlite, schema, policy)?;
            let count: i64 = sqlite.own.query_row("SELECT count(*) FROM _tide_policies", [], |row| row.get(0))?;
            if count >= POLICIES_MAX as i64 {
                return Err(Error::too_many(format!("There are {POLICIES_MAX} policies, all there may be.")));
            }
            keep(&sqlite.own, policy)?;
            Ok(serde_json::json!(policy).to_string().into())
        }
        PolicyWrite::Drop(name) => {
            let dropped = sqlite.own.execute("DELETE FROM _tide_policies WHERE name = ?1", [name])?;
            if dropped == 0 {
                return Err(Error::not_found(format!("There is no policy {name}.")));
            }
            Ok(b"true".to_vec())
        }
    }
}

/// Their answer is not the same whenever it is asked.
const FICKLE: [&str; 5] = ["random", "randomblob", "changes", "total_changes", "last_insert_rowid"];

fn check_fit(sqlite: &mut Sqlite, schema: &Schema, policy: &Policy) -> Result<()> {
    if policy.table.eq_ignore_ascii_case(messages::TABLE) {
        return messages::check_fit(sqlite, policy);
    }
    let table = match schema.get(&policy.table).filter(|_| !is_system(&policy.table)) {
        Some(Relation::Table(table)) => Some(table),
        Some(Relation::View) if policy.action == Action::Select => None,
        Some(Relation::View) => {
            return Err(Error::invalid("A view can be read, not written: its policies are for select."));
        }
        Some(_) => {
            return Err(Error::unsupported(
                "Virtual tables cannot be opened by policies; a view over one can, though without MATCH.",
            ));
        }
        None => return Err(Error::not_found(format!("There is no table {}.", policy.table))),
    };
    if let (Some(table), Some(columns)) = (table, &policy.columns) {
        let is_there = |name: &String| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        if let Some(unknown) = columns.iter().find(|name| !is_there(name)) {
            return Err(Error::invalid(format!("There is no column {unknown} in {}.", policy.table)));
        }
    }
    if let Some(table) = table.filter(|table| documents::is_collection(table))
        && let Some(columns) = policy.columns.as_ref().filter(|_| matches!(policy.action, Action::Select | Action::All))
    {
        let names = |wanted: &&str| columns.iter().any(|column| column.eq_ignore_ascii_case(wanted));
        let parts = ["parent", "id", "data", "revision"];
        let has = |part: &&str| table.columns.iter().any(|column| &*column.name == *part);
        let missing: Vec<&str> = parts.into_iter().filter(has).filter(|part| !names(part)).collect();
        if !missing.is_empty() {
            return Err(Error::invalid(format!(
                "{} is a collection, and a document is shown as a whole: name {}, too, among \"columns\", or leave them out.",
                policy.table,
                missing.join(" and ")
            )));
        }
    }
    if table.is_some_and(|table| super::sight::key_columns(table).is_empty()) {
        return Err(Error::unsupported(
            "Columns take all names of this table's rowid, so its rows cannot be told one by one.",
        ));
    }
    let of_columns = policy.columns.iter().flatten().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    let shown = if of_columns.is_empty() { "1".into() } else { of_columns };
    for (name, expression) in [("using", policy.using_sql()), ("check", policy.check_sql())] {
        let sql = format!("SELECT {shown} FROM main.{} WHERE {expression}", quoted(&policy.table));
        check_question(sqlite, name, &sql)?;
    }
    Ok(())
}

/// Does SQLite understand what a policy asks, and does it answer the same each time? `name` is the expression's.
pub(super) fn check_question(sqlite: &mut Sqlite, name: &str, sql: &str) -> Result<()> {
    sqlite.take_reads();
    let prepared = sqlite.prepare(sql, Mode::Live);
    let reads = sqlite.take_reads();
    prepared.map_err(|error| Error { message: format!("\"{name}\": {}", error.message), ..error })?;
    match FICKLE.iter().find(|fickle| reads.functions.contains(**fickle)) {
        Some(fickle) => {
            Err(Error::invalid(format!("\"{name}\" asks {fickle}(), which gives another answer each time.")))
        }
        None => Ok(()),
    }
}

/// All of a file, by name.
pub fn load(connection: &Connection) -> Result<Vec<Policy>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, \"table\", action, role, \"using\", \"check\", columns FROM _tide_policies ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, Option<String>>(3)?,
            row.get(4)?,
            row.get(5)?,
            row.get::<_, Option<String>>(6)?,
        ))
    })?;
    let mut policies = Vec::new();
    for row in rows {
        let (name, table, action, role, using, check, columns) = row?;
        // What cannot be read must not open anything: the whole load fails.
        let odd = || Error::internal(format!("the policy {name} in _tide_policies cannot be read"));
        let action = serde_json::from_value(action.into()).map_err(|_| odd())?;
        let role = role.map(|role| Role::named(&role).ok_or_else(odd)).transpose()?;
        let columns = columns.map(|columns| serde_json::from_str(&columns).map_err(|_| odd())).transpose()?;
        policies.push(Policy { name, table, action, role, using, check, columns });
    }
    Ok(policies)
}

pub(crate) fn keep(connection: &Connection, policy: &Policy) -> Result<()> {
    let columns = policy.columns.as_ref().map(|columns| serde_json::json!(columns).to_string());
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO _tide_policies (name, \"table\", action, role, \"using\", \"check\", columns)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            &policy.name,
            &policy.table,
            policy.action.name(),
            policy.role.map(Role::name),
            &policy.using,
            &policy.check,
            columns,
        ))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn using(expression: &str) -> Policy {
        Policy {
            name: "p".into(),
            table: "t".into(),
            action: Action::Select,
            role: None,
            using: Some(expression.into()),
            check: None,
            columns: None,
        }
    }

    #[test]
    fn an_expression_cannot_leave_its_parentheses() {
        for good in ["true", "owner = auth.uid()", "a IN (SELECT b FROM c) -- why", "(a) OR (b)", "name = ')'"] {
            assert!(using(good).check_form().is_ok(), "{good}");
        }
        for bad in
            ["", " -- nothing", "1) OR (1", "(a", "a; b", "a = ?1", "a = :b", "_tide_meta", "\"_TIDE_x\"", "a\0b"]
        {
            assert!(using(bad).check_form().is_err(), "{bad}");
        }
    }
}
