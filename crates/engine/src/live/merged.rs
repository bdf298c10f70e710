//! A caller's SELECT and the policy of its table as one plain SELECT: what [`super::ways`] finds in that is true of the
//! caller's query.
//!
//! `SELECT … FROM t WHERE x` under the policy `EXISTS (SELECT 1 FROM m WHERE y)` shows no other rows of `t` than
//! `SELECT … FROM t, m WHERE y AND x` has, and each for the sake of the same rows of `m`. So does `a IN (SELECT b FROM m
//! WHERE y)`, with `a = b`. The statement made here is analysed and never run; what the policy asks of the caller is a
//! parameter in it, behind those of the client. What is not of these plain shapes is not merged.

use super::outline;
use crate::access::asked::{Asked, replaced};
use crate::access::asking::spoken_functions;
use crate::access::translate::named;
use crate::sqlite::exclude::quoted;
use crate::sqlite::schema::{Relation, Schema, Table};
use crate::sqlite::tokens::{Kind, Token, find, tokens};
use std::sync::Arc;

/// Words that end a FROM, or the WHERE behind it.
const CLAUSES: [&str; 6] = ["where", "group", "having", "window", "order", "limit"];

/// A caller's `SELECT … FROM t WHERE …` of one table and nothing else.
pub struct Single {
    pub table: Arc<Table>,
    /// By which name the statement knows it.
    exposed: String,
    condition: Option<String>,
    /// The parameters, in their order.
    variables: Vec<String>,
}

/// The statement, and what its last parameters are.
pub struct Merged {
    pub sql: String,
    pub asked: Vec<Asked>,
}

/// How names in some text find a table.
struct Scope<'a> {
    exposed: String,
    alias: &'static str,
    table: &'a Table,
}

/// A condition that looks into one other table.
struct Look<'a> {
    table: Arc<Table>,
    exposed: String,
    condition: Option<&'a str>,
    /// Of IN: a column outside and one inside.
    pair: Option<(&'a str, &'a str)>,
    /// What stands beside it.
    others: Vec<&'a str>,
}

impl Single {
    pub fn of(sql: &str, schema: &Schema) -> Option<Self> {
        let sql = spoken_functions(sql);
        let text: Vec<Token<'_>> = tokens(&sql).collect();
        let is_plain = text.first()?.is("select") && text.iter().filter(|token| token.is("select")).count() == 1;
        let has_other = text.iter().enumerate().any(|(index, token)| {
            // It may name a table.
            let is_in = token.is("in") && !text.get(index + 1).is_some_and(|next| next.is_punctuation(b'('));
            is_in || token.is_any(&["join", "union", "except", "intersect", "values", "with", "window"])
        });
        let from = find(&text, 0, &["from"]).filter(|_| is_plain && !has_other)?;
        let last = text.iter().position(|token| token.is_punctuation(b';')).unwrap_or(text.len());
        let end = find(&text[..last], from, &CLAUSES).unwrap_or(last);
        let (table, exposed) = member(&text[from + 1..end], schema)?;
        let condition = text.get(end).filter(|token| end < last && token.is("where")).map(|_| {
            let behind = find(&text[..last], end + 1, &CLAUSES[1..]).unwrap_or(last);
            numbered(&sql, &text, end + 1..behind)
        });
        let numbers = outline::parameters(&text);
        let variable = |(token, number): (&Token<'_>, &Option<(usize, Box<str>)>)| {
            number.as_ref().map(|(_, name)| if token.text == "?" { name.to_string() } else { token.text.to_owned() })
        };
        let variables = text.iter().zip(&numbers).filter_map(variable).collect();
        Some(Self { table, exposed, condition, variables })
    }

