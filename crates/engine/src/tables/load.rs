//! Reads the tables' description from a database.

use super::{Check, Column, Kind, Open, Reference, Relation, Table, Tables};
use crate::error::Result;
use crate::sqlite::exclude::unquoted;
use crate::sqlite::gate::is_system;
use crate::sqlite::tokens::{Kind as Token_, Token, tokens};
use crate::value::Value;
use rusqlite::Connection;
use std::sync::Arc;

/// Everything in the file, as the administrator may know it. SQLite's own tables are left out.
pub fn load(connection: &Connection) -> Result<Tables> {
    let mut list = connection.prepare(
        "SELECT l.name, l.type, l.strict, coalesce(s.sql, '') FROM pragma_table_list AS l
         JOIN main.sqlite_schema AS s ON s.type IN ('table', 'view') AND s.name = l.name
         WHERE l.schema = 'main' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let rows = list.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let rows: Vec<(String, String, bool, String)> = rows.collect::<Result<_, _>>()?;
    let tables = rows.into_iter().map(|(name, kind, is_strict, sql)| {
        let relation = match kind.as_str() {
            "view" => Relation::View,
            "virtual" => Relation::Virtual,
            "shadow" => Relation::Shadow,
            _ => Relation::Table,
        };
        table(connection, &name, relation, is_strict, &sql).map(Arc::new)
    });
    let mut tables: Vec<Arc<Table>> = tables.collect::<Result<_>>()?;
    settle_parents(&mut tables);
    take_schemas(connection, &mut tables)?;
    Ok(Tables::new(tables))
}

fn table(connection: &Connection, name: &str, relation: Relation, is_strict: bool, sql: &str) -> Result<Table> {
    let mut columns = Vec::new();
    let mut keyed: Vec<(i64, usize)> = Vec::new();
    let mut info = connection.prepare_cached(
        "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid",
    )?;
    let mut rows = info.query([name])?;
    while let Some(row) = rows.next()? {
        let (declared, place): (String, i64) = (row.get(1)?, row.get(4)?);
        if place > 0 {
            keyed.push((place, columns.len()));
        }
        columns.push(Column {
            name: row.get::<_, String>(0)?.into(),
            kind: kind(&declared),
            declared: declared.into(),
            is_not_null: row.get(2)?,
            default: row.get::<_, Option<String>>(3)?.map(Into::into),
            is_generated: row.get::<_, i64>(5)? >= 2,
            schema: None,
            is_rowid: false,
            open: Open::EVERYTHING,
        });
    }
    keyed.sort_unstable();
    let key: Vec<usize> = keyed.into_iter().map(|(_, index)| index).collect();
    mark_rowid(connection, name, &key, &mut columns)?;
    let checks = if relation == Relation::Table { checks(sql, &columns) } else { Vec::new() };
    for check in &checks {
        mark_json(check, &mut columns);
    }
    let open = match relation {
        Relation::Table if is_system(name) => Open::READ,
        Relation::Table => Open::EVERYTHING,
        Relation::View | Relation::Shadow => Open::READ,
        // It gives no RETURNING for changes and no key.
        Relation::Virtual => Open::READ.with(Open::INSERT),
    };
    let references = references(connection, name, &columns)?;
    let mut table = Table { name: name.into(), relation, is_strict, columns, key, references, checks, open };
    for column in &mut table.columns {
        if column.is_generated {
            column.open = column.open.without(Open::INSERT).without(Open::UPDATE);
        }
    }
    Ok(table)
}

/// Only a key that is the rowid has no index of its own.
fn mark_rowid(connection: &Connection, table: &str, key: &[usize], columns: &mut [Column]) -> Result<()> {
    let &[only] = key else { return Ok(()) };
    if !columns[only].declared.eq_ignore_ascii_case("integer") {
        return Ok(());
    }
    let mut indexes = connection.prepare_cached("SELECT count(*) FROM pragma_index_list(?1) WHERE origin = 'pk'")?;
    columns[only].is_rowid = indexes.query_row([table], |row| row.get::<_, i64>(0))? == 0;
    Ok(())
}

/// As SQLite finds affinities (sqlite.org/datatype3.html, section 3.1), and with two names that people use.
fn kind(declared: &str) -> Kind {
    let declared = declared.to_ascii_uppercase();
    let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
    match () {
        () if has(&["INT"]) => Kind::Integer,
        () if has(&["CHAR", "CLOB", "TEXT"]) => Kind::Text,
        () if has(&["JSON"]) => Kind::Json,
        () if has(&["BLOB"]) => Kind::Blob,
        () if declared.is_empty() || declared == "ANY" => Kind::Any,
        () if has(&["REAL", "FLOA", "DOUB"]) => Kind::Real,
        () if has(&["BOOL"]) => Kind::Boolean,
        () => Kind::Numeric,
    }
}

fn references(connection: &Connection, table: &str, columns: &[Column]) -> Result<Vec<Reference>> {
    let mut list = connection.prepare_cached(
        "SELECT id, \"table\", \"from\", coalesce(\"to\", '') FROM pragma_foreign_key_list(?1) ORDER BY id, seq",
    )?;
    let rows = list.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let mut references: Vec<(i64, Reference)> = Vec::new();
    for row in rows {
        let (id, parent, from, to): (i64, String, String, String) = row?;
        let Some(column) = columns.iter().position(|column| column.name.eq_ignore_ascii_case(&from)) else { continue };
        if references.last().is_none_or(|(last, _)| *last != id) {
            references.push((id, Reference { columns: Vec::new(), parent: parent.into(), parent_columns: Vec::new() }));
        }
        if let Some((_, reference)) = references.last_mut() {
            reference.columns.push(column);
            reference.parent_columns.push(to.into());
        }
    }
    // SQLite lists the last declared first.
    references.reverse();
    Ok(references.into_iter().map(|(_, reference)| reference).collect())
}

/// A foreign key that names no columns of its parent means the primary key's.
fn settle_parents(tables: &mut [Arc<Table>]) {
    let names = |table: &Table| table.key.iter().map(|&column| table.columns[column].name.clone()).collect();
    let keys: Vec<(String, Vec<Box<str>>)> =
        tables.iter().map(|table| (table.name.to_ascii_lowercase(), names(table))).collect();
    for table in tables {
        let Some(table) = Arc::get_mut(table) else { continue };
        for reference in &mut table.references {
            if reference.parent_columns.iter().any(|name| name.is_empty()) {
                let parent = reference.parent.to_ascii_lowercase();
                let key = keys.iter().find(|(name, _)| *name == parent).map(|(_, key)| key.clone());
                reference.parent_columns = key.unwrap_or_default();
            }
        }
        table.references.retain(|reference| reference.columns.len() == reference.parent_columns.len());
    }
}

/// A column with a JSON Schema holds JSON. A file that no server has opened has no schemas.
fn take_schemas(connection: &Connection, tables: &mut [Arc<Table>]) -> Result<()> {
    if !tables.iter().any(|table| &*table.name == "_tide_schemas") {
        return Ok(());
    }
    let mut list = connection.prepare_cached(crate::schemas::LIST)?;
    let rows = list.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    for row in rows {
        let (name, column, schema): (String, String, String) = row?;
        let table = tables.iter_mut().find(|table| table.name.eq_ignore_ascii_case(&name)).and_then(Arc::get_mut);
        let Some(table) = table else { continue };
        if let Some(column) = table.find(&column) {
            table.columns[column].kind = Kind::Json;
            table.columns[column].schema = Some(schema.into());
        }
    }
    Ok(())
}

/// The values of the columns' defaults, as SQLite finds them.
pub fn defaults(connection: &Connection, columns: &[&Column]) -> Result<Vec<Value>> {
    // A default is an expression of the schema's author that names no column.
    let shown =
        |column: &&Column| column.default.as_ref().map_or_else(|| "NULL".to_owned(), |sql| format!("({sql}\n)"));
    let all = columns.iter().map(shown).collect::<Vec<_>>().join(", ");
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(&format!("SELECT {all}"))?;
    let read = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|index| Ok(row.get_ref(index)?.into())).collect();
    Ok(statement.query_row([], read)?)
}

