//! The statements of POST, PATCH, PUT and DELETE. Each gives back what may be told of the row.

use super::address::no_key;
use super::answer::{self, Part, Rows};
use super::body::{self, Row};
use super::select;
use super::text::{Text, has_key};
use crate::answer as envelope;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use tidebase_engine::tables::{Kind, Open, Relation, Table};
use tidebase_engine::{Answer, Engine, Error, Limits, Principal, Result, Sql, Value};

/// What is asked to be told of a row that was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    Row,
    /// That there was one.
    Nothing,
}

pub struct Plan {
    pub statements: Vec<Sql>,
    /// What is set, for each statement: to find out what a constraint is about.
    pub rows: Vec<Row>,
    done: Done,
    is_array: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Created,
    Updated,
    Replaced,
    Deleted,
}

type Options = [(String, String)];

pub fn create(table: &Table, body: &[u8], options: &Options, limits: &Limits, tells: Tells) -> Result<Plan> {
    writable(table, Open::INSERT)?;
    let mut conflict = None;
    for (name, value) in options {
        if name != "on_conflict" || conflict.is_some() {
            return Err(unknown(name));
        }
        conflict = Some(columns(table, value)?);
    }
    let (rows, is_array) = body::rows(table, body)?;
    if rows.len() > limits.statements_max {
        return Err(Error::too_large(format!("One request may make {} rows.", limits.statements_max)));
    }
    let statements = rows.iter().map(|row| insert(table, row, conflict.as_deref(), tells)).collect();
    Ok(Plan { statements, rows, done: Done::Created, is_array })
}

pub fn change(table: &Table, id: Option<Vec<Value>>, body: &[u8], options: &Options, tells: Tells) -> Result<Plan> {
    no_options(options)?;
    writable(table, Open::UPDATE)?;
    let mut row = one(table, body)?;
    let id = match id {
        Some(id) => id,
        None => take_key(table, &mut row)?,
    };
    if row.is_empty() {
        return Err(Error::invalid("No updatable data provided"));
    }
    Ok(Plan {
        statements: vec![update(table, table, &row, &id, tells)],
        rows: vec![row],
        done: Done::Updated,
        is_array: false,
    })
}

/// `table` as the caller may know it, `whole` as it is: what is not named gets its default, also where the caller could
/// not have named it.
pub fn replace(
    engine: &Engine,
    principal: &Principal,
    table: &Table,
    whole: &Table,
    id: Option<Vec<Value>>,
    body: &[u8],
    options: &Options,
) -> Result<Plan> {
    no_options(options)?;
    writable(table, Open::UPDATE)?;
    let mut named = one(table, body)?;
    let id = match id {
        Some(id) => id,
        None => take_key(table, &mut named)?,
    };
    let in_whole = |(column, value): (usize, Value)| {
        let column = whole.find(&table.columns[column].name);
        Ok((column.ok_or_else(|| Error::conflict("The table was changed meanwhile. Try again."))?, value))
    };
    let mut row: Row = named.into_iter().map(in_whole).collect::<Result<_>>()?;
    let is_left_out = |column: &usize| {
        let is_named = row.iter().any(|(known, _)| known == column);
        !is_named && !whole.columns[*column].is_generated && !whole.key.contains(column)
    };
    let left_out: Vec<usize> = (0..whole.columns.len()).filter(is_left_out).collect();
    let columns: Vec<_> = left_out.iter().map(|&column| &whole.columns[column]).collect();
    let defaults = engine.defaults(principal, &columns)?;
    row.extend(left_out.into_iter().zip(defaults));
    if row.is_empty() {
        return Err(Error::invalid("No updatable data provided"));
    }
    Ok(Plan {
        statements: vec![update(table, whole, &row, &id, Tells::Row)],
        rows: vec![row],
        done: Done::Replaced,
        is_array: false,
    })
}

pub fn remove(table: &Table, id: Option<Vec<Value>>, options: &Options) -> Result<Plan> {
    no_options(options)?;
    writable(table, Open::DELETE)?;
    if table.key.is_empty() {
        return Err(no_key(table));
    }
    let id = id.ok_or_else(|| missing_key(table))?;
    let mut text = Text::of("DELETE FROM ");
    text.name(&table.name).say(" WHERE ");
    has_key(&mut text, &table.name, table, &id);
    text.say(" RETURNING 1");
    Ok(Plan { statements: vec![text.done()], rows: Vec::new(), done: Done::Deleted, is_array: false })
}

fn unknown(name: &str) -> Error {
    Error::invalid(format!("This request does not know the parameter {name:?}."))
}

fn no_options(options: &Options) -> Result<()> {
    options.first().map_or(Ok(()), |(name, _)| Err(unknown(name)))
}

/// What policies say of a table that can be written, the engine says.
fn writable(table: &Table, what: Open) -> Result<()> {
    match table.relation {
        Relation::View | Relation::Shadow => Err(Error::invalid(format!("{} can be read, not written.", table.name))),
        Relation::Virtual if what != Open::INSERT => Err(no_key(table)),
        _ => Ok(()),
    }
}

fn one(table: &Table, body: &[u8]) -> Result<Row> {
    let (mut rows, is_array) = body::rows(table, body)?;
    match rows.pop() {
        Some(row) if !is_array => Ok(row),
        _ => Err(Error::invalid("Invalid data format")),
    }
}

