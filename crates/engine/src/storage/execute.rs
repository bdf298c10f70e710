//! Runs a caller's SQL on one connection and writes its result as JSON, straight from the columns.

use crate::access::admission::{self, Change};
use crate::access::asking::spoken_functions;
use crate::access::translate::Judgement;
use crate::access::{Access, Principal, Role};
use crate::changes::capture::Capture;
use crate::error::{Code, Error, Result};
use crate::json;
use crate::limits::Limits;
use crate::live::explain;
use crate::request::{Format, Sql, SqlRequest};
use crate::sqlite::gate::Mode;
use crate::sqlite::tokens::{self, Class};
use crate::sqlite::{Sqlite, Statement, exclude};
use crate::value::Params;
use std::borrow::Cow;
use std::cell::Cell;
use std::ops::ControlFlow;

/// StarbaseDB's words, which its clients compare.
pub const EMPTY_SQL: &str = "Invalid or empty \"sql\" field.";

/// Where the request is being run, and so what it may do there.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// On a reading connection: a statement that would write is not begun.
    Reader,
    Writer(&'a Capture),
}

/// Of a caller whom policies bind: its role, and the policies.
#[derive(Clone, Copy)]
pub struct Rights<'a> {
    pub access: &'a Access,
    pub role: Role,
}

impl<'a> Rights<'a> {
    pub fn of(principal: &Principal, access: &'a Access) -> Option<Self> {
        principal.caller().map(|caller| Self { access, role: caller.role })
    }
}

/// How a request is run.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    pub limits: &'a Limits,
    pub place: Place<'a>,
    /// None is the administrator.
    pub rights: Option<Rights<'a>>,
    /// Counts the rows of results, and those that are changed.
    pub rows: &'a Cell<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Ran {
    Done,
    /// Something in it writes; nothing was answered.
    NeedsWriter,
}

/// The statements of one `sql` field, BEGIN and COMMIT at its ends left out.
pub fn split(sql: &str) -> Result<Vec<&str>> {
    if sql.contains('\0') {
        // For SQLite the text would end there, and what follows would be passed over in silence.
        return Err(Error::invalid("The SQL has a NUL character in it."));
    }
    let mut parts: Vec<&str> = tokens::statements(sql).into_iter().map(|range| &sql[range]).collect();
    if parts.len() > 1 && parts.first().is_some_and(|part| tokens::class(part) == Class::Begin) {
        parts.remove(0);
        if parts.last().is_some_and(|part| tokens::class(part) == Class::Commit) {
            parts.pop();
        }
    }
    if parts.is_empty() { Err(Error::invalid(EMPTY_SQL)) } else { Ok(parts) }
}

/// Runs all statements, appending the `result` to `out`. The caller holds the transaction.
pub fn run(sqlite: &mut Sqlite, request: &SqlRequest, terms: Terms<'_>, out: &mut Vec<u8>) -> Result<Ran> {
    if !request.is_transaction {
        return match request.statements.as_slice() {
            [one] => run_one(sqlite, one, request.format, terms, out),
            _ => Err(Error::invalid(EMPTY_SQL)),
        };
    }
    out.push(b'[');
    for (index, statement) in request.statements.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let ran = run_one(sqlite, statement, request.format, terms, out).map_err(|e| e.at_statement(index))?;
        if ran == Ran::NeedsWriter {
            return Ok(ran);
        }
    }
    out.push(b']');
    Ok(Ran::Done)
}

fn run_one(sqlite: &mut Sqlite, statement: &Sql, format: Format, terms: Terms<'_>, out: &mut Vec<u8>) -> Result<Ran> {
    if statement.sql.len() > terms.limits.sql_bytes_max {
        return Err(Error::too_large(format!("The SQL text is longer than {} bytes.", terms.limits.sql_bytes_max)));
    }
    let sql = expanded(sqlite, &statement.sql, terms.rights)?;
    if terms.rights.is_none() && sqlite.has_cached(&sql) {
        return run_single(sqlite, &sql, &statement.params, Some((format, out)), terms);
    }
    let parts = split(&sql)?;
    let last = parts.len() - 1;
    for (index, part) in parts.into_iter().enumerate() {
        let params = if last == 0 { Cow::Borrowed(&statement.params) } else { share(part, &statement.params)? };
        let sink = (index == last).then_some((format, &mut *out));
        if run_single(sqlite, part, &params, sink, terms)? == Ran::NeedsWriter {
            return Ok(Ran::NeedsWriter);
        }
    }
    Ok(Ran::Done)
}