    /// With one policy's condition.
    pub fn merged(&self, using: &str, schema: &Schema, own: usize) -> Option<Merged> {
        let mut number = own;
        let (using, asked) = replaced(using, |_| {
            number += 1;
            format!("?{number} ")
        })?;
        let text: Vec<Token<'_>> = tokens(&using).collect();
        let look = if text.iter().any(|token| token.is("select")) { Some(look(&using, &text, schema)?) } else { None };
        let outer = Scope { exposed: self.table.name.to_string(), alias: "t0", table: &self.table };
        let own = Scope { exposed: self.exposed.clone(), alias: "t0", table: &self.table };
        let inner = look.as_ref().map(|look| Scope { exposed: look.exposed.clone(), alias: "t1", table: &look.table });
        let all: Vec<&Table> = [&*self.table].into_iter().chain(look.as_ref().map(|look| &*look.table)).collect();
        let mut pieces = Vec::new();
        match (&look, &inner) {
            (Some(look), Some(inner)) => {
                for other in &look.others {
                    pieces.push(qualified(other, &[&outer], &all)?);
                }
                if let Some(condition) = look.condition {
                    pieces.push(qualified(condition, &[inner, &outer], &all)?);
                }
                if let Some((outside, inside)) = look.pair {
                    let (outside, inside) =
                        (qualified(outside, &[&outer], &all)?, qualified(inside, &[inner, &outer], &all)?);
                    pieces.push(format!("{outside} = {inside}"));
                }
            }
            _ => pieces.push(qualified(&using, &[&outer], &all)?),
        }
        if let Some(condition) = &self.condition {
            pieces.push(qualified(condition, &[&own], &all)?);
        }
        // The client's parameters keep their numbers only if they come first, in their order.
        let shown: Vec<&str> = self.variables.iter().map(String::as_str).chain(["1"]).collect();
        let member = |(table, alias): (&&Table, &str)| format!("main.{} AS {alias}", quoted(&table.name));
        let from: Vec<String> = all.iter().zip(["t0", "t1"]).map(member).collect();
        let filter: Vec<String> = pieces.iter().map(|piece| format!("({piece}\n)")).collect();
        let sql = format!("SELECT {} FROM {} WHERE {}", shown.join(", "), from.join(", "), filter.join(" AND "));
        Some(Merged { sql, asked })
    }
}

