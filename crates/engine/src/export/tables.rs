//! All tables as a file that other programs read: one JSON object of them, or a zip of CSV files.
//!
//! What virtual tables keep for themselves is left out; one that has its rows from another table, or none that can be read, too.

use super::shadow::{self, Content};
use super::table::{Form, Rows};
use super::zip::Zip;
use super::{Sink, cannot_write};
use crate::error::Result;
use crate::json;
use crate::sqlite::gate::{is_sealed, is_system};
use rusqlite::Connection;
use std::collections::HashSet;

/// Where the CREATE statements are, if they are asked for: a name that no table of anyone's has.
const SCHEMA: &str = "_tide_schema";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// `{"table": [rows], …}`; with the schema, its statements as `_tide_schema` before them.
    Json { schema: bool },
    /// `table.csv` for each; with the schema, its statements in `_tide_schema.sql`.
    Csv { schema: bool },
}

impl Tables {
    pub(super) fn write(self, connection: &Connection, sink: &mut Sink<'_>) -> Result<()> {
        match self {
            Self::Json { schema } => object(connection, schema, sink),
            Self::Csv { schema } => zip(connection, schema, sink),
        }
    }

    pub(super) fn count(connection: &Connection) -> Result<u64> {
        let tables = names(connection)?.into_iter();
        tables.map(|table| Rows { table, form: Form::Json }.count(connection)).sum()
    }
}

fn object(connection: &Connection, schema: bool, sink: &mut Sink<'_>) -> Result<()> {
    sink.text().extend_from_slice(b"{\n");
    let mut is_first = true;
    if schema {
        let statements = serde_json::to_string(&statements(connection)?);
        let statements = statements.expect("texts are always JSON");
        sink.text().extend_from_slice(format!("\"{SCHEMA}\": {statements}\n").as_bytes());
        is_first = false;
    }
    for table in names(connection)? {
        if !std::mem::take(&mut is_first) {
            sink.text().push(b',');
        }
        json::write_str(sink.text(), &table);
        sink.text().extend_from_slice(b": ");
        Rows { table, form: Form::Json }.write(connection, sink)?;
    }
    sink.line("}")
}

fn zip(connection: &Connection, schema: bool, sink: &mut Sink<'_>) -> Result<()> {
    sink.flush()?;
    let mut zip = Zip::new(&mut *sink.out);
    let (heard, rows, breath_rows) = (&mut *sink.heard, &mut sink.rows, sink.breath_rows);
    if schema {
        let statements: String =
            statements(connection)?.iter().map(|sql| format!("{}\n", super::dump::ended(sql))).collect();
        zip.entry(&format!("{SCHEMA}.sql"), |out| out.write_all(statements.as_bytes()).map_err(cannot_write))?;
    }
    let mut taken = HashSet::new();
    for table in names(connection)? {
        let name = file_name(&table, &mut taken);
        zip.entry(&name, |out| {
            let mut inner = Sink { out, heard: &mut *heard, piece: Vec::new(), rows: *rows, breath_rows };
            Rows { table, form: Form::Csv }.write(connection, &mut inner)?;
            inner.flush()?;
            *rows = inner.rows;
            Ok(())
        })?;
    }
    zip.finish()
}

/// What stands in the schema, in the order it was made, but for what is ours or a virtual table's own affair.
struct Made {
    kind: String,
    name: String,
    table: String,
    sql: String,
}

fn made(connection: &Connection) -> Result<Vec<Made>> {
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY rowid",
    )?;
    let made = statement
        .query_map([], |row| Ok(Made { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? }))?;
    let made: Vec<Made> = made.collect::<rusqlite::Result<_>>()?;
    let shadows = shadow::all(made.iter().map(|made| (made.name.as_str(), made.sql.as_str())))?;
    let is_shown = |made: &Made| !is_system(&made.table) && !is_sealed(&made.table) && !shadows.contains(&made.table);
    Ok(made.into_iter().filter(is_shown).collect())
}

fn names(connection: &Connection) -> Result<Vec<String>> {
    let has_rows = |sql: &str| !shadow::is_virtual(sql) || matches!(shadow::content(sql), Content::Own { .. });
    let tables = made(connection)?.into_iter().filter(|made| made.kind == "table" && has_rows(&made.sql));
    Ok(tables.map(|made| made.name).collect())
}

fn statements(connection: &Connection) -> Result<Vec<String>> {
    Ok(made(connection)?.into_iter().map(|made| made.sql).collect())
}

/// A table may have any name; a file must not lead out of its folder, nor be another one where letters have no case.
fn file_name(table: &str, taken: &mut HashSet<String>) -> String {
    let is_bad = |char: char| char.is_control() || "/\\:*?\"<>|".contains(char);
    let plain = table.replace(is_bad, "_");
    let plain = if plain.starts_with('.') || plain.is_empty() { format!("_{plain}") } else { plain };
    let mut name = format!("{plain}.csv");
    let mut number = 1;
    while !taken.insert(name.to_lowercase()) {
        number += 1;
        name = format!("{plain}-{number}.csv");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::file_name;
    use std::collections::HashSet;

    #[test]
    fn a_tables_name_becomes_a_files_that_leads_nowhere_else() {
        let mut taken = HashSet::new();
        let names = ["users", "../../etc/x", "..", "a/b", "a_b", "Users", "c:\\d", ""];
        let names = names.map(|name| file_name(name, &mut taken));
        let wanted =
            ["users.csv", "_.._.._etc_x.csv", "_...csv", "a_b.csv", "a_b-2.csv", "Users-2.csv", "c__d.csv", "_.csv"];
        assert_eq!(names, wanted);
    }
}
