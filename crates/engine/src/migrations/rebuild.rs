//! How a table becomes another: by ALTER TABLE where SQLite can, and otherwise by making it anew beside the old one, as SQLite's documentation
//! tells (sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes"). What hangs on it is [`super::difference`]'s affair.

use super::replay;
use super::shape::{Object, Shape, words};
use crate::error::Result;
use crate::sqlite::Sqlite;
use crate::sqlite::exclude::{quoted, unquoted};
use crate::sqlite::tokens::{Kind, tokens};
use rusqlite::Connection;

/// A table as SQLite describes it.
pub struct Table {
    pub name: String,
    pub sql: String,
    pub columns: Vec<Column>,
    has_rowid: bool,
    /// The column that is the rowid.
    alias: Option<String>,
}

pub struct Column {
    pub name: String,
    is_required: bool,
    default: Option<String>,
    /// 0 if it is an ordinary one, 2 or 3 if it is generated.
    hidden: i64,
}

impl Table {
    pub fn load(connection: &Connection, object: &Object) -> Result<Self> {
        let name = object.name.as_str();
        let mut statement = connection.prepare_cached(
            "SELECT name, \"notnull\", dflt_value, hidden, type, pk FROM pragma_table_xinfo(?1) ORDER BY cid",
        )?;
        let rows = statement.query_map([name], |row| {
            let column =
                Column { name: row.get(0)?, is_required: row.get(1)?, default: row.get(2)?, hidden: row.get(3)? };
            Ok((column, row.get::<_, String>(4)?, row.get::<_, i64>(5)?))
        })?;
        let rows: Vec<(Column, String, i64)> = rows.collect::<rusqlite::Result<_>>()?;
        let (has_rowid, key_has_index): (bool, bool) = connection
            .prepare_cached(
                "SELECT (SELECT NOT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1),
                   EXISTS (SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk')",
            )?
            .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let key: Vec<&(Column, String, i64)> = rows.iter().filter(|(_, _, key)| *key > 0).collect();
        let alias = match key[..] {
            [(column, kind, _)] if kind.eq_ignore_ascii_case("integer") && has_rowid && !key_has_index => {
                Some(column.name.clone())
            }
            _ => None,
        };
        let columns = rows.into_iter().map(|(column, ..)| column).collect();
        Ok(Self { name: name.to_owned(), sql: object.sql.clone(), columns, has_rowid, alias })
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    fn has_free_rowid(&self) -> bool {
        self.has_rowid && self.column("rowid").is_none()
    }

    fn counts_up(&self) -> bool {
        words(&self.sql).iter().any(|word| word.eq_ignore_ascii_case("autoincrement"))
    }

    /// What stands in the CREATE statement for a column.
    fn definition(&self, column: &str) -> Option<&str> {
        let (mut depth, mut begins, mut is_name) = (0, None, false);
        for token in tokens(&self.sql).skip(3) {
            let is_end = depth == 1 && matches!(token.kind, Kind::Punctuation(b',' | b')'));
            if let Some(begin) = begins
                && is_end
            {
                return Some(self.sql[begin..token.at].trim());
            }
            match token.kind {
                Kind::Punctuation(b'(') => depth += 1,
                Kind::Punctuation(b')') => depth -= 1,
                _ => {}
            }
            if is_name && depth == 1 && named(token.kind, token.text).eq_ignore_ascii_case(column) {
                begins = Some(token.at);
            }
            is_name = depth == 1 && matches!(token.kind, Kind::Punctuation(b'(' | b','));
        }
        None
    }
}

fn named(kind: Kind, text: &str) -> String {
    if kind == Kind::Text { text.trim_matches('\'').replace("''", "'") } else { unquoted(text) }
}

/// The ALTER statements that make `from` into `to`, if there are such. Tried on a database of the shape `stage`.
pub fn altered(stage: &Shape, from: &Table, to: &Table) -> Result<Option<Vec<String>>> {
    let table = quoted(&from.name);
    let gone = from.columns.iter().filter(|column| to.column(&column.name).is_none());
    let mut statements: Vec<String> =
        gone.map(|column| format!("ALTER TABLE {table} DROP COLUMN {}", quoted(&column.name))).collect();
    for column in to.columns.iter().filter(|column| from.column(&column.name).is_none()) {
        let Some(definition) = to.definition(&column.name).filter(|text| can_be_added(column, text)) else {
            return Ok(None);
        };
        statements.push(format!("ALTER TABLE {table} ADD COLUMN {definition}"));
    }
    if statements.is_empty() {
        return Ok(None);
    }
    let scratch = replay::of_shape(stage)?;
    let are_understood = statements.iter().all(|statement| scratch.own.execute_batch(statement).is_ok());
    let is_reached = are_understood && now(&scratch, &from.name)?.is_some_and(|sql| words(&sql) == words(&to.sql));
    Ok(is_reached.then_some(statements))
}

fn now(scratch: &Sqlite, table: &str) -> Result<Option<String>> {
    let shape = Shape::read(&scratch.own)?;
    Ok(shape.find("table", table).map(|object| object.sql.clone()))
}

/// Can it be added to a table that has rows? SQLite says so only where there are some.
fn can_be_added(column: &Column, definition: &str) -> bool {
    let text: Vec<_> = tokens(definition).collect();
    let default = column.default.as_deref().filter(|value| !value.eq_ignore_ascii_case("null"));
    let is_computed = text.windows(2).any(|pair| {
        pair[0].is("default")
            && (pair[1].is_punctuation(b'(') || pair[1].is_any(&["current_time", "current_date", "current_timestamp"]))
    });
    let refers = text.iter().any(|token| token.is("references"));
    !(column.hidden == 3 || is_computed || column.is_required && default.is_none() || refers && default.is_some())
}

/// The statements that make the table anew, with the rows of the columns that both have.
pub fn rebuilt(from: &Table, to: &Table) -> Vec<String> {
    let beside = quoted(&format!("{} rebuilt", to.name));
    let table = quoted(&to.name);
    let mut statements = vec![with_name(&to.sql, &beside)];
    let is_common =
        |column: &&Column| column.hidden == 0 && from.column(&column.name).is_some_and(|its| its.hidden == 0);
    let common: Vec<&Column> = to.columns.iter().filter(is_common).collect();
    let alias_is_common = to.alias.as_ref().is_some_and(|alias| common.iter().any(|column| column.name == *alias));
    let keeps_rowid = from.has_free_rowid() && to.has_free_rowid() && !alias_is_common && !common.is_empty();
    let names: Vec<String> = keeps_rowid
        .then(|| "rowid".to_owned())
        .into_iter()
        .chain(common.iter().map(|column| quoted(&column.name)))
        .collect();
    if !names.is_empty() {
        let names = names.join(", ");
        statements.push(format!("INSERT INTO {beside} ({names}) SELECT {names} FROM {table}"));
    }
    if from.counts_up() && to.counts_up() {
        let text = |name: &str| format!("'{}'", name.replace('\'', "''"));
        let (old, new) = (text(&from.name), text(&format!("{} rebuilt", to.name)));
        statements.push(format!("DELETE FROM sqlite_sequence WHERE name = {new}"));
        statements.push(format!(
            "INSERT INTO sqlite_sequence (name, seq) SELECT {new}, seq FROM sqlite_sequence WHERE name = {old}"
        ));
    }
    statements.push(format!("DROP TABLE {table}"));
    statements.push(format!("ALTER TABLE {beside} RENAME TO {table}"));
    statements
}

/// What should be looked at before it is applied where there are rows.
pub fn doubts(from: &Table, to: &Table) -> Vec<String> {
    let lost = from.columns.iter().filter(|column| column.hidden == 0 && to.column(&column.name).is_none());
    let lost = lost.map(|column| {
        format!(
            "Loses the column {} of {}. If it has another name now, write ALTER TABLE … RENAME COLUMN instead.",
            column.name, from.name
        )
    });
    let bare = to.columns.iter().filter(|column| {
        column.hidden == 0 && column.is_required && column.default.is_none() && from.column(&column.name).is_none()
    });
    let bare = bare.map(|column| {
        format!(
            "The column {} of {} is NOT NULL and has no default: say what rows that are there have in it.",
            column.name, to.name
        )
    });
    lost.chain(bare).collect()
}

/// A CREATE statement with another name.
fn with_name(sql: &str, name: &str) -> String {
    match tokens(sql).nth(2) {
        Some(token) => format!("{}{name}{}", &sql[..token.at], &sql[token.end()..]),
        None => sql.to_owned(),
    }
}
