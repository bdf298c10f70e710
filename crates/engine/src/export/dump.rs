//! The database as SQL that makes it again, in SQLite's own shell or with an import here: tables in the order they were made, then
//! their rows, then indexes, triggers and views.
//!
//! What `.dump` of SQLite's shell loses is kept: rowids of tables that have no other key, text with a NUL in it or that is not UTF-8,
//! `user_version` and `application_id`. Virtual tables (FTS, R-Tree) are made anew and given their rows again; how their module keeps them
//! is its own affair.

use super::shadow::{self, Content};
use super::{Sink, literal};
use crate::error::Result;
use crate::sqlite::exclude::quoted;
use crate::sqlite::gate::{is_sealed, is_system};
use crate::sqlite::tokens::tokens;
use crate::value::ValueRef;
use rusqlite::Connection;

#[derive(Clone, Debug)]
pub struct Dump {
    /// CREATE statements too; otherwise only rows.
    pub schema: bool,
    /// Also Tidebase's own tables, but for secrets, for whoever looks into them. An import passes them over.
    pub system: bool,
}

impl Default for Dump {
    fn default() -> Self {
        Self { schema: true, system: false }
    }
}

/// What stands in `sqlite_schema`.
struct Made {
    kind: String,
    name: String,
    table: String,
    sql: String,
}

/// How the rows of a table are read and written.
struct Body {
    select: String,
    /// `INSERT INTO "t" VALUES(`, with names where they are needed.
    insert: String,
}

impl Dump {
    pub(super) fn write(&self, connection: &Connection, sink: &mut Sink<'_>) -> Result<()> {
        let made = self.made(connection)?;
        let shadows = shadow::all(made.iter().map(|made| (made.name.as_str(), made.sql.as_str())))?;
        sink.line("PRAGMA foreign_keys=OFF;")?;
        sink.line("BEGIN TRANSACTION;")?;
        // Virtual tables last, for some of them read others.
        let tables = made.iter().filter(|made| made.kind == "table" && !shadows.contains(&made.name));
        let (virtuals, tables): (Vec<&Made>, Vec<&Made>) = tables.partition(|table| shadow::is_virtual(&table.sql));
        for table in tables {
            if self.schema {
                sink.line(&ended(&table.sql))?;
            }
            rows(connection, &table.name, sink)?;
        }
        for table in &virtuals {
            if self.schema {
                sink.line(&ended(&table.sql))?;
            }
            for (name, value) in shadow::settings(connection, &table.name, &table.sql)? {
                let table = quoted(&table.name);
                let mut line = format!("INSERT INTO {table}({table},rank) VALUES(").into_bytes();
                literal::write(&mut line, ValueRef::Text(name.as_bytes()));
                line.push(b',');
                literal::write(&mut line, ValueRef::from(&value));
                line.extend_from_slice(b");\n");
                sink.text().extend_from_slice(&line);
            }
            if let Content::Own { has_rowid } = shadow::content(&table.sql) {
                virtual_rows(connection, &table.name, has_rowid, sink)?;
            }
        }
        self.sequences(connection, sink)?;
        if self.schema {
            self.statistics(connection, sink)?;
            for made in made.iter().filter(|made| made.kind != "table") {
                sink.line(&ended(&made.sql))?;
            }
            for Made { name, sql, .. } in virtuals {
                let name = quoted(name);
                match shadow::content(sql) {
                    Content::Own { .. } | Content::Derived => {}
                    // From a table or a view, which by now is there.
                    Content::Elsewhere => sink.line(&format!("INSERT INTO {name}({name}) VALUES('rebuild');"))?,
                    Content::Nowhere => {
                        // A name may have a line end in it, a comment may not.
                        let name = name.replace(char::is_control, " ");
                        sink.line(&format!("-- {name} has no content that could be read: index it again."))?;
                    }
                }
            }
            for pragma in ["user_version", "application_id"] {
                let value: i64 = connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?;
                if value != 0 {
                    sink.line(&format!("PRAGMA {pragma}={value};"))?;
                }
            }
        }
        sink.line("COMMIT;")
    }

    pub(super) fn count(&self, connection: &Connection) -> Result<u64> {
        let mut rows = 0;
        for made in self.made(connection)?.iter().filter(|made| made.kind == "table" && !shadow::is_virtual(&made.sql))
        {
            let count = format!("SELECT count(*) FROM {}", quoted(&made.name));
            rows += connection.query_row(&count, [], |row| row.get::<_, i64>(0))?.unsigned_abs();
        }
        Ok(rows)
    }

