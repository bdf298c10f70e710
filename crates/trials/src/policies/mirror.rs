//! A second database, in which a caller's write is done by plain SQLite as policies say it may be done.
//!
//! Beside the whole of the data it holds, under another name, a copy of the rows that the caller sees: whatever the
//! statement reads it reads there. The rows that it may change are put into a table before, so that a row which becomes
//! another while the statement runs is judged as it was.

use super::answers::{bind, line, lines};
use super::rules::Rules;
use super::write::{Deed, Write, reading};
use crate::world::schema::{Relation, Schema};
use anyhow::Result;
use rusqlite::backup::Backup;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, params_from_iter};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidebase_engine::Value;
use tidebase_engine::access::Action;
use tidebase_engine::sqlite::exclude::unquoted;

/// What the caller sees.
const COPY: &str = "seen";
/// Values that an INSERT may have at once, and columns that a key may have.
const PLACES: usize = 12;

/// The rows of each table, as lines in order.
pub type Contents = Vec<Vec<String>>;

pub struct Mirror<'w> {
    whole: Connection,
    schema: &'w Schema,
    rules: &'w Rules,
    /// The rows that an ON CONFLICT has updated.
    updated: Arc<Mutex<HashSet<String>>>,
}

/// In which order rows are written: SQL leaves that open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    AtOnce,
    Forward,
    Backward,
}

/// How a statement ended in the second database, where it was undone again.
pub struct Attempt {
    /// The rows of RETURNING, or why it was refused.
    pub told: Result<Vec<String>, String>,
    pub contents: Contents,
    pub touched: usize,
    /// SQL leaves open what becomes of it.
    pub is_open: bool,
}

/// A row that the statement wrote: its key now.
struct Written {
    key: Vec<Value>,
    told: String,
}

pub fn contents(connection: &Connection, schema: &Schema) -> rusqlite::Result<Contents> {
    let of_table = |table: &Relation| {
        let mut statement = connection.prepare_cached(&format!("SELECT * FROM main.{}", table.name))?;
        let mut rows = lines(&mut statement, 0)?;
        rows.sort();
        Ok(rows)
    };
    schema.tables.iter().map(of_table).collect()
}

/// The columns that name a row.
pub fn key_columns(table: &Relation) -> Vec<String> {
    if table.has_rowid {
        return vec!["_rowid_".into()];
    }
    table.key.iter().map(|&key| table.columns[key].name.clone()).collect()
}

/// Has the row of this name these values for its key? `values` gives each as SQL.
fn same_key(table: &Relation, name: &str, values: impl Fn(usize) -> String) -> String {
    let same = |(index, key): (usize, &String)| format!("{name}.{key} IS {} COLLATE BINARY", values(index));
    key_columns(table).iter().enumerate().map(same).collect::<Vec<_>>().join(" AND ")
}

impl<'w> Mirror<'w> {
    pub fn new(schema: &'w Schema, rules: &'w Rules, uid: &str) -> Result<Self> {
        let whole = Connection::open_in_memory()?;
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
        let uid = uid.to_owned();
        whole.create_scalar_function("auth_uid", 0, flags, move |_| Ok(uid.clone()))?;
        whole.create_scalar_function("auth_role", 0, flags, |_| Ok("user"))?;
        let updated: Arc<Mutex<HashSet<String>>> = Arc::default();
        let noted = Arc::clone(&updated);
        whole.create_scalar_function("note_updated", -1, FunctionFlags::SQLITE_UTF8, move |arguments| {
            let key: Vec<Value> = (0..arguments.len()).map(|index| arguments.get_raw(index).into()).collect();
            noted.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{key:?}"));
            Ok(true)
        })?;
        whole.execute_batch(&format!("PRAGMA recursive_triggers = ON; ATTACH ':memory:' AS {COPY}"))?;
        let values: Vec<String> = (0..PLACES).map(|index| format!("c{index}")).collect();
        let values = values.join(", ");
        whole.execute_batch(&format!(
            "CREATE TEMP TABLE open (n INTEGER PRIMARY KEY, c0, c1); CREATE TEMP TABLE turn (c0, c1);
             CREATE TEMP TABLE made (n INTEGER PRIMARY KEY, {values});"
        ))?;
        for (table, made) in schema.tables.iter().zip(&schema.made) {
            if rules.seen(table).is_some() {
                whole.execute_batch(&made.make.replacen("CREATE TABLE ", &format!("CREATE TABLE {COPY}."), 1))?;
            }
        }
        Ok(Self { whole, schema, rules, updated })
    }