/// Macros and functions of ours as SQLite's, for whoever has these rights.
pub fn expanded<'a>(sqlite: &Sqlite, sql: &'a str, rights: Option<Rights<'_>>) -> Result<Cow<'a, str>> {
    let columns = |table: &str| match rights {
        Some(rights) => rights.access.shown(table, rights.role),
        None => exclude::columns(&sqlite.own, table),
    };
    Ok(match exclude::expand(sql, columns)? {
        Cow::Borrowed(sql) => spoken_functions(sql),
        Cow::Owned(sql) => Cow::Owned(spoken_functions(&sql).into_owned()),
    })
}

/// In a script of several statements the parameters serve each by name; by position only if none of them has any, for
/// it would not be clear whose they are.
fn share<'a>(part: &str, params: &'a Params) -> Result<Cow<'a, Params>> {
    match params {
        Params::None => Ok(Cow::Borrowed(params)),
        Params::Positional(values) if values.is_empty() => Ok(Cow::Owned(Params::None)),
        Params::Positional(_) => Err(Error::invalid(
            "Several statements cannot share parameters by position: name them (:a) or send a \"transaction\".",
        )),
        Params::Named(values) => {
            let names: Vec<String> = tokens::tokens(part)
                .filter(|token| token.kind == tokens::Kind::Variable)
                .map(|token| token.text.to_owned())
                .collect();
            let used = |given: &str| names.iter().any(|name| name == given || name.get(1..) == Some(given));
            Ok(Cow::Owned(Params::Named(values.iter().filter(|(name, _)| used(name)).cloned().collect())))
        }
    }
}

/// Runs one statement of whoever asks.
fn run_single(
    sqlite: &mut Sqlite,
    sql: &str,
    params: &Params,
    sink: Option<(Format, &mut Vec<u8>)>,
    terms: Terms<'_>,
) -> Result<Ran> {
    if let Some(rights) = terms.rights {
        // `WITH … DELETE` looks like a read until here; the function by which rows are admitted is the writer's alone.
        let writes = rights.access.translate(rights.role, sql)?.judgement.is_some();
        if writes && matches!(terms.place, Place::Reader) {
            return Ok(Ran::NeedsWriter);
        }
        return run_bound(sqlite, sql, rights, terms.place, |sqlite, sql| run_text(sqlite, sql, params, sink, terms));
    }
    if let Some(select) = explain::explained(sql) {
        let (rows, values) = explain::as_rows(explain::explain(sqlite, select, terms.limits)?);
        return run_text(sqlite, &rows, &Params::Positional(values), sink, terms);
    }
    run_text(sqlite, sql, params, sink, terms)
}

/// Runs a caller's statement by the three lines: `work` gets what it was translated to.
fn run_bound<T>(
    sqlite: &mut Sqlite,
    sql: &str,
    rights: Rights<'_>,
    place: Place<'_>,
    work: impl FnOnce(&mut Sqlite, &str) -> Result<T>,
) -> Result<T> {
    let translated = rights.access.translate(rights.role, sql)?;
    sqlite.pass(rights.access, &translated)?;
    let (Place::Writer(capture), Some(judgement)) = (place, &translated.judgement) else {
        return work(sqlite, &translated.sql);
    };
    capture.watch();
    let done = work(sqlite, &translated.sql);
    let watched = capture.take_watched();
    let done = done?;
    judge(sqlite, judgement, watched)?;
    Ok(done)
}