/// The one table between FROM and what follows, and by which name it is known.
fn member(text: &[Token<'_>], schema: &Schema) -> Option<(Arc<Table>, String)> {
    let (name, alias) = match text {
        [name] => (name, name),
        [name, word, alias] if word.is("as") => (name, alias),
        [name, alias] => (name, alias),
        _ => return None,
    };
    let is_name = |token: &Token<'_>| matches!(token.kind, Kind::Word | Kind::Quoted);
    let Some(Relation::Table(table)) = schema.get(&named(name)).filter(|_| is_name(name) && is_name(alias)) else {
        return None;
    };
    Some((Arc::clone(table), named(alias)))
}

/// Some of a statement, with numbers for the parameters that have none.
fn numbered(sql: &str, text: &[Token<'_>], range: std::ops::Range<usize>) -> String {
    let numbers = outline::parameters(text);
    let mut written = String::new();
    let mut copied = text.get(range.start).map_or(sql.len(), |first| first.at);
    for index in range.clone() {
        if let (Some((_, name)), "?") = (&numbers[index], text[index].text) {
            written.push_str(&sql[copied..text[index].at]);
            written.push_str(name);
            // `?1OR` are two words.
            written.push(' ');
            copied = text[index].end();
        }
    }
    let end = range.clone().next_back().map_or(copied, |last| text[last].end());
    written.push_str(&sql[copied..end]);
    written
}

/// A row of ANDs of which one is EXISTS or IN, and no more SELECTs.
fn look<'a>(using: &'a str, text: &[Token<'a>], schema: &Schema) -> Option<Look<'a>> {
    let mut text = text;
    while let [first, inside @ .., last] = text
        && first.is_punctuation(b'(')
        && last.is_punctuation(b')')
        && closing(text, 0)? == text.len() - 1
    {
        text = inside;
    }
    let select = text.iter().position(|token| token.is("select"))?;
    let is_only = text.iter().filter(|token| token.is("select")).count() == 1;
    let open = select.checked_sub(1).filter(|&open| is_only && text[open].is_punctuation(b'('))?;
    let close = closing(text, open)?;
    let (before, inside, after) = (&text[..open], &text[select + 1..close], &text[close + 1..]);
    let is_in = before.last()?.is("in");
    let column = if is_in { column_before(&before[..before.len() - 1])? } else { &[][..] };
    if !is_in && !before.last()?.is("exists") {
        return None;
    }
    let ahead = &before[..before.len() - 1 - column.len()];
    let others = [&ahead[..ahead.len().saturating_sub(1)], &after[usize::from(!after.is_empty())..]];
    let is_row = ahead.last().is_none_or(|last| last.is("and")) && after.first().is_none_or(|first| first.is("and"));
    // The ANDs of BETWEEN and CASE are others, and an OR undoes the promise.
    let has_any = |text: &[Token<'_>], words: &[&str]| find(text, 0, words).is_some();
    if !is_row || has_any(ahead, &["or", "between", "case"]) || has_any(after, &["or"]) || !is_balanced(ahead) {
        return None;
    }
    let from = find(inside, 0, &["from"])?;
    let items = &inside[usize::from(inside.first()?.is("distinct"))..from];
    let end = find(inside, from, &CLAUSES).unwrap_or(inside.len());
    let others_stand = |token: &Token<'_>| {
        token.is_any(&["group", "having", "window", "order", "limit", "offset", "union", "except", "intersect", "join"])
    };
    // An aggregate would make one row of none.
    let is_plain = |token: &Token<'_>| !token.is_punctuation(b'(');
    if inside.iter().any(others_stand) || !items.iter().all(is_plain) {
        return None;
    }
    let (table, exposed) = member(&inside[from + 1..end], schema)?;
    let condition = inside.get(end).map(|_| slice(using, &inside[end + 1..]));
    let pair = if is_in { Some((slice(using, column), slice(using, column_of(items)?))) } else { None };
    let others = others.into_iter().filter(|other| !other.is_empty()).map(|other| slice(using, other)).collect();
    Some(Look { table, exposed, condition, pair, others })
}

/// The column that the text ends with, if that is all of a condition.
fn column_before<'t, 'a>(text: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    let is_point = text.len() > 2 && text[text.len() - 2].is_punctuation(b'.');
    column_of(&text[text.len().checked_sub(if is_point { 3 } else { 1 })?..])
}

fn column_of<'t, 'a>(text: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    let is_name = |token: &Token<'_>| matches!(token.kind, Kind::Word | Kind::Quoted) && !token.is("not");
    match text {
        [name] if is_name(name) => Some(text),
        [table, point, name] if is_name(table) && point.is_punctuation(b'.') && is_name(name) => Some(text),
        _ => None,
    }
}

/// Where the parenthesis that opens here is closed.
fn closing(text: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0;
    (open..text.len()).find(|&at| {
        match text[at].kind {
            Kind::Punctuation(b'(') => depth += 1,
            Kind::Punctuation(b')') => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

fn is_balanced(text: &[Token<'_>]) -> bool {
    let count = |byte: u8| text.iter().filter(|token| token.is_punctuation(byte)).count();
    count(b'(') == count(b')')
}

fn slice<'a>(sql: &'a str, text: &[Token<'a>]) -> &'a str {
    match (text.first(), text.last()) {
        (Some(first), Some(last)) => &sql[first.at..last.end()],
        _ => "",
    }
}

/// The text with every column behind the alias of its table. `None` if some word that is no column here would be one
/// beside the other table.
fn qualified(sql: &str, scopes: &[&Scope<'_>], all: &[&Table]) -> Option<String> {
    let text: Vec<Token<'_>> = tokens(sql).collect();
    let is_point = |index: usize| text.get(index).is_some_and(|token| token.is_punctuation(b'.'));
    let (mut written, mut copied) = (String::new(), 0);
    for (index, token) in text.iter().enumerate() {
        let is_called = text.get(index + 1).is_some_and(|next| next.is_punctuation(b'('));
        let is_column = index > 0 && is_point(index - 1);
        if !matches!(token.kind, Kind::Word | Kind::Quoted) || is_called || is_column {
            continue;
        }
        let name = named(token);
        if is_point(index + 1) {
            let scope = scopes.iter().find(|scope| scope.exposed.eq_ignore_ascii_case(&name))?;
            written.push_str(&sql[copied..token.at]);
            written.push_str(scope.alias);
            copied = token.end();
        } else if let Some(scope) = scopes.iter().find(|scope| has_column(scope.table, &name)) {
            written.push_str(&sql[copied..token.at]);
            written.push_str(scope.alias);
            written.push('.');
            copied = token.at;
        } else if all.iter().any(|table| has_column(table, &name)) || is_rowid(&name) {
            return None;
        }
    }
    written.push_str(&sql[copied..]);
    Some(written)
}

fn has_column(table: &Table, name: &str) -> bool {
    table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name))
}

fn is_rowid(name: &str) -> bool {
    ["rowid", "oid", "_rowid_"].iter().any(|rowid| name.eq_ignore_ascii_case(rowid))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sqlite::open::{Purpose, open};
    use std::time::Duration;

    fn schema() -> Schema {
        let folder = tempfile::tempdir().unwrap();
        let writer = open(&folder.path().join("merged.db"), None, Purpose::Write, Duration::from_secs(5)).unwrap();
        let layout = "CREATE TABLE message (id INTEGER PRIMARY KEY, room INTEGER, body TEXT); \
                      CREATE TABLE member (room INTEGER, user TEXT, since);";
        writer.own.execute_batch(layout).unwrap();
        Schema::load(&writer.own).unwrap()
    }

    #[test]
    fn a_look_into_members_is_a_join_with_them() {
        let schema = schema();
        let exists = "EXISTS (SELECT 1 FROM member WHERE member.room = message.room AND member.user = auth.uid())";
        let joined = "(t1.room = t0.room AND t1.user = ?1\n)";
        for (using, sql, expected) in [
            (exists.to_owned(), "SELECT * FROM message", Some(joined.to_owned())),
            (format!("(({exists})) -- why"), "SELECT * FROM message", Some(joined.to_owned())),
            (
                "EXISTS (SELECT * FROM member AS m WHERE m.room = message.room AND user = auth.uid())".into(),
                "SELECT x.id FROM message x ORDER BY x.id LIMIT 3;",
                Some("(t1.room = t0.room AND t1.user = ?1\n)".into()),
            ),
            (
                format!("length(body) > 1 AND {exists} AND id BETWEEN 1 AND 3"),
                "SELECT id FROM message AS m WHERE m.room IN (1, 2)",
                Some(format!(
                    "(length(t0.body) > 1\n) AND (t0.id BETWEEN 1 AND 3\n) AND {joined} AND (t0.room IN (1, 2)\n)"
                )),
            ),
            (
                "room IN (SELECT room FROM member WHERE user = auth.uid())".into(),
                "SELECT id FROM message",
                Some("(t1.user = ?1\n) AND (t0.room = t1.room\n)".into()),
            ),
            (
                "body = auth.uid() OR room = 1".into(),
                "SELECT 1 FROM message",
                Some("(t0.body = ?1  OR t0.room = 1\n)".into()),
            ),
            // Not seen through.
            (format!("NOT {exists}"), "SELECT 1 FROM message", None),
            (format!("{exists} OR room = 1"), "SELECT 1 FROM message", None),
            (format!("id BETWEEN 1 AND {exists}"), "SELECT 1 FROM message", None),
            (format!("(id = 1 AND {exists})"), "SELECT 1 FROM message", Some(format!("(t0.id = 1\n) AND {joined}"))),
            (format!("coalesce({exists}, 1)"), "SELECT 1 FROM message", None),
            ("room NOT IN (SELECT room FROM member WHERE user = auth.uid())".into(), "SELECT 1 FROM message", None),
            ("id + room IN (SELECT room FROM member WHERE user = auth.uid())".into(), "SELECT 1 FROM message", None),
            ("EXISTS (SELECT count(*) FROM member WHERE user = auth.uid())".into(), "SELECT 1 FROM message", None),
            ("EXISTS (SELECT 1 FROM member WHERE user = auth.uid() LIMIT 0)".into(), "SELECT 1 FROM message", None),
            ("EXISTS (SELECT 1 FROM member, message)".into(), "SELECT 1 FROM message", None),
            ("body = auth.claim(body)".into(), "SELECT 1 FROM message", None),
            (exists.into(), "SELECT 1 FROM message, member", None),
            (exists.into(), "SELECT 1 FROM message WHERE id IN member", None),
            (exists.into(), "SELECT 1 FROM message WHERE id IN (SELECT 1)", None),
            // A text, or a name of the statement's own, that would be a column of the other table.
            (exists.into(), "SELECT id AS user FROM message WHERE user = 1", None),
            (exists.into(), "SELECT id FROM message WHERE body = \"since\"", None),
            (exists.into(), "SELECT id FROM message WHERE rowid = 1", None),
        ] {
            let merged = Single::of(sql, &schema).and_then(|single| single.merged(&using, &schema, 0));
            let filter = merged.map(|merged| merged.sql.split_once(" WHERE ").unwrap().1.to_owned());
            assert_eq!(filter, expected, "{sql} under {using}");
        }
    }

    #[test]
    fn the_clients_parameters_keep_their_numbers() {
        let schema = schema();
        let single =
            Single::of("SELECT ?, :b, id FROM message WHERE room = ? AND id > :b ORDER BY ?", &schema).unwrap();
        let merged = single.merged("body = auth.uid() AND room = auth.claim('r')", &schema, 4).unwrap();
        assert_eq!(
            merged.sql,
            "SELECT ?1, :b, ?3, :b, ?4, 1 FROM main.\"message\" AS t0 \
             WHERE (t0.body = ?5  AND t0.room = ?6 \n) AND (t0.room = ?3  AND t0.id > :b\n)"
        );
        assert_eq!(merged.asked, [Asked::Uid, Asked::Claim("r".into())]);
    }
}
