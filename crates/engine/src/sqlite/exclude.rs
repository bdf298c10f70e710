//! StarbaseDB's macro: `SELECT $_exclude(a, b) FROM t` selects every column of `t` but those.

use super::tokens::{Kind, Token, tokens};
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::borrow::Cow;

/// The SQL with every `$_exclude(…)` replaced by the remaining columns of the table after the next FROM. `columns` gives all that
/// a table shows.
pub fn expand(sql: &str, columns: impl Fn(&str) -> Result<Vec<String>>) -> Result<Cow<'_, str>> {
    if !sql.contains("$_exclude") {
        return Ok(Cow::Borrowed(sql));
    }
    let all: Vec<Token<'_>> = tokens(sql).collect();
    let mut expanded = String::with_capacity(sql.len() + 64);
    let mut copied = 0;
    for (index, token) in all.iter().enumerate() {
        let is_macro = token.kind == Kind::Variable && token.text.eq_ignore_ascii_case("$_exclude");
        if !is_macro || !all.get(index + 1).is_some_and(|next| next.is_punctuation(b'(')) {
            continue;
        }
        let close = all[index..]
            .iter()
            .position(|token| token.is_punctuation(b')'))
            .map(|offset| index + offset)
            .ok_or_else(|| Error::invalid("$_exclude( has no closing parenthesis."))?;
        let excluded: Vec<String> = all[index + 2..close]
            .iter()
            .filter(|token| matches!(token.kind, Kind::Word | Kind::Quoted))
            .map(|token| unquoted(token.text))
            .collect();
        let table = all[close..]
            .windows(2)
            .find(|pair| pair[0].is("from"))
            .map(|pair| unquoted(pair[1].text))
            .ok_or_else(|| Error::invalid("$_exclude needs a table after FROM."))?;
        expanded.push_str(&sql[copied..token.at]);
        expanded.push_str(&remaining(&columns(&table)?, &table, &excluded)?);
        copied = all[close].end();
    }
    expanded.push_str(&sql[copied..]);
    Ok(Cow::Owned(expanded))
}

/// The columns of a table, hidden ones of virtual tables left out; none if there is no table.
pub fn columns(connection: &Connection, table: &str) -> Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden <> 1")?;
    Ok(statement.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

fn remaining(columns: &[String], table: &str, excluded: &[String]) -> Result<String> {
    if columns.is_empty() {
        return Err(Error::invalid(format!("no such table: {table}")));
    }
    let is_excluded = |column: &String| excluded.iter().any(|name| name.eq_ignore_ascii_case(column));
    if let Some(unknown) = excluded.iter().find(|name| !columns.iter().any(|column| column.eq_ignore_ascii_case(name)))
    {
        return Err(Error::invalid(format!("no such column: {unknown} (in $_exclude, table {table})")));
    }
    let kept: Vec<String> = columns.iter().filter(|column| !is_excluded(column)).map(|column| quoted(column)).collect();
    if kept.is_empty() {
        return Err(Error::invalid(format!("$_exclude leaves no column of {table}.")));
    }
    Ok(kept.join(", "))
}

/// An identifier as SQL text.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub fn unquoted(text: &str) -> String {
    match text.as_bytes().first() {
        Some(&quote @ (b'"' | b'`')) if text.len() >= 2 => {
            let quote = char::from(quote).to_string();
            text[1..text.len() - 1].replace(&quote.repeat(2), &quote)
        }
        Some(b'[') if text.len() >= 2 => text[1..text.len() - 1].to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_columns_are_selected() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("create table people(id, \"full name\", secret, age as (id + 1))").unwrap();
        for (sql, expected) in [
            ("select $_exclude(secret) from people", "select \"id\", \"full name\", \"age\" from people"),
            ("select $_exclude(ID, \"full name\") from [people] p", "select \"secret\", \"age\" from [people] p"),
            ("select '$_exclude(a)'", "select '$_exclude(a)'"),
        ] {
            assert_eq!(expand(sql, |table| columns(&connection, table)).unwrap(), expected);
        }
        for sql in
            ["select $_exclude(secret) from nowhere", "select $_exclude(nothing) from people", "select $_exclude(id"]
        {
            assert!(expand(sql, |table| columns(&connection, table)).is_err(), "{sql}");
        }
    }
}
