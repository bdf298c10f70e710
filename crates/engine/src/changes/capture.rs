//! Change capture on the writer's connection.
//!
//! The hook also fires for work that is undone later (a rolled-back savepoint, an aborted statement), so it only keeps
//! the first old image of each row it sees; what became of the row is read back just before the request's RELEASE.
//! Net = (first old, current), pairs of equals dropped. Exact under REPLACE, cascades, triggers and key changes.

use super::change::{Change, Rows, Shape};
use crate::access::admission::{self, Admissions, Touched as Direct};
use crate::error::{Error, Result};
use crate::sqlite::gate::is_system;
use crate::sqlite::preupdate::{self, Hook, Operation, Touch};
use crate::sqlite::schema::{Address, Relation, Schema, Table};
use crate::value::{Value, ValueRef};
use rusqlite::Connection;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// Rows touched by one request may be more than can be kept; then only "everything" is said.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub rows: usize,
    pub bytes: usize,
}

/// The identity of a row within its table, in a normal form in which SQLite's equal keys are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Rowid(i64),
    Columns(Box<[KeyPart]>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum KeyPart {
    Integer(i64),
    Real(u64),
    Text(Box<[u8]>),
    Blob(Box<[u8]>),
    Null,
}

impl From<&Value> for KeyPart {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(value) => Self::Integer(*value),
            // A REAL column stores whole numbers as integers, and the hook may show either; to a unique key they are one.
            Value::Real(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => Self::Integer(*value as i64),
            Value::Real(value) => Self::Real(value.to_bits()),
            Value::Text(bytes) => Self::Text(bytes.clone()),
            Value::Blob(bytes) => Self::Blob(bytes.clone()),
        }
    }
}

struct Touched {
    table: Arc<Table>,
    key: Key,
    /// The key's values as they are bound to read the row back; empty for a rowid.
    bound: Box<[Value]>,
    old: Option<Box<[Value]>>,
}

#[derive(Default)]
struct Collected {
    schema: Arc<Schema>,
    bounds: Option<Bounds>,
    /// Index into `rows` by table and key.
    seen: HashMap<(usize, Key), usize>,
    /// In the order of first touch.
    rows: Vec<Touched>,
    opaque: Vec<Box<str>>,
    bytes: usize,
    overflowed: bool,
    /// Tables of which rows were touched after there were too many to keep.
    missed: Vec<Box<str>>,
    paused: bool,
    /// While a caller's statement runs: the rows it changes itself, and those it was admitted to.
    watched: Option<Watched>,
    admissions: Arc<Admissions>,
}

#[derive(Default)]
struct Watched {
    rows: Vec<Direct>,
    /// More than may be touched by one request.
    is_too_much: bool,
}

/// Holds the table, so that its address is nobody else's.
type Known = (Arc<Table>, Arc<Shape>);

/// Owns the hook; lives as long as the writer's connection is open.
pub struct Capture {
    collected: Rc<RefCell<Collected>>,
    /// The shapes of tables that were written, each made once: who is told of them may know one again by its address.
    shapes: RefCell<HashMap<*const Table, Known>>,
    _hook: Hook,
}

/// What one request did.
#[derive(Debug)]
pub enum Net {
    Rows(Rows),
    TooMuch,
}

impl Capture {
    pub fn start(connection: &Connection, bounds: Bounds) -> Result<Self> {
        let collected = Rc::new(RefCell::new(Collected { bounds: Some(bounds), ..Collected::default() }));
        collected.borrow().admissions.register(connection)?;
        let inner = Rc::clone(&collected);
        let hook = preupdate::observe(connection, move |touch| inner.borrow_mut().touch(touch));
        Ok(Self { collected, shapes: RefCell::default(), _hook: hook })
    }

    /// From now on it is noted which rows the statement changes itself.
    pub fn watch(&self) {
        let mut collected = self.collected.borrow_mut();
        collected.admissions.clear();
        collected.watched = Some(Watched::default());
    }

    /// What was noted since, in its order; `None` if it was too much.
    pub fn take_watched(&self) -> Option<Vec<Direct>> {
        let mut collected = self.collected.borrow_mut();
        collected.admissions.clear();
        let watched = collected.watched.take().unwrap_or_default();
        (!watched.is_too_much).then_some(watched.rows)
    }

    pub fn set_schema(&self, schema: Arc<Schema>) {
        self.collected.borrow_mut().schema = schema;
        self.shapes.borrow_mut().clear();
    }

    /// Forgets what was seen: at the start of a request, and when one is undone.
    pub fn clear(&self) {
        let mut collected = self.collected.borrow_mut();
        collected.seen.clear();
        collected.rows.clear();
        collected.opaque.clear();
        collected.missed.clear();
        (collected.bytes, collected.overflowed) = (0, false);
    }

    /// A schema change makes images meaningless; the request will say "everything".
    pub fn pause(&self, paused: bool) {
        self.collected.borrow_mut().paused = paused;
    }