    /// Becomes what the other database is now.
    pub fn follow(&mut self, other: &Connection) -> Result<()> {
        Backup::new(other, &mut self.whole)?.run_to_completion(10_000, Duration::ZERO, None)?;
        self.whole.execute_batch("PRAGMA foreign_keys = OFF; BEGIN")?;
        for table in &self.schema.tables {
            let Some(seen) = self.rules.seen(table) else { continue };
            let name = &table.name;
            let columns: Vec<&str> =
                table.columns.iter().filter(|column| !column.is_generated).map(|column| &*column.name).collect();
            let columns = columns.join(", ");
            self.whole.execute_batch(&format!(
                "DELETE FROM {COPY}.{name};
                 INSERT INTO {COPY}.{name} ({columns}) SELECT {columns} FROM main.{name} WHERE {seen}"
            ))?;
        }
        self.whole.execute_batch("COMMIT; PRAGMA foreign_keys = ON")?;
        Ok(())
    }

    pub fn contents(&self) -> rusqlite::Result<Contents> {
        contents(&self.whole, self.schema)
    }

    /// What is seen of each table now.
    fn sights(&self) -> rusqlite::Result<Contents> {
        let seen = |table| self.rules.seen(table).map_or(Ok(Vec::new()), |seen| self.rows(table, &seen));
        self.schema.tables.iter().map(seen).collect()
    }

    /// Rows of a table that fulfil a condition or do not, as lines in order.
    pub fn rows(&self, table: &Relation, condition: &str) -> rusqlite::Result<Vec<String>> {
        let sql = format!("SELECT * FROM main.{} WHERE {condition}", table.name);
        let mut rows = lines(&mut self.whole.prepare(&sql)?, 0)?;
        rows.sort();
        Ok(rows)
    }

    /// Which rows the statement may change, as a condition.
    pub fn may_change(&self, write: &Write) -> String {
        let table = &self.schema.tables[write.table];
        let action = if write.action() == Action::Delete { Action::Delete } else { Action::Update };
        let sets = write.set_columns();
        let is_idle = write.action() == Action::Insert && sets.is_empty();
        match (self.rules.seen(table), self.rules.using(table, action, &sets)) {
            (Some(seen), Some(using)) if !is_idle => format!("({seen} AND {using})"),
            _ => "false".into(),
        }
    }

    /// Does the condition fail on a row that is seen, be it one that may not be changed?
    pub fn fails_on_seen_rows(&self, write: &Write) -> bool {
        let name = &self.schema.tables[write.table].name;
        let (from, condition) = match &write.deed {
            Deed::Update { condition, .. } | Deed::Delete { condition } => (format!("{COPY}.{name} AS x1"), condition),
            Deed::Insert { .. } => return false,
        };
        if self.rules.seen(&self.schema.tables[write.table]).is_none() || condition.is_empty() {
            return false;
        }
        let sql = reading(&format!("{}SELECT count(*) FROM {from} WHERE {condition}", write.with), COPY);
        let ran = self.whole.prepare(&sql).and_then(|mut statement| {
            bind(&mut statement, &write.params)?;
            lines(&mut statement, 0)
        });
        ran.is_err()
    }

    /// Does the write and undoes it.
    pub fn attempt(&self, write: &Write, order: Order) -> Result<Attempt> {
        self.updated.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let (before, seen) = (self.contents()?, self.sights()?);
        let orphans = self.orphans()?;
        self.whole.execute_batch("BEGIN")?;
        // SQLite counts orphans that come against those that go, one row after the other.
        let mut is_open = !orphans.is_empty() || self.refers_to_itself_loosely(write.table);
        let ran = match &write.deed {
            Deed::Insert { .. } => self.insert(write, order),
            _ => self.change(write, order, &mut is_open),
        };
        let mut told: Result<Vec<String>, String>;
        let mut touched = 0;
        let mut contents = before.clone();
        match ran {
            Err(error) => told = Err(words(&error)),
            Ok(written) => {
                contents = self.contents()?;
                touched = written.len();
                let sights = self.sights()?;
                let changed: Vec<usize> = (0..contents.len())
                    .filter(|&table| contents[table] != before[table] || sights[table] != seen[table])
                    .collect();
                is_open |= write.looks_at(self.schema, &changed) || self.goes_round(write, &written);
                let now = self.orphans()?;
                told = match self.judge(write, &written)? {
                    Some(refusal) => Err(refusal),
                    None if now.iter().any(|orphan| !orphans.contains(orphan)) => {
                        Err("FOREIGN KEY constraint failed".into())
                    }
                    None if write.returning.is_empty() => Ok(Vec::new()),
                    None => Ok(written.into_iter().map(|row| row.told).collect()),
                };
                if let Ok(rows) = &mut told {
                    rows.sort();
                } else {
                    contents = before;
                }
            }
        }
        if !self.whole.is_autocommit() {
            self.whole.execute_batch("ROLLBACK")?;
        }
        Ok(Attempt { told, contents, touched, is_open })
    }

