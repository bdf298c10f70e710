//! Literals become parameters, so that SQL texts which differ in a value alone are one template.
//!
//! Only where it can make no difference to the result, nor to the plan: plain integers and texts behind a comparison in
//! the WHERE of a SELECT from one table, in a statement without parameters of its own. Not for a table with a partial
//! index, which SQLite uses only if the text proves that it may; and not for joins and sub-queries, for which SQLite may
//! make one on the way, with a result of its own where collations differ.

use super::outline::Outline;
use super::term::whole_number;
use crate::sqlite::exclude::unquoted;
use crate::sqlite::schema::Schema;
use crate::sqlite::tokens::{Kind, Token};
use crate::value::{Params, Value};

/// The text with parameters in the literals' places, and their values. `None` if nothing was lifted.
pub fn lift(sql: &str, params: &Params, schema: &Schema) -> Option<(String, Params)> {
    let has_params = match params {
        Params::None => false,
        Params::Positional(values) => !values.is_empty(),
        Params::Named(values) => !values.is_empty(),
    };
    if has_params {
        return None;
    }
    let outline =
        Outline::of(sql, 0).filter(|outline| outline.members.len() == 1 && outline.count_of("select") == 1)?;
    let is_kept = |token: &Token<'_>| schema.has_partial_index(unquoted(token.text).trim_matches('\''));
    if outline.names().any(is_kept) {
        return None;
    }
    let mut values = Vec::new();
    let mut lifted = String::with_capacity(sql.len() + 16);
    let mut copied = 0;
    for pair in outline.filter().windows(2) {
        let is_compared = [b'=', b'<', b'>'].iter().any(|byte| pair[0].is_punctuation(*byte));
        if let Some(value) = literal(&pair[1]).filter(|_| is_compared) {
            values.push(value);
            lifted.push_str(&sql[copied..pair[1].at]);
            lifted.push_str(&format!("?{} ", values.len()));
            copied = pair[1].end();
        }
    }
    lifted.push_str(&sql[copied..]);
    (!values.is_empty()).then_some((lifted, Params::Positional(values)))
}

fn literal(token: &Token<'_>) -> Option<Value> {
    match token.kind {
        Kind::Number => whole_number(token.text.as_bytes()).map(Value::Integer),
        Kind::Text if token.text.starts_with('\'') => {
            Some(Value::text(token.text.get(1..token.text.len() - 1)?.replace("''", "'")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_lifted_where_it_makes_no_difference() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (a, b); CREATE TABLE p (a); CREATE INDEX i ON p (a) WHERE a = 1")
            .unwrap();
        let schema = Schema::load(&connection).unwrap();
        for (sql, expected) in [
            ("SELECT 1 FROM t WHERE a = 5", Some(("SELECT 1 FROM t WHERE a = ?1 ", vec![Value::Integer(5)]))),
            (
                "SELECT a = 1 FROM t WHERE a >= 5 AND b='it''s' GROUP BY a = 2",
                Some((
                    "SELECT a = 1 FROM t WHERE a >= ?1  AND b=?2  GROUP BY a = 2",
                    vec![Value::Integer(5), Value::text("it's")],
                )),
            ),
            (
                "SELECT 1 FROM t WHERE a = '7'OR b = 9",
                Some(("SELECT 1 FROM t WHERE a = ?1 OR b = ?2 ", vec![Value::text("7"), Value::Integer(9)])),
            ),
            ("SELECT 1 FROM t JOIN p ON t.a = p.a WHERE t.b = 5", None),
            ("SELECT 1 FROM t WHERE a IN (SELECT b = 1 FROM t ORDER BY b = 1)", None),
            ("SELECT 1 FROM t WHERE a = ?1 AND b = 5", None),
            ("SELECT 1 FROM t WHERE a = -5", None),
            ("SELECT 1 FROM t WHERE a = 5.0", None),
            ("SELECT 1 FROM t WHERE a LIKE 'x%'", None),
            ("SELECT 1 FROM t WHERE a IN (1, 2)", None),
            ("SELECT 1 FROM t", None),
            ("SELECT 1 FROM p WHERE a = 1", None),
            ("SELECT 1 FROM \"P\" WHERE a = 1", None),
            ("SELECT 1 FROM 'p' WHERE a = 1", None),
            ("SELECT 1 FROM t WHERE a = 1 UNION SELECT 2", None),
        ] {
            let lifted = lift(sql, &Params::None, &schema);
            let expected = expected.map(|(sql, values)| (sql.to_owned(), Params::Positional(values)));
            assert_eq!(lifted, expected, "{sql}");
        }
    }
}