/// In StarbaseDB's words.
fn missing_key(table: &Table) -> Error {
    let names: Vec<&str> = table.key.iter().map(|&column| &*table.columns[column].name).collect();
    Error::invalid(format!("Missing primary key value for '{}'", names.join(",")))
}

/// Without an id in the path the body has it.
fn take_key(table: &Table, row: &mut Row) -> Result<Vec<Value>> {
    if table.key.is_empty() {
        return Err(no_key(table));
    }
    let mut id = Vec::new();
    for key in &table.key {
        let at = row.iter().position(|(column, _)| column == key).ok_or_else(|| missing_key(table))?;
        id.push(row.remove(at).1);
    }
    Ok(id)
}

fn columns(table: &Table, names: &str) -> Result<Vec<usize>> {
    let find = |name: String| table.find(&name).ok_or_else(|| super::filter::no_column(table, &name));
    select::names(names)?.into_iter().map(find).collect()
}

fn insert(table: &Table, row: &Row, conflict: Option<&[usize]>, tells: Tells) -> Sql {
    let name = |column: usize| &*table.columns[column].name;
    let mut text = Text::of("INSERT INTO ");
    text.name(&table.name).say(" (").list(row, ", ", |text, (column, _)| {
        text.name(name(*column));
    });
    text.say(") VALUES (").list(row, ", ", |text, (_, value)| {
        text.bind(value.clone());
    });
    text.say(")");
    if let Some(conflict) = conflict {
        text.say(" ON CONFLICT (").list(conflict, ", ", |text, &column| {
            text.column(&table.name, name(column));
        });
        let others: Vec<usize> =
            row.iter().map(|(column, _)| *column).filter(|column| !conflict.contains(column)).collect();
        // Set to what it is already, so that the row is told.
        let set = if others.is_empty() { conflict.to_vec() } else { others };
        text.say(") DO UPDATE SET ").list(set, ", ", |text, column| {
            text.name(name(column)).say(" = ").column("excluded", name(column));
        });
    }
    returning(&mut text, table, tells);
    text.done()
}

fn update(table: &Table, whole: &Table, row: &Row, id: &[Value], tells: Tells) -> Sql {
    let mut text = Text::of("UPDATE ");
    text.name(&table.name).say(" SET ").list(row, ", ", |text, (column, value)| {
        text.name(&whole.columns[*column].name).say(" = ").bind(value.clone());
    });
    text.say(" WHERE ");
    has_key(&mut text, &table.name, table, id);
    returning(&mut text, table, tells);
    text.done()
}

/// What of a row a write may tell; if that is nothing, at least that there was one.
fn returning(text: &mut Text, table: &Table, tells: Tells) {
    let told = if tells == Tells::Row { table.columns_open(Open::TOLD) } else { Vec::new() };
    text.say(" RETURNING ");
    if told.is_empty() {
        text.say("1");
    }
    text.list(told, ", ", |text, column| {
        text.column(&table.name, &table.columns[column].name);
    });
}

impl Plan {
    /// Has it found and written what it was to write?
    ///
    /// # Errors
    /// `not_found`, and `conflict` for a row that is there and not open to the caller. What was to be deleted and is not there
    /// is no error.
    pub fn check(&self, table: &Table, answer: &Answer) -> Result<()> {
        let all = Rows::read(&answer.body, self.statements.len() > 1)?;
        if self.done == Done::Deleted { Ok(()) } else { self.check_rows(table, &all) }
    }

    fn check_rows(&self, table: &Table, all: &[Rows<'_>]) -> Result<()> {
        let is_missing = all.iter().any(|made| made.rows.is_empty());
        if is_missing && self.done != Done::Created {
            return Err(answer::no_row(table));
        }
        if is_missing && !self.is_array {
            // ON CONFLICT found a row that the caller may not change.
            return Err(Error::conflict("A row with this key is there, and it is not open to you."));
        }
        Ok(())
    }

    pub fn answer(&self, table: &Table, answer: &Answer) -> Result<Response<Body>> {
        let all = Rows::read(&answer.body, self.statements.len() > 1)?;
        self.check_rows(table, &all)?;
        let (message, status) = match self.done {
            Done::Created => ("Resource created successfully", StatusCode::CREATED),
            Done::Updated => ("Resource updated successfully", StatusCode::OK),
            Done::Replaced => ("Resource replaced successfully", StatusCode::OK),
            Done::Deleted => ("Resource deleted successfully", StatusCode::OK),
        };
        let mut body = format!("{{\"message\":\"{message}\"").into_bytes();
        if self.done != Done::Deleted {
            body.extend_from_slice(b",\"data\":");
            self.data(table, &all, &mut body);
        }
        body.push(b'}');
        let told = Answer { body: body.into(), enveloped: None, ..answer.clone() };
        let mut response = envelope::result(&told);
        *response.status_mut() = status;
        Ok(response)
    }

    fn data(&self, table: &Table, all: &[Rows<'_>], out: &mut Vec<u8>) {
        let told = table.columns_open(Open::TOLD).into_iter().enumerate();
        let parts: Vec<Part<'_>> = told
            .map(|(at, column)| (at, &table.columns[column]))
            .map(|(at, column)| Part::column(&column.name, at, column.kind == Kind::Json))
            .collect();
        if !self.is_array {
            out.extend(answer::write(&all[0].rows, &parts, true));
            return;
        }
        out.push(b'[');
        for (index, made) in all.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend(answer::write(&made.rows, &parts, true));
        }
        out.push(b']');
    }
}
