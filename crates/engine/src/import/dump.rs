//! A script of SQL: a dump of ours, of SQLite's shell, or any other. It runs as the administrator's SQL does, so it can neither attach a
//! file nor load an extension nor write a schema by hand; what dumps have in them for the sake of a shell is understood:
//!
//! | statement | here |
//! |---|---|
//! | BEGIN, COMMIT | passed over: all of it is one transaction |
//! | `PRAGMA foreign_keys`, `writable_schema`, `encoding` | passed over; references are judged when all rows are there |
//! | a row for `sqlite_schema` that makes a virtual table | the CREATE VIRTUAL TABLE in it |
//! | rows of `sqlite_sequence` | in the place of those that these tables have by now |
//! | whatever Tidebase keeps for itself (`_tide…`) | passed over; collections of documents become collections again |

use super::insert::literals;
use super::loader::Loader;
use super::statements::Statements;
use super::{Failure, Report};
use crate::documents;
use crate::error::Result;
use crate::sqlite::exclude::unquoted;
use crate::sqlite::gate::is_system;
use crate::sqlite::tokens::{Class, Kind, Token, class, tokens};
use crate::value::Value;
use std::collections::BTreeSet;
use std::io::Read;

/// Looked at to see what a statement is: `CREATE UNIQUE INDEX IF NOT EXISTS main . "x" ON`.
const WORDS: usize = 12;

/// What is to be done with a statement.
enum Plan {
    Run,
    PassOver,
    /// Kept by Tidebase itself.
    Ours,
    /// The trigger that makes a collection of a table.
    Collection(String),
    /// Makes a virtual table, whose shadow tables get rows of the script.
    Virtual {
        name: String,
        sql: Option<String>,
    },
}

/// What is left to do when the script has been read.
#[derive(Default)]
struct Afterwards {
    collections: BTreeSet<String>,
    makes_keys: bool,
}

pub fn load(loader: &mut Loader<'_>, from: impl Read, statement_bytes_max: usize) -> Result<Report> {
    let mut statements = Statements::new(from, statement_bytes_max);
    let (mut report, mut afterwards) = (Report::default(), Afterwards::default());
    while let Some(sql) = statements.read()? {
        let done = apply(loader, sql, &mut report, &mut afterwards);
        if let Err(error) = done {
            let what = sql.chars().take(Failure::TEXT_MAX).collect();
            let line = statements.line();
            report.fail(loader, Failure { at: format!("line {line}"), what, error })?;
        }
        loader.heard(report.done + report.failed)?;
    }
    finish(loader, &afterwards)?;
    Ok(report)
}

fn apply(loader: &mut Loader<'_>, sql: &str, report: &mut Report, afterwards: &mut Afterwards) -> Result<()> {
    if let Some(row) = literals(sql) {
        let table = table_of(row.head);
        if let Some(table) = &table {
            if is_system(table) {
                report.passed_over += 1;
                return Ok(());
            }
            if is_schema(table) {
                return make_virtual(loader, &row.values, report);
            }
            if table.eq_ignore_ascii_case("sqlite_sequence")
                && let [.., name, sequence] = &row.values[..]
            {
                report.done += 1;
                return loader.set_sequence(name, sequence);
            }
        }
        loader.insert(row.head, &row.values)?;
        report.done += 1;
        return Ok(());
    }
    match plan(sql) {
        Plan::PassOver => {}
        Plan::Ours => report.passed_over += 1,
        Plan::Collection(table) => {
            report.passed_over += 1;
            afterwards.collections.insert(table);
        }
        Plan::Virtual { name, sql: made } => {
            loader.run(made.as_deref().unwrap_or(sql))?;
            report.done += 1;
            loader.empty_shadows(&name)?;
        }
        Plan::Run => {
            loader.run(sql)?;
            report.done += 1;
            afterwards.makes_keys |= makes_keys(sql);
        }
    }
    Ok(())
}

