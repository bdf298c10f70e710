//! Mirrors: tables in memory with nothing in them but the rows that a step has changed, once as they were and once as they
//! are. A query that is run on both tells what these rows gave to its result and what they give now, by SQLite's own word.

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
    /// The table whose rows of this step are there.
    loaded: Option<Box<str>>,
}

impl Mirrors {
    /// After a change of the schema tables are others.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Another step has changed other rows.
    pub fn begin_step(&mut self) {
        self.loaded = None;
    }

    /// Shows the changed rows of a table, before and after; `None` if they cannot be told.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn show(&mut self, table: &Table, sets: &[Arc<ChangeSet>]) -> Result<Option<&mut [Sqlite; 2]>> {
        if self.loaded.as_ref().is_none_or(|loaded| !loaded.eq_ignore_ascii_case(&table.name)) {
            if !sets.iter().all(|set| are_told(table, set)) {
                return Ok(None);
            }
            self.loaded = None;
            self.load(table, sets)?;
            self.loaded = Some(table.name.clone());
        }
        Ok(self.sides.as_mut())
    }

    fn load(&mut self, table: &Table, sets: &[Arc<ChangeSet>]) -> Result<()> {
        let sides = match &mut self.sides {
            Some(sides) => sides,
            none => none.insert([open::in_memory()?, open::in_memory()?]),
        };
        let name = quoted(&table.name);
        if self.made.insert(table.name.to_ascii_lowercase().into()) {
            let column = |column: &crate::sqlite::schema::Column| {
                let collation = column.collation.map_or("BINARY", crate::sqlite::schema::Collation::name);
                format!("{} {} COLLATE {collation}", quoted(&column.name), column.kind)
            };
            let columns: Vec<String> = table.columns.iter().map(column).collect();
            for side in &mut *sides {
                side.own.execute_batch(&format!("CREATE TABLE main.{name} ({})", columns.join(", ")))?;
            }
        }
        let insert = format!("INSERT INTO main.{name} VALUES ({})", vec!["?"; table.columns.len()].join(", "));
        for (side, sqlite) in sides.iter_mut().enumerate() {
            sqlite.own.prepare_cached(&format!("DELETE FROM main.{name}"))?.execute([])?;
            let mut insert = sqlite.own.prepare_cached(&insert)?;
            for image in images(table, sets, side == 0) {
                let value = |index| image.get(index).map_or(ValueRef::Null, Value::as_ref);
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
    let is_it = |name: &str| name.eq_ignore_ascii_case(&table.name);
    !rows.opaque.iter().any(|name| is_it(name))
        && rows.shapes.iter().filter(|shape| is_it(&shape.table)).all(|shape| {
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

/// How many rows of the table have changed.
pub fn count(table: &str, sets: &[Arc<ChangeSet>]) -> usize {
    let of_set = |set: &Arc<ChangeSet>| match &set.extent {
        Extent::Rows(rows) => {
            let is_its = |shape: usize| rows.shapes[shape].table.eq_ignore_ascii_case(table);
            rows.changes.iter().filter(|change| is_its(change.shape)).count()
        }
        Extent::Everything { .. } => 0,
    };
    sets.iter().map(of_set).sum()
}
