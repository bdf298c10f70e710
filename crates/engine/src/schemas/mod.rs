//! JSON Schemas of columns: what a document must be like to be stored, whichever way it is written.
//!
//! Kept in `_tide_schemas`, one row for a column. The writer reads each changed row back before it is kept; there the documents
//! that are new are judged, so SQL, REST, keys and triggers are held to the same. What another program writes to the file is
//! not seen in time. Tables without a schema are not looked at.

mod document;
mod keep;

pub use keep::{LIST, SchemaWrite, list, run};

use crate::changes::change::Rows;
use crate::error::{Error, Result};
use crate::sqlite::exclude::quoted;
use crate::sqlite::schema::Schema;
use crate::value::ValueRef;
use jsonschema::Validator;
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A column's schema, ready to judge.
#[derive(Debug)]
pub struct Kept {
    pub column: Box<str>,
    text: Box<str>,
    validator: Validator,
}

/// May a refusal tell of this column of this table?
type IsTold<'a> = &'a dyn Fn(&str, &str) -> bool;

/// All of a file, by lower-case table.
#[derive(Debug, Default)]
pub struct Schemas(HashMap<Box<str>, Vec<Arc<Kept>>>);

impl Schemas {
    /// Those of the file whose table and column are there; one that was made before is taken over.
    pub fn load(connection: &Connection, schema: &Schema, before: &Self) -> Result<Self> {
        let mut schemas = HashMap::<Box<str>, Vec<Arc<Kept>>>::new();
        for (table, column, text) in keep::load(connection)? {
            if keep::column(schema, &table, &column).is_err() {
                tracing::warn!(table, column, "a JSON Schema has lost its column: it binds nothing");
                continue;
            }
            let table: Box<str> = table.to_ascii_lowercase().into();
            let same = |kept: &&Arc<Kept>| *kept.column == *column && *kept.text == *text;
            let known = before.0.get(&table).and_then(|kept| kept.iter().find(same)).cloned();
            let kept = match known {
                Some(kept) => kept,
                None => Arc::new(Kept::new(&column, &text)?),
            };
            schemas.entry(table).or_default().push(kept);
        }
        Ok(Self(schemas))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Do all documents that these changes leave fit? Those that were not changed are not asked. A refusal tells of a table's column
    /// if `is_told` says so.
    pub fn judge(&self, rows: &Rows, is_told: IsTold<'_>) -> Result<()> {
        for (index, shape) in rows.shapes.iter().enumerate() {
            let Some(schemas) = self.0.get(shape.table.to_ascii_lowercase().as_str()) else { continue };
            for kept in schemas {
                let column = shape.columns.iter().position(|column| column.eq_ignore_ascii_case(&kept.column));
                let Some(column) = column else { continue };
                for change in rows.changes.iter().filter(|change| change.shape == index) {
                    let Some(new) = change.new.as_ref().map(|row| &row[column]) else { continue };
                    if change.old.as_ref().is_none_or(|old| !old[column].same(new)) {
                        kept.judge(&shape.table, new.as_ref(), is_told)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Do all documents of these tables fit, or of all tables? For where it is not known which rows have changed.
    pub fn judge_tables(
        &self,
        connection: &Connection,
        tables: Option<&[Box<str>]>,
        time: Duration,
        is_told: IsTold<'_>,
    ) -> Result<()> {
        let until = Instant::now() + time;
        for (table, schemas) in &self.0 {
            if tables.is_none_or(|tables| tables.contains(table)) {
                schemas.iter().try_for_each(|kept| kept.judge_table(connection, table, until, is_told))?;
            }
        }
        Ok(())
    }
}

impl Kept {
    fn new(column: &str, text: &str) -> Result<Self> {
        let validator = document::validator(text)?;
        Ok(Self { column: column.into(), text: text.into(), validator })
    }

    fn judge(&self, table: &str, value: ValueRef<'_>, is_told: IsTold<'_>) -> Result<()> {
        document::judge(&self.validator, value).map_err(|misfit| {
            let column = &self.column;
            if !is_told(table, column) {
                return Error::invalid("It would write a document that does not fit its JSON Schema.");
            }
            Error::invalid(format!("What is written to {column} of {table} does not fit its JSON Schema: {misfit}."))
                .of_column(&**column)
                .at_pointer(misfit.pointer)
        })
    }

    fn judge_table(&self, connection: &Connection, table: &str, until: Instant, is_told: IsTold<'_>) -> Result<()> {
        let column = quoted(&self.column);
        let sql = format!("SELECT {column} FROM main.{} WHERE {column} IS NOT NULL", quoted(table));
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.judge(table, row.get_ref(0)?, is_told)?;
            if Instant::now() > until {
                return Err(Error::timeout(format!("There are too many documents in {table} to look at in time.")));
            }
        }
        Ok(())
    }
}