/// The CHECKs in the text of a CREATE TABLE.
fn checks(sql: &str, columns: &[Column]) -> Vec<Check> {
    let text: Vec<Token<'_>> = tokens(sql).collect();
    let mut checks = Vec::new();
    for at in 0..text.len().saturating_sub(1) {
        if !text[at].is("check") || !text[at + 1].is_punctuation(b'(') {
            continue;
        }
        let mut depth = 0_usize;
        let close = (at + 1..text.len()).find(|&index| {
            match text[index].kind {
                Token_::Punctuation(b'(') => depth += 1,
                Token_::Punctuation(b')') => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let Some(close) = close else { break };
        let within = &text[at + 2..close];
        let is_named = at >= 2 && text[at - 2].is("constraint");
        let called = if is_named {
            unquoted(text[at - 1].text)
        } else {
            sql[text[at + 1].end()..text[close].at].trim().to_owned()
        };
        let is_of = |column: &Column| {
            within.iter().any(|token| {
                matches!(token.kind, Token_::Word | Token_::Quoted)
                    && unquoted(token.text).eq_ignore_ascii_case(&column.name)
            })
        };
        let columns = (0..columns.len()).filter(|&index| is_of(&columns[index])).collect();
        checks.push(Check { called: called.into(), columns });
    }
    checks
}

/// `CHECK (json_valid(column))` says what a column of text holds.
fn mark_json(check: &Check, columns: &mut [Column]) {
    let &[only] = &check.columns[..] else { return };
    let text: Vec<Token<'_>> = tokens(&check.called).collect();
    let asks = text.first().is_some_and(|first| first.is("json_valid"))
        && text.get(1).is_some_and(|next| next.is_punctuation(b'('))
        && text.get(3).is_some_and(|next| next.is_punctuation(b')'));
    if asks && matches!(columns[only].kind, Kind::Text | Kind::Any | Kind::Blob) {
        columns[only].kind = Kind::Json;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(sql: &str) -> Tables {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        load(&connection).unwrap()
    }

    #[test]
    fn a_table_is_described_by_its_keys_types_and_checks() {
        let tables = loaded(
            "CREATE TABLE parent (a TEXT, b INT, PRIMARY KEY (b, a)) WITHOUT ROWID;
             CREATE TABLE child (id INTEGER PRIMARY KEY, pa, pb, up REFERENCES child, mood TEXT DEFAULT 'calm' NOT NULL,
               doc TEXT CHECK (json_valid(doc)), more JSON, made DATE, live BOOLEAN, twice AS (id * 2),
               CONSTRAINT \"not sad\" CHECK (mood <> 'sad' AND id > 0), FOREIGN KEY (pb, pa) REFERENCES parent);
             CREATE VIEW seen AS SELECT id, count(*) AS n FROM child;
             CREATE VIRTUAL TABLE words USING fts5 (word);",
        );
        let child = tables.get("CHILD").unwrap();
        let kinds: Vec<Kind> = child.columns.iter().map(|column| column.kind).collect();
        assert_eq!(
            kinds,
            [
                Kind::Integer,
                Kind::Any,
                Kind::Any,
                Kind::Any,
                Kind::Text,
                Kind::Json,
                Kind::Json,
                Kind::Numeric,
                Kind::Boolean,
                Kind::Any
            ]
        );
        assert!(child.columns[0].is_rowid && child.columns[9].is_generated && !child.columns[9].open.has(Open::INSERT));
        let links: Vec<(&str, &[usize], Vec<&str>)> = child
            .references
            .iter()
            .map(|link| (&*link.parent, &link.columns[..], link.parent_columns.iter().map(|name| &**name).collect()))
            .collect();
        assert_eq!(links, [("child", &[3][..], vec!["id"]), ("parent", &[2, 1][..], vec!["b", "a"])]);
        let checks: Vec<(&str, &[usize])> =
            child.checks.iter().map(|check| (&*check.called, &check.columns[..])).collect();
        assert_eq!(checks, [("json_valid(doc)", &[5][..]), ("not sad", &[0, 4][..])]);
        assert_eq!(tables.get("parent").unwrap().key, [1, 0]);
        assert_eq!(tables.get("seen").unwrap().relation, Relation::View);
        assert_eq!(tables.get("words_data").unwrap().relation, Relation::Shadow);
        assert!(tables.get("sqlite_schema").is_none());
    }
}