    /// The rowids of `table` that were touched, for the engine's own columns that must follow a write; `None` if not all are known.
    pub fn touched_rowids(&self, table: &str) -> Option<Vec<i64>> {
        let collected = self.collected.borrow();
        if collected.missed.iter().any(|missed| missed.eq_ignore_ascii_case(table)) {
            return None;
        }
        let rowid = |row: &Touched| match row.key {
            Key::Rowid(rowid) if row.table.name.eq_ignore_ascii_case(table) => Some(rowid),
            _ => None,
        };
        Some(collected.rows.iter().filter_map(rowid).collect())
    }

    /// The tables whose rows were touched, in lower case; `None` if not all are known.
    pub fn touched_tables(&self) -> Option<Vec<Box<str>>> {
        let collected = self.collected.borrow();
        if collected.overflowed {
            return None;
        }
        let mut tables: Vec<Box<str>> = Vec::new();
        for row in &collected.rows {
            if !tables.iter().any(|known| known.eq_ignore_ascii_case(&row.table.name)) {
                tables.push(row.table.name.to_ascii_lowercase().into());
            }
        }
        Some(tables)
    }

    /// Reads every touched row back and gives the net difference; forgets what was seen.
    pub fn net(&self, connection: &Connection) -> Result<Net> {
        let (touched, opaque, overflowed) = {
            let mut collected = self.collected.borrow_mut();
            collected.seen.clear();
            let taken =
                (std::mem::take(&mut collected.rows), std::mem::take(&mut collected.opaque), collected.overflowed);
            (collected.bytes, collected.overflowed) = (0, false);
            taken
        };
        if overflowed {
            return Ok(Net::TooMuch);
        }
        let mut net = Rows { opaque, ..Rows::default() };
        let mut shapes: Vec<(*const Table, usize)> = Vec::new();
        for row in touched {
            let new = read_back(connection, &row)?;
            if new.iter().flatten().any(|value| matches!(value, Value::Real(real) if !real.is_finite())) {
                return Err(Error::invalid(format!("An infinite number cannot be stored (table {}).", row.table.name)));
            }
            if is_same(&row.table, row.old.as_deref(), new.as_deref()) {
                continue;
            }
            let table = Arc::as_ptr(&row.table);
            let known = shapes.iter().find(|(known, _)| *known == table).map(|(_, index)| *index);
            let shape = known.unwrap_or_else(|| {
                net.shapes.push(self.shape(&row.table));
                shapes.push((table, net.shapes.len() - 1));
                net.shapes.len() - 1
            });
            let rowid = if let Key::Rowid(rowid) = row.key { rowid } else { 0 };
            net.changes.push(Change { shape, rowid, old: row.old, new });
        }
        Ok(Net::Rows(net))
    }

    fn shape(&self, table: &Arc<Table>) -> Arc<Shape> {
        let mut shapes = self.shapes.borrow_mut();
        let known = shapes.entry(Arc::as_ptr(table)).or_insert_with(|| (Arc::clone(table), Arc::new(shape(table))));
        Arc::clone(&known.1)
    }
}

fn shape(table: &Table) -> Shape {
    Shape {
        table: table.name.clone(),
        columns: table.columns.iter().map(|column| column.name.clone()).collect(),
        key: table.key.clone(),
        is_virtual: table.columns.iter().map(|column| column.is_virtual).collect(),
    }
}

/// Virtual columns are not in the old image and follow from the others.
fn is_same(table: &Table, old: Option<&[Value]>, new: Option<&[Value]>) -> bool {
    match (old, new) {
        (None, None) => true,
        (Some(old), Some(new)) => {
            table.columns.iter().zip(old.iter().zip(new)).all(|(column, (old, new))| column.is_virtual || old.same(new))
        }
        _ => false,
    }
}

fn read_back(connection: &Connection, row: &Touched) -> Result<Option<Box<[Value]>>> {
    let mut statement = connection.prepare_cached(&row.table.read_back)?;
    let mut rows = match &row.key {
        Key::Rowid(rowid) => statement.query([rowid])?,
        Key::Columns(_) => statement.query(rusqlite::params_from_iter(row.bound.iter().map(bindable)))?,
    };
    let Some(found) = rows.next()? else { return Ok(None) };
    let image: Box<[Value]> =
        (0..row.table.columns.len()).map(|index| found.get_ref(index).map(Value::from)).collect::<Result<_, _>>()?;
    // A NOCASE key finds 'a' when asked for 'A': that row has a touch of its own.
    let is_this = match &row.key {
        Key::Rowid(_) => true,
        Key::Columns(parts) => {
            row.table.key.iter().zip(parts).all(|(&column, part)| KeyPart::from(&image[column]) == *part)
        }
    };
    Ok(is_this.then_some(image))
}

fn bindable(value: &Value) -> rusqlite::types::ToSqlOutput<'_> {
    rusqlite::types::ToSqlOutput::Borrowed(value.as_ref())
}