/// Runs one statement of ours as that of whoever asks, for a face that does not speak SQL: `row` is given each row until it has
/// enough. Gives how many rows were changed.
pub fn run_rows(
    sqlite: &mut Sqlite,
    sql: &str,
    params: &Params,
    rights: Option<Rights<'_>>,
    place: Place<'_>,
    row: &mut dyn FnMut(&Statement) -> ControlFlow<()>,
) -> Result<u64> {
    let mut run = |sqlite: &mut Sqlite, sql: &str| {
        let Some(mut statement) = sqlite.prepare(sql, Mode::Caller)? else { return Err(Error::invalid(EMPTY_SQL)) };
        let ran = statement.bind(params).and_then(|()| {
            while statement.step()? {
                if row(&statement).is_break() {
                    break;
                }
            }
            Ok(if statement.is_readonly() { 0 } else { sqlite.own.changes() })
        });
        sqlite.keep(sql, statement);
        ran
    };
    match rights {
        Some(rights) => run_bound(sqlite, sql, rights, place, run),
        None => run(sqlite, sql),
    }
}

/// A caller's statement has changed rows: only such as it was admitted to, and only into such as policies let be?
fn judge(sqlite: &mut Sqlite, judgement: &Judgement, watched: Option<Vec<admission::Touched>>) -> Result<()> {
    let Some(watched) = watched else {
        return Err(Error::too_large("The statement changes more rows than one of yours may."));
    };
    watched.iter().try_for_each(|touched| judge_one(sqlite, judgement, touched))
}

/// # Errors
/// `forbidden` for a row it was not admitted to, or that no policy lets be as it is now.
pub fn judge_one(sqlite: &Sqlite, judgement: &Judgement, touched: &admission::Touched) -> Result<()> {
    let name = &judgement.table.name;
    let (key, condition) = match &touched.change {
        _ if !touched.table.name.eq_ignore_ascii_case(name) => {
            return Err(Error::forbidden(format!("The statement would change {}, too.", touched.table.name)));
        }
        Change::Gone { is_admitted: true } => return Ok(()),
        Change::Made(key) => (key, &judgement.made),
        Change::Changed { key, is_admitted: true } => (key, &judgement.changed),
        Change::Gone { .. } | Change::Changed { .. } => {
            return Err(Error::forbidden(format!(
                "The statement would change a row of {name} that is not open to you."
            )));
        }
    };
    let is_allowed = match sqlite.answers(&judgement.question(condition), key) {
        // The policy fails on this row: what cannot be judged is not allowed.
        Err(error) if error.code == Code::Internal => {
            tracing::warn!(table = %name, %error, "a policy could not judge a row: it is refused");
            false
        }
        answer => answer?,
    };
    if !is_allowed {
        return Err(Error::forbidden(format!("No policy lets you leave such a row in {name}.")));
    }
    Ok(())
}

/// Runs a statement as it stands; without a sink its rows are read and dropped.
fn run_text(
    sqlite: &mut Sqlite,
    sql: &str,
    params: &Params,
    sink: Option<(Format, &mut Vec<u8>)>,
    terms: Terms<'_>,
) -> Result<Ran> {
    let limits = terms.limits;
    let Some(mut statement) = sqlite.prepare(sql, Mode::Caller)? else { return Err(Error::invalid(EMPTY_SQL)) };
    let done = if matches!(terms.place, Place::Reader) && !(statement.is_readonly() || statement.is_explain()) {
        Ok(Ran::NeedsWriter)
    } else {
        let changes_before = sqlite.own.total_changes();
        statement
            .bind(params)
            .and_then(|()| match sink {
                Some((format, out)) => write_result(sqlite, &mut statement, format, limits, out),
                None => drain(&mut statement, limits),
            })
            .map(|rows| {
                // With RETURNING they are the same rows.
                let changed = sqlite.own.total_changes() - changes_before;
                terms.rows.set(terms.rows.get() + changed.max(rows as u64));
                Ran::Done
            })
    };
    sqlite.keep(sql, statement);
    done
}