    /// Rows without their parents: a REPLACE in a table that refers to itself can leave some.
    fn orphans(&self) -> rusqlite::Result<Vec<String>> {
        if !self.schema.made.iter().any(|made| made.make.contains("REFERENCES")) {
            return Ok(Vec::new());
        }
        lines(&mut self.whole.prepare("PRAGMA main.foreign_key_check")?, 0)
    }

    /// May a row refer to itself by another spelling of its key? SQLite does not take it for its own parent then, though its check
    /// of the whole file does.
    fn refers_to_itself_loosely(&self, table: usize) -> bool {
        let (name, make) = (&self.schema.tables[table].name, &self.schema.made[table].make);
        make.contains(&format!("REFERENCES {name} ")) && ["NOCASE", "RTRIM"].iter().any(|one| make.contains(one))
    }

    /// Were rows written twice, or did they change keys, so that it cannot be told which were made and which changed?
    fn goes_round(&self, write: &Write, written: &[Written]) -> bool {
        let Deed::Insert { conflict: Some(conflict), .. } = &write.deed else { return false };
        let keys: HashSet<String> = written.iter().map(|row| format!("{:?}", row.key)).collect();
        let table = &self.schema.tables[write.table];
        let is_key = |column: &str| table.key.iter().any(|&key| table.columns[key].name == column);
        keys.len() < written.len() || conflict.sets.as_ref().is_some_and(|(column, _)| is_key(column))
    }

    fn insert(&self, write: &Write, order: Order) -> rusqlite::Result<Vec<Written>> {
        let Deed::Insert { columns, source, conflict, .. } = &write.deed else { return Ok(Vec::new()) };
        let table = &self.schema.tables[write.table];
        let all: Vec<String> =
            table.columns.iter().filter(|column| !column.is_generated).map(|column| column.name.clone()).collect();
        let columns = columns.as_ref().unwrap_or(&all);
        let places: Vec<String> = (0..columns.len()).map(|index| format!("c{index}")).collect();
        let places = places.join(", ");
        self.whole.execute_batch("DELETE FROM temp.made")?;
        self.run(&format!("INSERT INTO temp.made ({places}) {}", reading(source, COPY)), write, 0)?;
        let conflict = conflict.as_ref().map_or(String::new(), |conflict| {
            let note = key_columns(table).iter().map(|key| format!("x1.{key}")).collect::<Vec<_>>().join(", ");
            let name = &table.name;
            let same = same_key(table, name, |index| format!("x1.{}", key_columns(table)[index]));
            let may = format!("EXISTS (SELECT 1 FROM main.{name} WHERE {same} AND {})", self.may_change(write));
            let theirs = if conflict.condition.is_empty() { "true" } else { &conflict.condition };
            reading(
                &conflict.sql(&format!(" WHERE CASE WHEN {may} AND ({theirs}) THEN note_updated({note}) END")),
                COPY,
            )
        });
        let direction = if order == Order::Backward { " DESC" } else { "" };
        let sql = format!(
            "INSERT {}INTO main.{} AS x1 ({}) SELECT {places} FROM temp.made WHERE true ORDER BY n{direction}{conflict}",
            write.how,
            table.name,
            columns.join(", "),
        );
        self.run(&sql, write, key_columns(table).len())
    }