impl Collected {
    fn touch(&mut self, touch: &Touch<'_>) {
        if self.paused || is_system(touch.table) {
            return;
        }
        self.note_direct(touch);
        if self.overflowed {
            self.miss(touch.table);
            return;
        }
        let schema = Arc::clone(&self.schema);
        match schema.get(touch.table) {
            // What was there before is not known to anybody: everything may have changed.
            Some(Relation::Table(table)) if table.may_overwrite && touch.operation != Operation::Delete => {
                self.miss(touch.table);
                self.overflowed = true;
            }
            Some(Relation::Table(table)) if table.address != Address::None => self.touch_row(table, touch),
            Some(Relation::Shadow(owner)) => self.touch_opaque(owner),
            Some(_) => self.touch_opaque(&touch.table.to_ascii_lowercase()),
            // A table the schema does not know: made by a program we have not noticed yet.
            None => {
                self.miss(touch.table);
                self.overflowed = true;
            }
        }
    }

    fn miss(&mut self, table: &str) {
        // Mostly the same as the row before.
        if !self.missed.iter().rev().any(|missed| **missed == *table) {
            self.missed.push(table.into());
        }
    }

    fn note_direct(&mut self, touch: &Touch<'_>) {
        let Some(watched) = self.watched.as_mut().filter(|_| touch.is_direct()) else { return };
        let Some(Relation::Table(table)) = self.schema.get(touch.table) else { return };
        let key = |rowid: i64, read: &dyn Fn(usize) -> Value| -> Box<[Value]> {
            match table.address {
                Address::Key => table.key.iter().map(|&column| read(column)).collect(),
                _ => Box::new([Value::Integer(rowid)]),
            }
        };
        let is_admitted = touch.operation != Operation::Insert && {
            let before = key(touch.rowid_before, &|column| touch.value_before(column).map_or(Value::Null, Value::from));
            self.admissions.holds(&admission::name(before.iter().map(Value::as_ref)))
        };
        let after = || key(touch.rowid_after, &|column| touch.value_after(column).map_or(Value::Null, Value::from));
        let change = match touch.operation {
            Operation::Insert => admission::Change::Made(after()),
            Operation::Update => admission::Change::Changed { key: after(), is_admitted },
            Operation::Delete => admission::Change::Gone { is_admitted },
        };
        if self.bounds.is_some_and(|bounds| watched.rows.len() >= bounds.rows) {
            watched.is_too_much = true;
            return;
        }
        watched.rows.push(Direct { table: Arc::clone(table), change });
    }

    fn touch_opaque(&mut self, table: &str) {
        if !self.opaque.iter().any(|known| **known == *table) {
            self.opaque.push(table.into());
        }
    }

    fn touch_row(&mut self, table: &Arc<Table>, touch: &Touch<'_>) {
        if table.address == Address::Key {
            let before =
                (touch.operation != Operation::Insert).then(|| image(table, |column| touch.value_before(column)));
            let key_of = |read: &dyn Fn(usize) -> Value| -> Box<[Value]> {
                table.key.iter().map(|&column| read(column)).collect()
            };
            let key_before = before.as_ref().map(|row| key_of(&|column| row[column].clone()));
            let key_after = (touch.operation != Operation::Delete)
                .then(|| key_of(&|column| touch.value_after(column).map_or(Value::Null, Value::from)));
            let normal = |key: &[Value]| Key::Columns(key.iter().map(KeyPart::from).collect());
            let moved = match (&key_before, &key_after) {
                (Some(before), Some(after)) => normal(before) != normal(after),
                _ => true,
            };
            if let Some(key) = key_before {
                self.add(table, normal(&key), key, || before);
            }
            if let (Some(key), true) = (key_after, moved) {
                self.add(table, normal(&key), key, || None);
            }
        } else {
            let (before, after) = (touch.rowid_before, touch.rowid_after);
            if touch.operation != Operation::Insert {
                self.add(table, Key::Rowid(before), Box::default(), || {
                    Some(image(table, |column| touch.value_before(column)))
                });
            }
            if touch.operation == Operation::Insert || touch.operation == Operation::Update && before != after {
                self.add(table, Key::Rowid(after), Box::default(), || None);
            }
        }
    }

    fn add(&mut self, table: &Arc<Table>, key: Key, bound: Box<[Value]>, old: impl FnOnce() -> Option<Box<[Value]>>) {
        let slot = (Arc::as_ptr(table) as usize, key);
        if self.seen.contains_key(&slot) {
            return;
        }
        let old = old();
        self.bytes += 64 + old.as_ref().map_or(0, |row| row.iter().map(Value::size).sum());
        let full = |bounds: Bounds| self.rows.len() >= bounds.rows || self.bytes > bounds.bytes;
        if self.bounds.is_some_and(full) {
            self.overflowed = true;
            for row in std::mem::take(&mut self.rows) {
                self.miss(&row.table.name);
            }
            self.miss(&table.name);
            self.seen.clear();
            return;
        }
        self.rows.push(Touched { table: Arc::clone(table), key: slot.1.clone(), bound, old });
        self.seen.insert(slot, self.rows.len() - 1);
    }
}

fn image<'a>(table: &Table, read: impl Fn(usize) -> Option<ValueRef<'a>>) -> Box<[Value]> {
    let value = |(index, column): (usize, &crate::sqlite::schema::Column)| {
        if column.is_virtual { Value::Null } else { read(index).map_or(Value::Null, Value::from) }
    };
    table.columns.iter().enumerate().map(value).collect()
}