fn drain(statement: &mut Statement, limits: &Limits) -> Result<usize> {
    let mut rows = 0;
    while statement.step()? {
        rows += 1;
        if rows > limits.result_rows_max {
            return Err(too_many_rows(limits));
        }
    }
    Ok(rows)
}

fn too_many_rows(limits: &Limits) -> Error {
    Error::too_large(format!("The result has more than {} rows. Add a LIMIT.", limits.result_rows_max))
}

fn write_result(
    sqlite: &Sqlite,
    statement: &mut Statement,
    format: Format,
    limits: &Limits,
    out: &mut Vec<u8>,
) -> Result<usize> {
    let changes_before = sqlite.own.total_changes();
    let mut rows = 0;
    // The first step may compile the statement anew after a schema change, so the columns are asked for after it.
    let mut more = statement.step()?;
    let heads = match format {
        Format::Objects => object_heads(statement),
        Format::Raw => Vec::new(),
    };
    if format == Format::Raw {
        write_columns(statement, out);
    }
    out.push(b'[');
    while more {
        if rows > 0 {
            out.push(b',');
        }
        rows += 1;
        match format {
            Format::Objects => write_object(statement, &heads, out),
            Format::Raw => write_array(statement, out),
        }
        if rows > limits.result_rows_max {
            return Err(too_many_rows(limits));
        }
        // All results of a request together.
        if out.len() > limits.result_bytes_max {
            return Err(Error::too_large(format!(
                "The answer is larger than {} bytes. Add a LIMIT or select fewer columns.",
                limits.result_bytes_max
            )));
        }
        more = statement.step()?;
    }
    out.push(b']');
    if format == Format::Raw {
        out.extend_from_slice(b",\"meta\":{\"rows_read\":");
        json::write_integer(out, rows as i64);
        out.extend_from_slice(b",\"rows_written\":");
        json::write_integer(out, written(sqlite, statement, changes_before) as i64);
        out.extend_from_slice(b",\"last_insert_rowid\":");
        json::write_integer(out, sqlite.own.last_insert_rowid());
        out.extend_from_slice(b"}}");
    }
    Ok(rows)
}

/// The rows that a statement has changed. A caller is not told of those that triggers and cascades have: they may be hidden.
fn written(sqlite: &Sqlite, statement: &Statement, changes_before: u64) -> u64 {
    match sqlite.is_bound() {
        false => sqlite.own.total_changes() - changes_before,
        true if statement.is_readonly() => 0,
        true => sqlite.own.changes(),
    }
}

/// `"name":` for each column, with the comma in front; empty for a column whose name comes again later.
fn object_heads(statement: &Statement) -> Vec<Vec<u8>> {
    let names: Vec<String> = (0..statement.column_count()).map(|column| statement.column_name(column)).collect();
    let mut is_first = true;
    let head = |(index, name): (usize, &String)| {
        let mut head = Vec::new();
        if !names[index + 1..].contains(name) {
            if !std::mem::take(&mut is_first) {
                head.push(b',');
            }
            json::write_str(&mut head, name);
            head.push(b':');
        }
        head
    };
    names.iter().enumerate().map(head).collect()
}

fn write_object(statement: &Statement, heads: &[Vec<u8>], out: &mut Vec<u8>) {
    out.push(b'{');
    for (column, head) in heads.iter().enumerate() {
        if !head.is_empty() {
            out.extend_from_slice(head);
            json::write_value(out, statement.column(column));
        }
    }
    out.push(b'}');
}

fn write_columns(statement: &Statement, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"columns\":[");
    for column in 0..statement.column_count() {
        if column > 0 {
            out.push(b',');
        }
        json::write_str(out, &statement.column_name(column));
    }
    out.extend_from_slice(b"],\"rows\":");
}

fn write_array(statement: &Statement, out: &mut Vec<u8>) {
    out.push(b'[');
    for column in 0..statement.column_count() {
        if column > 0 {
            out.push(b',');
        }
        json::write_value(out, statement.column(column));
    }
    out.push(b']');
}
