//! SQL text as it is put together: names of the schema, quoted, and values, bound.

use tidebase_engine::sqlite::exclude::quoted;
use tidebase_engine::tables::Table;
use tidebase_engine::{Params, Sql, Value};

#[derive(Clone, Debug, Default)]
pub struct Text {
    sql: String,
    values: Vec<Value>,
}

impl Text {
    pub fn of(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), values: Vec::new() }
    }

    /// SQL of this program.
    pub fn say(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// A name of the schema.
    pub fn name(&mut self, name: &str) -> &mut Self {
        self.sql.push_str(&quoted(name));
        self
    }

    /// `table.column`: never bare, for SQLite would take a quoted name that it does not know for a text.
    pub fn column(&mut self, of: &str, column: &str) -> &mut Self {
        self.name(of).say(".").name(column)
    }

    pub fn bind(&mut self, value: Value) -> &mut Self {
        self.sql.push('?');
        self.values.push(value);
        self
    }

    pub fn add(&mut self, other: &Self) -> &mut Self {
        self.sql.push_str(&other.sql);
        self.values.extend(other.values.iter().cloned());
        self
    }

    /// Each of them, with this between.
    pub fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        between: &str,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.say(between);
            }
            write(self, item);
        }
        self
    }

    pub fn is_empty(&self) -> bool {
        self.sql.is_empty()
    }

    pub fn done(self) -> Sql {
        Sql { sql: self.sql, params: Params::Positional(self.values) }
    }
}

/// `of.key = ?` for each column of the key.
pub fn has_key(text: &mut Text, of: &str, table: &Table, id: &[Value]) {
    text.list(table.key.iter().zip(id), " AND ", |text, (&column, value)| {
        text.column(of, &table.columns[column].name).say(" = ").bind(value.clone());
    });
}
