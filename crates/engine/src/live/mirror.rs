//! Mirrors: tables in memory with nothing in them but the rows that a step has changed, once as they were and once as they
//! are. A query that is run on both tells what these rows gave to its result and what they give now, by SQLite's own word.

use super::tally::Tally;
use crate::changes::change::{ChangeSet, Extent};
use crate::error::Result;
use crate::sqlite::Sqlite;
use crate::sqlite::exclude::quoted;
use crate::sqlite::open;
use crate::sqlite::schema::Table;
use crate::value::{Value, ValueRef};
use rusqlite::types::ToSqlOutput;
use std::collections::HashSet;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Mirrors {
    /// The rows as they were, and as they are. Opened when first needed.
    sides: Option<[Sqlite; 2]>,
    /// Lower-case names of the tables made.
    made: HashSet<Box<str>>,
    /// The table that has rows, and the tally whose columns they show.
    loaded: Option<(Box<str>, Box<str>)>,
}

impl Mirrors {
    /// After a change of the schema tables are others.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Another step changes other rows.
    pub fn end_step(&mut self) {
        let Some((table, _)) = self.loaded.take() else { return };
        for side in self.sides.iter().flatten() {
            if side.own.execute(&format!("DELETE FROM main.{}", quoted(&table)), []).is_err() {
                return self.forget();
            }
        }
    }

    /// Shows the changed rows of a tally's table, before and after; `None` if they cannot be told.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn show(&mut self, tally: &Tally, sets: &[Arc<ChangeSet>]) -> Result<Option<&mut [Sqlite; 2]>> {
        if self.loaded.as_ref().is_none_or(|(_, shown)| **shown != *tally.sql) {
            if !sets.iter().all(|set| are_told(&tally.table, set)) {
                return Ok(None);
            }
            self.end_step();
            self.load(tally, sets)?;
        }
        Ok(self.sides.as_mut())
    }

    fn load(&mut self, tally: &Tally, sets: &[Arc<ChangeSet>]) -> Result<()> {
        let table = &tally.table;
        let sides = match &mut self.sides {
            Some(sides) => sides,
            none => none.insert([open::in_memory()?, open::in_memory()?]),
        };
        let name = quoted(&table.name);
        let lower = table.name.to_ascii_lowercase();
        if !self.made.contains(lower.as_str()) {
            let column = |column: &crate::sqlite::schema::Column| {
                let collation = column.collation.map_or("BINARY", crate::sqlite::schema::Collation::name);
                format!("{} {} COLLATE {collation}", quoted(&column.name), column.kind)
            };
            let columns: Vec<String> = table.columns.iter().map(column).collect();
            for side in &mut *sides {
                side.own.execute_batch(&format!("CREATE TABLE IF NOT EXISTS main.{name} ({})", columns.join(", ")))?;
            }
            self.made.insert(lower.into());
        }
        let insert = format!("INSERT INTO main.{name} VALUES ({})", vec!["?"; table.columns.len()].join(", "));
        self.loaded = Some((table.name.clone(), tally.sql.as_str().into()));
        for (side, sqlite) in sides.iter_mut().enumerate() {
            let mut insert = sqlite.own.prepare_cached(&insert)?;
            for image in images(table, sets, side == 0) {
                let read = |index: usize| image.get(index).filter(|_| tally.reads[index]);
                let value = |index| read(index).map_or(ValueRef::Null, Value::as_ref);
                insert.execute(rusqlite::params_from_iter(
                    (0..table.columns.len()).map(|index| ToSqlOutput::Borrowed(value(index))),
                ))?;
            }
        }
        Ok(())
    }
}

/// Does the change set tell of every row of the table, as it is laid out now?
fn are_told(table: &Table, set: &ChangeSet) -> bool {
    let Extent::Rows(rows) = &set.extent else { return false };
    !rows.opaque.iter().any(|name| is_of(table, name))
        && rows.shapes.iter().filter(|shape| is_of(table, &shape.table)).all(|shape| {
            let names = table.columns.iter().map(|column| &*column.name);
            shape.columns.len() == table.columns.len() && shape.has(names.enumerate())
        })
}

fn images<'a>(table: &Table, sets: &'a [Arc<ChangeSet>], old: bool) -> impl Iterator<Item = &'a [Value]> {
    let rows = sets.iter().filter_map(|set| match &set.extent {
        Extent::Rows(rows) => Some(rows),
        Extent::Everything { .. } => None,
    });
    rows.flat_map(move |rows| {
        let its = rows.changes.iter().filter(|change| is_of(table, &rows.shapes[change.shape].table));
        its.filter_map(move |change| if old { change.old.as_deref() } else { change.new.as_deref() })
    })
}

fn is_of(table: &Table, name: &str) -> bool {
    name.eq_ignore_ascii_case(&table.name)
}

/// How many images of changed rows of the table there are.
pub fn count(table: &Table, sets: &[Arc<ChangeSet>]) -> usize {
    images(table, sets, true).count() + images(table, sets, false).count()
}