/// A row of `sqlite_schema` as SQLite's shell writes it: `('table', name, name, 0, 'CREATE VIRTUAL TABLE …')`.
fn make_virtual(loader: &mut Loader<'_>, row: &[Value], report: &mut Report) -> Result<()> {
    if let [_, Value::Text(_), _, _, Value::Text(sql)] = row
        && let Ok(sql) = str::from_utf8(sql)
        && let Plan::Virtual { name, .. } = plan(sql)
    {
        loader.run(sql)?;
        loader.empty_shadows(&name)?;
        report.done += 1;
        return Ok(());
    }
    // SQLite's own refusal.
    loader.run("INSERT INTO sqlite_schema VALUES (NULL, NULL, NULL, NULL, NULL)")
}

fn plan(sql: &str) -> Plan {
    let words: Vec<Token<'_>> = tokens(sql).take(WORDS).collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|token| token.is(word));
    match class(sql) {
        Class::Begin | Class::Commit => return Plan::PassOver,
        _ if is(0, "pragma") => {
            let passed_over = ["foreign_keys", "writable_schema", "encoding", "defer_foreign_keys"];
            return if passed_over.iter().any(|name| is(1, name)) { Plan::PassOver } else { Plan::Run };
        }
        _ if is(0, "delete") && is(2, "sqlite_sequence") && words.len() == 3 => return Plan::PassOver,
        _ => {}
    }
    if is(0, "create") {
        let Some((name, kind)) = created(&words) else { return Plan::Run };
        return match name.strip_prefix(documents::TRIGGER) {
            Some(table) if kind == "trigger" => Plan::Collection(table.to_owned()),
            _ if is_system(&name) => Plan::Ours,
            _ if kind == "virtual" => Plan::Virtual { name, sql: None },
            _ => Plan::Run,
        };
    }
    let target = if is(0, "insert") || is(0, "delete") { words.get(2) } else { None };
    match target.and_then(name_of) {
        Some(name) if is_system(&name) => Plan::Ours,
        _ => Plan::Run,
    }
}

/// The name of what a CREATE statement makes, and whether it is a `virtual` table, a `trigger` or something else.
fn created(words: &[Token<'_>]) -> Option<(String, &'static str)> {
    let kind = if words.get(1)?.is("virtual") {
        "virtual"
    } else if words[1].is("trigger") {
        "trigger"
    } else {
        "other"
    };
    let skipped = ["create", "virtual", "unique", "table", "index", "trigger", "view", "if", "not", "exists"];
    let at = words.iter().position(|token| !token.is_any(&skipped))?;
    let at = if words.get(at + 1).is_some_and(|token| token.is_punctuation(b'.')) { at + 2 } else { at };
    Some((name_of(words.get(at)?)?, kind))
}

fn name_of(token: &Token<'_>) -> Option<String> {
    match token.kind {
        Kind::Word | Kind::Quoted => Some(unquoted(token.text)),
        // SQLite takes a string for a name where one is wanted.
        Kind::Text => Some(token.text.trim_matches('\'').replace("''", "'")),
        _ => None,
    }
}

fn table_of(head: &str) -> Option<String> {
    name_of(&tokens(head).nth(2)?)
}

fn is_schema(table: &str) -> bool {
    ["sqlite_schema", "sqlite_master"].iter().any(|name| table.eq_ignore_ascii_case(name))
}

fn makes_keys(sql: &str) -> bool {
    let words: Vec<Token<'_>> = tokens(sql).take(WORDS).collect();
    words.first().is_some_and(|first| first.is("create"))
        && created(&words).is_some_and(|(name, _)| name.eq_ignore_ascii_case(crate::keys::TABLE))
}

fn finish(loader: &mut Loader<'_>, afterwards: &Afterwards) -> Result<()> {
    for table in &afterwards.collections {
        loader.make_collection(table)?;
    }
    if afterwards.makes_keys {
        // Stamped as what they are: written now.
        loader.own("UPDATE kv SET revision = NULL")?;
    }
    Ok(())
}
