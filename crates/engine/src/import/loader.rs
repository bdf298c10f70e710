//! What all imports do with the writer's connection: run a statement, insert a row, and undo one of them alone where the rest may stay.

use super::Import;
use crate::documents;
use crate::error::{Error, Result};
use crate::keys;
use crate::sqlite::gate::Mode;
use crate::sqlite::{Sqlite, Statement};
use crate::value::{Params, Value};
use std::collections::HashMap;
use std::sync::atomic::Ordering;

/// Statements kept compiled: a dump fills one table after the other.
const COMPILED_MAX: usize = 16;

pub struct Loader<'a> {
    sqlite: &'a mut Sqlite,
    import: &'a Import,
    compiled: HashMap<String, Statement>,
}

impl<'a> Loader<'a> {
    pub fn new(sqlite: &'a mut Sqlite, import: &'a Import) -> Self {
        Self { sqlite, import, compiled: HashMap::new() }
    }

    /// Runs a statement of the import's; what it answers is dropped.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        if sql.contains('\0') {
            // For SQLite the text would end there, and what follows would be passed over in silence.
            return Err(Error::invalid("The statement has a NUL character in it."));
        }
        // What is compiled may stand in the way of a table that is dropped.
        self.compiled.clear();
        self.alone(|loader| {
            let Some(mut statement) = loader.sqlite.prepare(sql, Mode::Caller)? else { return Ok(()) };
            if statement.parameter_count() > 0 {
                return Err(Error::invalid("The statement has parameters, and there are no values for them."));
            }
            while statement.step()? {}
            Ok(())
        })
    }

    /// Inserts a row; `head` is the INSERT up to and with VALUES.
    pub fn insert(&mut self, head: &str, values: &[Value]) -> Result<()> {
        self.alone(|loader| loader.insert_row(head, values))
    }

    fn insert_row(&mut self, head: &str, values: &[Value]) -> Result<()> {
        let statement = match self.compiled.get_mut(head) {
            Some(statement) if statement.parameter_count() == values.len() => statement,
            _ => {
                if self.compiled.len() >= COMPILED_MAX {
                    self.compiled.clear();
                }
                let places = vec!["?"; values.len()].join(",");
                let made = self.sqlite.prepare(&format!("{head}({places})"), Mode::Caller)?;
                let made = made.ok_or_else(|| Error::invalid("There is no statement."))?;
                self.compiled.insert(head.to_owned(), made);
                self.compiled.get_mut(head).ok_or_else(|| Error::internal("a statement was lost"))?
            }
        };
        let bound = statement.bind_all(values);
        let done = bound.and_then(|()| statement.step().map(|_| ()));
        statement.reset();
        done
    }

    /// Where others may stay if one fails, what it has done is undone alone.
    fn alone(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.sqlite.look()?;
        if !self.import.partial {
            return work(self);
        }
        self.own("SAVEPOINT tide_one")?;
        let done = work(self);
        if self.sqlite.is_autocommit() {
            return Err(done.err().unwrap_or_else(|| Error::conflict("The statement ended the whole transaction.")));
        }
        if done.is_err() {
            self.own("ROLLBACK TO tide_one")?;
        }
        self.own("RELEASE tide_one")?;
        done
    }

    /// A statement of ours.
    pub fn own(&self, sql: &'static str) -> Result<()> {
        self.in_mode(Mode::Open, || Ok(self.sqlite.own.prepare_cached(sql)?.execute([]).map(|_| ())?))
    }

    fn in_mode<T>(&self, mode: Mode, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.sqlite.in_mode(mode, work)
    }

    pub fn is_partial(&self) -> bool {
        self.import.partial && !self.sqlite.is_autocommit()
    }

    /// Is there time left, and somebody who waits?
    pub fn look(&self) -> Result<()> {
        self.sqlite.look()
    }

    /// The same, for whoever reads what is to be loaded.
    pub fn looks(&self) -> impl Fn() -> Result<()> + 'static {
        self.sqlite.looks()
    }

    /// Tells how far it is, and is told whether to go on.
    pub fn heard(&self, done: u64) -> Result<()> {
        self.import.progress.store(done, Ordering::Relaxed);
        self.sqlite.look()
    }

    /// Its columns, as INSERT takes them; `None` if there is no such table.
    pub fn columns(&self, table: &str) -> Result<Option<Vec<Column>>> {
        self.in_mode(Mode::Open, || {
            let own = &self.sqlite.own;
            let mut statement = own.prepare(
                "SELECT i.name, upper(i.type) FROM sqlite_schema s, pragma_table_xinfo(s.name) i
                 WHERE s.type IN ('table', 'view') AND s.name = ?1 COLLATE NOCASE AND i.hidden = 0 ORDER BY i.cid",
            )?;
            let columns = statement.query_map([table], |row| Ok(Column { name: row.get(0)?, kind: row.get(1)? }))?;
            let columns: Vec<Column> = columns.collect::<rusqlite::Result<_>>()?;
            Ok(Some(columns).filter(|columns| !columns.is_empty()))
        })
    }

    /// The greatest rowid that a table with AUTOINCREMENT has ever had. One that got rows has one already.
    pub fn set_sequence(&mut self, table: &Value, sequence: &Value) -> Result<()> {
        self.in_mode(Mode::Open, || {
            let values = [table, sequence].map(|value| rusqlite::types::ToSqlOutput::Borrowed(value.as_ref()));
            self.sqlite.own.prepare_cached("DELETE FROM sqlite_sequence WHERE name = ?1")?.execute([&values[0]])?;
            self.sqlite
                .own
                .prepare_cached("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)")?
                .execute(values)?;
            Ok(())
        })
    }

    /// What can be judged only when all is there.
    pub fn check(&self) -> Result<()> {
        check_references(self.sqlite, self.import.ignores_references)
    }

    /// The table was a collection of documents where it comes from. No trigger of the script's runs.
    pub fn make_collection(&mut self, table: &str) -> Result<()> {
        self.in_mode(Mode::Open, || keys::without_triggers(&self.sqlite.own, |own| documents::adopt(own, table)))
    }

    /// Is there a table of keys?
    pub fn has_keys(&self) -> Result<bool> {
        self.in_mode(Mode::Open, || keys::is_still_there(&self.sqlite.own))
    }

    /// They count as written now.
    pub fn stamp_keys(&self) -> Result<()> {
        self.in_mode(Mode::Open, || {
            keys::without_triggers(&self.sqlite.own, |own| Ok(own.execute_batch("UPDATE kv SET revision = NULL")?))
        })
    }
}

/// Do all rows have those that they refer to? SQLite has counted itself, unless it was told to ignore them.
///
/// # Errors
/// `conflict`, with the tables.
pub fn check_references(sqlite: &Sqlite, were_ignored: bool) -> Result<()> {
    if !were_ignored && !sqlite.has_deferred_violations() {
        return Ok(());
    }
    let found: Vec<String> = sqlite.in_mode(Mode::Open, || {
        let mut statement = sqlite.own.prepare(
            "SELECT \"table\" || ' to ' || parent || ': ' || count(*) FROM pragma_foreign_key_check GROUP BY \"table\", parent",
        )?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    })?;
    if found.is_empty() && were_ignored {
        return Ok(());
    }
    let found = if found.is_empty() { "they point nowhere".to_owned() } else { found.join(", ") };
    Err(Error::conflict(format!("FOREIGN KEY constraint failed: rows refer to others that are not there ({found}).")))
}

#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    /// Its declared type in capitals.
    pub kind: String,
}

impl Statement {
    fn bind_all(&mut self, values: &[Value]) -> Result<()> {
        self.bind_more(&Params::None, values)
    }
}