    /// In the order they were made, for what is made later may need what was made before.
    fn made(&self, connection: &Connection) -> Result<Vec<Made>> {
        let mut statement = connection.prepare(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY rowid",
        )?;
        let made = statement.query_map([], |row| {
            Ok(Made { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
        })?;
        let made: Vec<Made> = made.collect::<rusqlite::Result<_>>()?;
        Ok(made
            .into_iter()
            .filter(|made| !is_sealed(&made.table) && (self.system || !is_system(&made.table)))
            .collect())
    }

    /// The greatest rowid that each table with AUTOINCREMENT has ever had.
    fn sequences(&self, connection: &Connection, sink: &mut Sink<'_>) -> Result<()> {
        if !exists(connection, "sqlite_sequence")? {
            return Ok(());
        }
        if self.schema {
            // Rows have made some by now. An import here knows what is meant.
            sink.line("DELETE FROM sqlite_sequence;")?;
        }
        let mut statement = connection.prepare("SELECT name, seq FROM sqlite_sequence ORDER BY rowid")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if self.system || !row.get_ref(0)?.as_str().is_ok_and(is_system) {
                row_of(row, 2, "INSERT INTO sqlite_sequence VALUES(", sink)?;
            }
        }
        Ok(())
    }

    /// What ANALYZE has found, by which plans are chosen. Its samples (`sqlite_stat4`) are left out, for many SQLites have no such table.
    fn statistics(&self, connection: &Connection, sink: &mut Sink<'_>) -> Result<()> {
        if !exists(connection, "sqlite_stat1")? {
            return Ok(());
        }
        // Makes the table, and fills it with nothing.
        sink.line("ANALYZE sqlite_schema;")?;
        let mut statement = connection.prepare("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY rowid")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if self.system || !row.get_ref(0)?.as_str().is_ok_and(is_system) {
                row_of(row, 3, "INSERT INTO sqlite_stat1 VALUES(", sink)?;
            }
        }
        Ok(())
    }
}

fn exists(connection: &Connection, table: &str) -> Result<bool> {
    Ok(connection.prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = ?1")?.exists([table])?)
}

/// With its semicolon, which a comment at the end must not swallow. Nothing else stands before it: of a table WITHOUT ROWID SQLite keeps
/// the text up to there.
pub(super) fn ended(sql: &str) -> String {
    let end = tokens(sql).last().map_or(0, |last| last.at + last.text.len());
    if sql[end..].trim().is_empty() { format!("{sql};") } else { format!("{sql}\n;") }
}

/// What a virtual table shows, to be inserted into it again.
fn virtual_rows(connection: &Connection, table: &str, has_rowid: bool, sink: &mut Sink<'_>) -> Result<()> {
    let name = quoted(table);
    let mut statement = connection.prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid")?;
    let columns: Vec<String> = statement.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let rowid = has_rowid.then(|| "rowid".to_owned());
    let names: Vec<String> = rowid.into_iter().chain(columns.iter().map(|column| quoted(column))).collect();
    let mut statement = connection.prepare(&format!("SELECT {} FROM {name}", names.join(", ")))?;
    let mut rows = statement.query([])?;
    let insert = format!("INSERT INTO {name}({}) VALUES(", names.join(","));
    while let Some(row) = rows.next()? {
        row_of(row, names.len(), &insert, sink)?;
    }
    Ok(())
}

fn rows(connection: &Connection, table: &str, sink: &mut Sink<'_>) -> Result<()> {
    let body = body(connection, table)?;
    let mut statement = connection.prepare(&body.select)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        row_of(row, columns, &body.insert, sink)?;
    }
    Ok(())
}

fn row_of(row: &rusqlite::Row<'_>, columns: usize, insert: &str, sink: &mut Sink<'_>) -> Result<()> {
    let out = sink.text();
    out.extend_from_slice(insert.as_bytes());
    for at in 0..columns {
        if at > 0 {
            out.push(b',');
        }
        literal::write(out, row.get_ref(at)?);
    }
    out.extend_from_slice(b");\n");
    sink.end_row()
}

fn body(connection: &Connection, table: &str) -> Result<Body> {
    let mut statement =
        connection.prepare_cached("SELECT name, type, pk FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid")?;
    let columns: Vec<(String, String, i64)> = statement
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let (has_rowid, key_has_index): (bool, bool) = connection
        .prepare_cached(
            "SELECT (SELECT NOT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1),
                EXISTS (SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk')",
        )?
        .query_row([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let key: Vec<&(String, String, i64)> = columns.iter().filter(|(_, _, key)| *key > 0).collect();
    let is_alias = matches!(key[..], [(_, kind, _)] if kind.eq_ignore_ascii_case("integer")) && !key_has_index;
    let is_free = |name: &&str| !columns.iter().any(|(column, ..)| column.eq_ignore_ascii_case(name));
    let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(is_free).filter(|_| has_rowid && !is_alias);
    let names: Vec<String> =
        rowid.map(str::to_owned).into_iter().chain(columns.iter().map(|(name, ..)| quoted(name))).collect();
    let name = quoted(table);
    // In the order they lie in, by which an import is quickest. A table without a name of its own needs none in the INSERT.
    let listed = rowid.map_or_else(String::new, |_| format!("({})", names.join(",")));
    Ok(Body {
        select: format!("SELECT {} FROM {name} NOT INDEXED", names.join(", ")),
        insert: format!("INSERT INTO {name}{listed} VALUES("),
    })
}
