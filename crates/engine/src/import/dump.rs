//! A script of SQL: a dump of ours, of SQLite's shell, or any other. It runs as the administrator's SQL does, so it can neither attach a
//! file nor load an extension nor write a schema by hand; what dumps have in them for the sake of a shell is understood:
//!
//! | statement | here |
//! |---|---|
//! | BEGIN, COMMIT | passed over: all of it is one transaction |
//! | `PRAGMA foreign_keys`, `writable_schema`, `encoding` | passed over; references are judged when all rows are there |
//! | rows of `sqlite_sequence` | in the place of those that these tables have by now |
//! | whatever Tidebase keeps for itself (`_tide…`) | passed over; collections of documents become collections again |

use super::insert::literals;
use super::loader::Loader;
use super::statements::Statements;
use super::{Failure, Report, STATEMENT_BYTES_MAX};
use crate::documents;
use crate::error::{Error, Result};
use crate::sqlite::exclude::unquoted;
use crate::sqlite::gate::is_system;
use crate::sqlite::tokens::{Class, Kind, Token, class, tokens};
use std::collections::BTreeSet;
use std::io::Read;

/// Looked at to see what a statement is: `CREATE UNIQUE INDEX IF NOT EXISTS main . "x" ON`.
const WORDS: usize = 12;

/// Does the script begin, as a dump does, with the word that references are not to be followed while it runs?
pub fn ignores_references(from: impl Read) -> bool {
    let mut statements = Statements::new(from, STATEMENT_BYTES_MAX);
    // What cannot be read is told when it is run.
    let first = statements.read(&|| Ok(())).ok().flatten().unwrap_or_default();
    let words: Vec<Token<'_>> = tokens(first).take(5).collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|token| token.text.eq_ignore_ascii_case(word));
    is(0, "pragma") && is(1, "foreign_keys") && is(2, "=") && (is(3, "off") || is(3, "0"))
}

/// What is to be done with a statement.
enum Plan {
    Run,
    PassOver,
    /// Kept by Tidebase itself.
    Ours,
    /// Somebody's own, with a name that is kept for Tidebase.
    Reserved(String),
    /// The trigger that makes a collection of a table.
    Collection(String),
}

/// What is left to do when the script has been read.
#[derive(Default)]
struct Afterwards {
    collections: BTreeSet<String>,
    had_keys: bool,
}

pub fn load(loader: &mut Loader<'_>, from: impl Read) -> Result<Report> {
    let mut statements = Statements::new(from, STATEMENT_BYTES_MAX);
    let mut report = Report::default();
    let mut afterwards = Afterwards { had_keys: loader.has_keys()?, ..Afterwards::default() };
    loop {
        let read = statements.read(&|| loader.look());
        let failed = match read {
            Ok(None) => break,
            Ok(Some(sql)) => apply(loader, sql, &mut report, &mut afterwards)
                .err()
                .map(|error| (sql.chars().take(Failure::TEXT_MAX).collect(), error)),
            Err(error) => Some((String::new(), error)),
        };
        if let Some((what, error)) = failed {
            let at = format!("line {}", statements.line());
            report.fail(loader, Failure { at, what, error })?;
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
                return Err(Error::unsupported(
                    "The script writes the schema by hand, as SQLite's shell does for virtual tables. Import the SQLite file itself, or \
                     what `tidebase export` makes of it.",
                ));
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
        Plan::Reserved(name) => {
            return Err(Error::forbidden(format!(
                "{name}: names that begin with _tide are kept for Tidebase. Give it another one where it comes from."
            )));
        }
        Plan::Ours => report.passed_over += 1,
        Plan::Collection(table) => {
            report.passed_over += 1;
            afterwards.collections.insert(table);
        }
        Plan::Run => {
            loader.run(sql)?;
            report.done += 1;
        }
    }
    Ok(())
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
        let Some(Created { name, kind }) = created(&words) else { return Plan::Run };
        return match name.strip_prefix(documents::TRIGGER) {
            Some(table) if kind.is("trigger") => Plan::Collection(table.to_owned()),
            _ if is_system(&name) && (kind.is("table") || is_on_system(sql)) => Plan::Ours,
            _ if is_system(&name) => Plan::Reserved(name),
            _ => Plan::Run,
        };
    }
    let target = if is(0, "insert") || is(0, "delete") { words.get(2) } else { None };
    match target.and_then(name_of) {
        Some(name) if is_system(&name) => Plan::Ours,
        _ => Plan::Run,
    }
}

/// What a CREATE statement makes.
struct Created<'a> {
    name: String,
    kind: Token<'a>,
}

fn created<'a>(words: &[Token<'a>]) -> Option<Created<'a>> {
    let kinds = ["table", "index", "trigger", "view"];
    let kind = words.iter().take(3).position(|token| token.is_any(&kinds))?;
    let has_if = words.get(kind + 1)?.is("if") && words.get(kind + 2)?.is("not");
    let at = if has_if { kind + 4 } else { kind + 1 };
    let at = if words.get(at + 1).is_some_and(|token| token.is_punctuation(b'.')) { at + 2 } else { at };
    Some(Created { name: name_of(words.get(at)?)?, kind: words[kind] })
}

/// Is it an index or a trigger of a table that Tidebase keeps?
fn is_on_system(sql: &str) -> bool {
    let mut words = tokens(sql).skip_while(|token| !token.is("on"));
    words.nth(1).as_ref().and_then(name_of).is_some_and(|table| is_system(&table))
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

fn finish(loader: &mut Loader<'_>, afterwards: &Afterwards) -> Result<()> {
    for table in &afterwards.collections {
        loader.make_collection(table)?;
    }
    if !afterwards.had_keys && loader.has_keys()? {
        loader.stamp_keys()?;
    }
    Ok(())
}