    fn change(&self, write: &Write, order: Order, is_open: &mut bool) -> rusqlite::Result<Vec<Written>> {
        let table = &self.schema.tables[write.table];
        let keys = key_columns(table);
        let places = if keys.len() == 1 { "c0" } else { "c0, c1" };
        let list = keys.join(", ");
        self.whole.execute_batch(&format!(
            "DELETE FROM temp.turn; DELETE FROM temp.open;
             INSERT INTO temp.open ({places}) SELECT {list} FROM main.{} WHERE {} ORDER BY {list};",
            table.name,
            self.may_change(write)
        ))?;
        let turn = same_key(table, "x1", |index| format!("turn.c{index}"));
        let turn = format!("EXISTS (SELECT 1 FROM temp.turn WHERE {turn})");
        let restricted = |condition: &str| {
            if condition.is_empty() { turn.clone() } else { format!("CASE WHEN {turn} THEN ({condition}) END") }
        };
        let name = &table.name;
        let sql = match &write.deed {
            Deed::Update { from, condition, .. } => {
                if !from.is_empty() {
                    *is_open |= self.meets_twice(table, &write.with, from, condition, write)?;
                }
                let from = if from.is_empty() { String::new() } else { format!(" FROM {from}") };
                format!(
                    "UPDATE {}main.{name} AS x1 SET {}{from} WHERE {}",
                    write.how,
                    write.sets(),
                    restricted(condition)
                )
            }
            Deed::Delete { condition } => format!("DELETE FROM main.{name} AS x1 WHERE {}", restricted(condition)),
            Deed::Insert { .. } => return Ok(Vec::new()),
        };
        let sql = format!("{}{}", reading(&write.with, COPY), reading(&sql, COPY));
        if order == Order::AtOnce {
            self.whole.execute_batch("INSERT INTO temp.turn SELECT c0, c1 FROM temp.open")?;
            return self.run(&sql, write, keys.len());
        }
        let direction = if order == Order::Backward { " DESC" } else { "" };
        let mut turns = self.whole.prepare(&format!("SELECT n FROM temp.open ORDER BY n{direction}"))?;
        let turns: Vec<i64> = turns.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut written = Vec::new();
        for turn in turns {
            self.whole.execute_batch(&format!(
                "DELETE FROM temp.turn; INSERT INTO temp.turn SELECT c0, c1 FROM temp.open WHERE n = {turn}"
            ))?;
            written.extend(self.run(&sql, write, keys.len())?);
        }
        Ok(written)
    }

    /// Is there a row for which UPDATE FROM finds several others?
    fn meets_twice(
        &self,
        table: &Relation,
        with: &str,
        from: &str,
        condition: &str,
        write: &Write,
    ) -> rusqlite::Result<bool> {
        let keys: Vec<String> = key_columns(table).iter().map(|key| format!("x1.{key} COLLATE BINARY")).collect();
        let sql = format!(
            "{with}SELECT 1 FROM main.{} AS x1, {from} WHERE {condition} GROUP BY {} HAVING count(*) > 1",
            table.name,
            keys.join(", ")
        );
        let mut statement = self.whole.prepare(&reading(&sql, COPY))?;
        bind(&mut statement, &write.params)?;
        Ok(!lines(&mut statement, 0)?.is_empty())
    }

    /// Runs a statement; with keys, it gives them and what RETURNING asks.
    fn run(&self, sql: &str, write: &Write, keys: usize) -> rusqlite::Result<Vec<Written>> {
        let table = &self.schema.tables[write.table];
        let mut sql = sql.to_owned();
        if keys > 0 {
            sql.push_str(&format!(" RETURNING {}", key_columns(table).join(", ")));
            write.returning.iter().for_each(|told| sql.push_str(&format!(", {}", reading(told, COPY))));
        }
        let mut statement = self.whole.prepare(&sql)?;
        bind(&mut statement, &write.params)?;
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        let mut written = Vec::new();
        while let Some(row) = rows.next()? {
            let key = (0..keys).map(|index| Ok(row.get_ref(index)?.into())).collect::<rusqlite::Result<_>>()?;
            written.push(Written { key, told: line(row, keys..columns)? });
        }
        Ok(written)
    }

    /// Why the rows may not be left as they are.
    fn judge(&self, write: &Write, written: &[Written]) -> rusqlite::Result<Option<String>> {
        let table = &self.schema.tables[write.table];
        let check = |action, columns: Option<&[String]>| {
            self.rules.check(table, action, columns).unwrap_or_else(|| "false".into())
        };
        let (made, changed) = match &write.deed {
            Deed::Insert { columns, .. } => {
                (check(Action::Insert, columns.as_deref()), check(Action::Update, Some(&write.set_columns())))
            }
            Deed::Update { .. } => ("false".into(), check(Action::Update, Some(&write.set_columns()))),
            Deed::Delete { .. } => return Ok(None),
        };
        let updated = self.updated.lock().unwrap_or_else(PoisonError::into_inner);
        for row in written {
            let is_made = write.action() == Action::Insert && !updated.contains(&format!("{:?}", row.key));
            let name = &table.name;
            let key = same_key(table, name, |index| format!("?{}", index + 1));
            let sql = format!("SELECT 1 FROM main.{name} WHERE {key} AND {}", if is_made { &made } else { &changed });
            let key = row.key.iter().map(|value| ToSqlOutput::Borrowed(value.as_ref()));
            if !self.whole.prepare_cached(&sql)?.exists(params_from_iter(key))? {
                return Ok(Some(format!("No policy lets you leave such a row in {}.", unquoted(name))));
            }
        }
        Ok(None)
    }
}

/// As SQLite says it.
fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(words)) => words.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        error => error.to_string(),
    }
}
