//! Routes: from the values of a changed row to the queries it may matter to.
//!
//! A condition `column = value` that must hold for every row of a result (it stands alone or between ANDs in the
//! outermost WHERE) makes all rows with another value strangers to it: they are filtered out wherever they are joined,
//! grouped or counted. So a change of a row matters only to the queries that ask for its value, before or after. What
//! is not of this simple shape has no route, and every change of its tables counts.
//!
//! Values are compared as SQLite compares them, by affinity and collation (sqlite.org/datatype3.html, sections 4.2 and
//! 7.1); what cannot be told for certain counts as equal.

use crate::changes::change::{Rows, Shape};
use crate::error::Result;
use crate::sqlite::Sqlite;
use crate::sqlite::exclude::unquoted;
use crate::sqlite::gate::{Mode, Reads};
use crate::sqlite::schema::{Affinity, Collation, Relation, Schema};
use crate::sqlite::tokens::{Kind, Token};
use crate::value::{Params, Value};
use siphasher::sip::SipHasher13;
use std::hash::Hasher as _;

/// An IN list and its like may give this many keys; with more, every change of the table counts.
const KEYS_MAX: usize = 64;

/// The conditions on one table of a template.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Lower case.
    table: Box<str>,
    terms: Vec<Term>,
}

/// `column = value`, `column IS value` or `column IN (value, …)`.
#[derive(Clone, Debug, PartialEq)]
struct Term {
    /// Index in the table, and the name by which it is checked.
    column: usize,
    name: Box<str>,
    affinity: Affinity,
    collation: Collation,
    operands: Vec<Operand>,
    /// NULL IS NULL, while nothing equals NULL.
    is_null_safe: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Literal(Value),
    /// By number, and by name if it has one.
    Parameter(usize, Box<str>),
}

/// Hashes of the values that a query asks for. Two sets of values may share one: then a row leads to both.
#[derive(Debug, PartialEq)]
pub enum Keys {
    These(Vec<u64>),
    /// Not known: every row counts.
    All,
}

/// What a value is equal to.
enum Likeness {
    /// Feeds a hash: equal values feed the same.
    Known(Vec<u8>),
    /// Equal to nothing.
    Nothing,
    Unknown,
}

impl Route {
    pub fn is_of(&self, table: &str) -> bool {
        self.table.eq_ignore_ascii_case(table)
    }

    /// Are the columns where they were when the template was analysed?
    pub fn fits(&self, shape: &Shape) -> bool {
        self.terms
            .iter()
            .all(|term| shape.columns.get(term.column).is_some_and(|column| column.eq_ignore_ascii_case(&term.name)))
    }

    /// The keys of a query with these values.
    pub fn keys(&self, params: &Params) -> Keys {
        let mut hashers = vec![SipHasher13::new()];
        for term in &self.terms {
            let mut next = Vec::new();
            for operand in &term.operands {
                let likeness = match operand.value(params) {
                    Some(value) => term.asked(value),
                    None => Likeness::Unknown,
                };
                match likeness {
                    Likeness::Nothing => {}
                    Likeness::Unknown => return Keys::All,
                    Likeness::Known(bytes) => next.extend(hashers.iter().map(|hasher| fed(*hasher, &bytes))),
                }
            }
            if next.len() > KEYS_MAX {
                return Keys::All;
            }
            hashers = next;
        }
        Keys::These(hashers.iter().map(SipHasher13::finish).collect())
    }

    /// The keys of the changed rows of one table, before and after.
    pub fn keys_of_rows(&self, rows: &Rows, shape: usize) -> impl Iterator<Item = u64> {
        let changes = rows.changes.iter().filter(move |change| change.shape == shape);
        let images = changes.flat_map(|change| [change.old.as_deref(), change.new.as_deref()]);
        images.flatten().filter_map(|image| self.key_of(image))
    }

    fn key_of(&self, image: &[Value]) -> Option<u64> {
        let mut hasher = SipHasher13::new();
        for term in &self.terms {
            match term.stored(image.get(term.column)?) {
                Likeness::Known(bytes) => hasher = fed(hasher, &bytes),
                Likeness::Nothing | Likeness::Unknown => return None,
            }
        }
        Some(hasher.finish())
    }

    /// May the changed rows of this table matter to a query with these values?
    pub fn leads(&self, rows: &Rows, shape: usize, params: &Params) -> bool {
        match self.keys(params) {
            Keys::These(keys) if self.fits(&rows.shapes[shape]) => {
                self.keys_of_rows(rows, shape).any(|key| keys.contains(&key))
            }
            _ => true,
        }
    }
}

fn fed(mut hasher: SipHasher13, bytes: &[u8]) -> SipHasher13 {
    hasher.write_u64(bytes.len() as u64);
    hasher.write(bytes);
    hasher
}

impl Operand {
    fn value<'a>(&'a self, params: &'a Params) -> Option<&'a Value> {
        match (self, params) {
            (Self::Literal(value), _) => Some(value),
            (Self::Parameter(number, _), Params::Positional(values)) => values.get(number - 1),
            (Self::Parameter(_, name), Params::Named(values)) => {
                values.iter().rfind(|(given, _)| **given == **name || **given == name[1..]).map(|(_, value)| value)
            }
            (Self::Parameter(..), Params::None) => None,
        }
    }
}

impl Term {
    /// A value in the query: SQLite converts it by the column's affinity before it compares.
    fn asked(&self, value: &Value) -> Likeness {
        match (self.affinity, value) {
            (Affinity::Text, Value::Integer(value)) => self.stored(&Value::text(value.to_string())),
            // How a float is written as text, and what text is a number, SQLite alone knows.
            (Affinity::Text, Value::Real(_)) => Likeness::Unknown,
            (Affinity::Numeric, Value::Text(text)) => match whole_number(text) {
                Some(number) => self.stored(&Value::Integer(number)),
                None if text.first().is_some_and(u8::is_ascii_alphabetic) => self.stored(value),
                None => Likeness::Unknown,
            },
            _ => self.stored(value),
        }
    }

    /// A value as it is in the table.
    fn stored(&self, value: &Value) -> Likeness {
        let tagged = |tag: u8, bytes: &[u8]| Likeness::Known([&[tag], bytes].concat());
        match value {
            Value::Null if self.is_null_safe => tagged(0, &[]),
            Value::Null => Likeness::Nothing,
            Value::Integer(value) => tagged(1, &value.to_le_bytes()),
            Value::Real(value) => match as_integer(*value) {
                Some(value) => tagged(1, &value.to_le_bytes()),
                None => tagged(2, &value.to_bits().to_le_bytes()),
            },
            Value::Text(text) => match self.collation {
                Collation::Binary => tagged(3, text),
                Collation::Rtrim => {
                    let end = text.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
                    tagged(3, &text[..end])
                }
                // SQLite compares up to the first NUL, then the lengths.
                Collation::Nocase => {
                    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
                    let mut bytes = text[..end].to_ascii_lowercase();
                    bytes.push(0);
                    bytes.extend((text.len() as u64).to_le_bytes());
                    tagged(3, &bytes)
                }
            },
            Value::Blob(bytes) => tagged(4, bytes),
        }
    }
}

/// A float that equals an integer is compared as that integer.
fn as_integer(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

/// Digits with a minus perhaps, and nothing else.
fn whole_number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_plain = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_plain.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// Functions that cannot fail, whatever they are given. A condition that fails at a row ends the query even if another
/// condition would have kept the row out, so with others every row counts.
const NEVER_FAIL: [&str; 41] = [
    "avg",
    "coalesce",
    "count",
    "cume_dist",
    "date",
    "datetime",
    "dense_rank",
    "first_value",
    "glob",
    "group_concat",
    "hex",
    "ifnull",
    "iif",
    "instr",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "lower",
    "ltrim",
    "max",
    "min",
    "nullif",
    "quote",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "string_agg",
    "substr",
    "substring",
    "sum",
    "total",
    "trim",
    "typeof",
    "unicode",
    "unixepoch",
    "upper",
];

/// A condition found in the text.
struct Found<'a> {
    /// The column, with its table's alias perhaps.
    column: &'a str,
    operands: Vec<Operand>,
    is_null_safe: bool,
}

/// The routes of a statement, one for each table that has one.
pub fn routes(
    sqlite: &mut Sqlite,
    schema: &Schema,
    statement: &str,
    text: &[Token<'_>],
    reads: &Reads,
    parameter_count: usize,
) -> Result<Vec<Route>> {
    if reads.through_view || !reads.functions.iter().all(|name| NEVER_FAIL.contains(&name.as_str())) {
        return Ok(Vec::new());
    }
    let Some(parts) = parts(text) else { return Ok(Vec::new()) };
    let numbers = parameters(text);
    // Names in Tcl's way (`$a::b(c)`) are several tokens here: then the numbers would be others.
    if numbers.iter().flatten().map(|(number, _)| *number).max().unwrap_or(0) != parameter_count {
        return Ok(Vec::new());
    }
    let filter = parts.filter + 1..parts.end;
    let mut found = Vec::new();
    conditions(statement, &text[filter.clone()], &numbers[filter], &mut found);
    if found.is_empty() {
        return Ok(Vec::new());
    }
    // SQLite itself says which table's column each name stands for.
    let from = &statement[text[parts.from].at..text[parts.filter].at];
    let columns: Vec<&str> = found.iter().map(|condition| condition.column).collect();
    sqlite.take_reads();
    let probe = sqlite.prepare(&format!("SELECT {} {from}", columns.join(", ")), Mode::Live);
    sqlite.take_reads();
    let Ok(Some(probe)) = probe else { return Ok(Vec::new()) };
    let mut routes: Vec<Route> = Vec::new();
    for (index, condition) in found.into_iter().enumerate() {
        let Some((table, column)) = probe.column_origin(index) else { continue };
        let Some(Relation::Table(known)) = schema.get(&table) else { continue };
        let Some(position) = known.columns.iter().position(|c| c.name.eq_ignore_ascii_case(&column)) else { continue };
        let described = &known.columns[position];
        let Some(collation) = described.collation else { continue };
        if described.is_virtual || !stands_once(text, &parts, &table) {
            continue;
        }
        let term = Term {
            column: position,
            name: described.name.clone(),
            affinity: described.affinity,
            collation,
            operands: condition.operands,
            is_null_safe: condition.is_null_safe,
        };
        match routes.iter_mut().find(|route| route.is_of(&table)) {
            Some(route) => route.terms.push(term),
            None => routes.push(Route { table: table.to_ascii_lowercase().into(), terms: vec![term] }),
        }
    }
    Ok(routes)
}

/// Where the outermost SELECT's clauses are: indexes of tokens.
struct Parts {
    from: usize,
    filter: usize,
    end: usize,
}

/// `None` if the statement is not one plain SELECT with a FROM and a WHERE.
fn parts(text: &[Token<'_>]) -> Option<Parts> {
    if !text.first()?.is("select") {
        return None;
    }
    let is_any = |token: &Token<'_>, words: &[&str]| words.iter().any(|word| token.is(word));
    let mut depth = 0;
    let (mut from, mut filter, mut end) = (None, None, None);
    for (index, token) in text.iter().enumerate() {
        match token.kind {
            Kind::Punctuation(b'(') => depth += 1,
            Kind::Punctuation(b')') => depth -= 1,
            _ => {}
        }
        if depth != 0 {
            continue;
        }
        if is_any(token, &["union", "except", "intersect"]) {
            return None;
        }
        let is_comparison =
            index > 0 && text[index - 1].is("distinct") && is_any(&text[index.max(2) - 2], &["is", "not"]);
        if token.is("from") && from.is_none() && !is_comparison {
            from = Some(index);
        } else if token.is("where") && from.is_some() && filter.is_none() {
            filter = Some(index);
        } else if filter.is_some() && end.is_none() {
            if is_any(token, &["group", "having", "order", "limit"]) || token.is_punctuation(b';') {
                end = Some(index);
            } else if token.is("window") {
                // It begins a clause, or is a name.
                return None;
            }
        }
    }
    Some(Parts { from: from?, filter: filter?, end: end.unwrap_or(text.len()) })
}

/// The conditions of the simple shape among those that must all hold: the parts of a row of ANDs, or of such a row in
/// parentheses. An OR undoes that promise for all beside it.
fn conditions<'a>(
    statement: &'a str,
    text: &[Token<'a>],
    numbers: &[Option<(usize, Box<str>)>],
    found: &mut Vec<Found<'a>>,
) {
    let is_any = |token: &Token<'_>, words: &[&str]| words.iter().any(|word| token.is(word));
    let mut depth = 0;
    let mut ands = Vec::new();
    let mut is_between = false;
    for (index, token) in text.iter().enumerate() {
        match token.kind {
            Kind::Punctuation(b'(') => depth += 1,
            Kind::Punctuation(b')') => depth -= 1,
            // CASE has ANDs of its own, and END may be a name.
            Kind::Word if depth == 0 && is_any(token, &["or", "case"]) => return,
            Kind::Word if depth == 0 && token.is("between") => is_between = true,
            // BETWEEN's own AND is not one of the row.
            Kind::Word if depth == 0 && token.is("and") && !std::mem::take(&mut is_between) => ands.push(index),
            _ => {}
        }
    }
    ands.push(text.len());
    let mut start = 0;
    for end in ands {
        let (piece, its_numbers) = (&text[start..end], &numbers[start..end]);
        if is_in_parentheses(piece) {
            let inside = 1..piece.len() - 1;
            conditions(statement, &piece[inside.clone()], &its_numbers[inside], found);
        } else {
            found.extend(condition(statement, piece, its_numbers));
        }
        start = end + 1;
    }
}

/// Is the first parenthesis closed by the last token?
fn is_in_parentheses(text: &[Token<'_>]) -> bool {
    let mut depth = 0;
    text.len() > 2
        && text.iter().enumerate().all(|(index, token)| {
            match token.kind {
                Kind::Punctuation(b'(') => depth += 1,
                Kind::Punctuation(b')') => depth -= 1,
                _ => {}
            }
            depth > 0 || index + 1 == text.len()
        })
        && depth == 0
}

/// The number and the name of the parameter that each token is: `?` counts on, `?7` says it, a name counts on once.
fn parameters(text: &[Token<'_>]) -> Vec<Option<(usize, Box<str>)>> {
    let mut names: Vec<(usize, &str)> = Vec::new();
    let mut last = 0;
    text.iter()
        .map(|token| {
            if token.kind != Kind::Variable {
                return None;
            }
            let digits = token.text.strip_prefix('?');
            let (number, name) = match digits {
                Some("") => (last + 1, format!("?{}", last + 1)),
                Some(digits) => (digits.parse().ok()?, token.text.to_owned()),
                None => match names.iter().find(|(_, name)| *name == token.text) {
                    Some((number, _)) => (*number, token.text.to_owned()),
                    None => (last + 1, token.text.to_owned()),
                },
            };
            if digits.is_none() {
                names.push((number, token.text));
            }
            last = last.max(number);
            Some((number, name.into()))
        })
        .collect()
}

fn condition<'a>(statement: &'a str, piece: &[Token<'a>], numbers: &[Option<(usize, Box<str>)>]) -> Option<Found<'a>> {
    let is_name = |token: &Token<'_>| matches!(token.kind, Kind::Word | Kind::Quoted);
    let first = piece.first().filter(|token| is_name(token))?;
    let is_qualified = piece.get(1).is_some_and(|token| token.is_punctuation(b'.')) && is_name(piece.get(2)?);
    let after = if is_qualified { 3 } else { 1 };
    let column = &statement[first.at..piece[after - 1].end()];
    let (rest, numbers) = (&piece[after..], &numbers[after..]);
    let is_equals = |index: usize| rest.get(index).is_some_and(|token| token.is_punctuation(b'='));
    let (values, is_null_safe, is_list) = if rest.first()?.is("in") {
        let closes = rest.len() > 3 && rest[1].is_punctuation(b'(') && rest[rest.len() - 1].is_punctuation(b')');
        (closes.then_some(2..rest.len() - 1)?, false, true)
    } else if rest[0].is("is") {
        (1..rest.len(), true, false)
    } else if is_equals(0) {
        (if is_equals(1) { 2 } else { 1 }..rest.len(), false, false)
    } else {
        return None;
    };
    let mut operands = Vec::new();
    let mut at = values.start;
    while at < values.end {
        let is_negative = rest[at].is_punctuation(b'-');
        at += usize::from(is_negative);
        let token = rest.get(at).filter(|_| at < values.end)?;
        operands.push(match (&numbers[at], token.kind, is_negative) {
            (Some((number, name)), _, false) => Operand::Parameter(*number, name.clone()),
            (None, Kind::Number, _) => {
                let number = whole_number(token.text.as_bytes())?;
                Operand::Literal(Value::Integer(if is_negative { -number } else { number }))
            }
            (None, Kind::Text, false) if token.text.starts_with('\'') => {
                let inside = token.text.get(1..token.text.len() - 1)?;
                Operand::Literal(Value::text(inside.replace("''", "'")))
            }
            _ => return None,
        });
        at += 1;
        if at < values.end {
            if !is_list || !rest[at].is_punctuation(b',') {
                return None;
            }
            at += 1;
        }
    }
    (!operands.is_empty()).then_some(Found { column, operands, is_null_safe })
}

/// Is the table named just once, as a member of the outermost FROM? A second look at it, in a sub-query or by another
/// alias, would see rows that the condition does not keep out.
fn stands_once(text: &[Token<'_>], parts: &Parts, table: &str) -> bool {
    let mut depth = 0;
    let mut count = 0;
    let mut is_member = false;
    for (index, token) in text.iter().enumerate() {
        match token.kind {
            Kind::Punctuation(b'(') => depth += 1,
            Kind::Punctuation(b')') => depth -= 1,
            // `t.a` names a column, not the table once more.
            Kind::Word | Kind::Quoted
                if unquoted(token.text).eq_ignore_ascii_case(table)
                    && !text.get(index + 1).is_some_and(|next| next.is_punctuation(b'.')) =>
            {
                count += 1;
                is_member = depth == 0 && parts.from < index && index < parts.filter;
            }
            _ => {}
        }
    }
    count == 1 && is_member
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sqlite::open::{Purpose, open};
    use crate::sqlite::tokens::tokens;
    use std::time::Duration;

    /// The columns by which a query is routed, by table.
    fn routed(sql: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("route.db");
        let writer = open(&path, None, Purpose::Write, Duration::from_secs(5)).unwrap();
        let layout = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT COLLATE NOCASE, v AS (a) VIRTUAL); \
                      CREATE TABLE u (id INTEGER PRIMARY KEY, of_t, a); CREATE VIEW w AS SELECT * FROM t";
        writer.own.execute_batch(layout).unwrap();
        let mut sqlite = open(&path, None, Purpose::Live, Duration::from_secs(5)).unwrap();
        let schema = Schema::load(&sqlite.own).unwrap();
        let text: Vec<Token<'_>> = tokens(sql).collect();
        sqlite.take_reads();
        let count = sqlite.prepare(sql, Mode::Live).unwrap().unwrap().parameter_count();
        let reads = sqlite.take_reads();
        let routes = routes(&mut sqlite, &schema, sql, &text, &reads, count).unwrap();
        let shown = |route: &Route| {
            let columns: Vec<&str> = route.terms.iter().map(|term| &*term.name).collect();
            format!("{} by {}", route.table, columns.join(", "))
        };
        routes.iter().map(shown).collect()
    }

    #[test]
    fn what_must_hold_for_every_row_is_a_route() {
        for (sql, expected) in [
            ("SELECT a FROM t WHERE a = 1", &["t by a"][..]),
            ("SELECT a FROM t WHERE a = 1 AND b IS 'x' AND length(a) > 1", &["t by a, b"]),
            ("SELECT a FROM t WHERE (a = -1) AND ((b == ?1 AND id > 3))", &["t by a, b"]),
            ("SELECT a FROM t AS x WHERE x.id IN (1, ?, :c) ORDER BY a LIMIT 3", &["t by id"]),
            ("SELECT a FROM t WHERE rowid = 5", &["t by id"]),
            ("SELECT a FROM t WHERE id BETWEEN 1 AND 2 AND a = 5 GROUP BY b", &["t by a"]),
            ("SELECT 1 FROM t JOIN u ON u.of_t = t.id WHERE u.a = 1 AND t.a = 2", &["u by a", "t by a"]),
            ("SELECT 1 FROM t LEFT JOIN u ON u.of_t = t.id WHERE u.a = 1", &["u by a"]),
            ("SELECT a IS DISTINCT FROM b FROM t WHERE a = 1", &["t by a"]),
            ("SELECT a FROM t WHERE b = $x AND id = ?2", &["t by b, id"]),
            // No promise.
            ("SELECT a FROM t WHERE b = $x::y AND id = ?", &[]),
            ("SELECT a FROM t WHERE b = $x(y) AND id = ?", &["t by id"]),
            ("SELECT a FROM t WHERE a = 1 OR b = 2", &[]),
            ("SELECT a FROM t WHERE a = 1 AND b = 2 OR id = 3", &[]),
            ("SELECT a FROM t WHERE NOT a = 1", &[]),
            ("SELECT a FROM t WHERE a = 1 COLLATE NOCASE", &[]),
            ("SELECT a FROM t WHERE a = 1 + 1", &[]),
            ("SELECT a FROM t WHERE a IS NOT 1", &[]),
            ("SELECT a FROM t WHERE a NOT IN (1)", &[]),
            ("SELECT a FROM t WHERE id BETWEEN 1 AND a = 5", &[]),
            ("SELECT a FROM t WHERE CASE WHEN id AND a = 5 THEN 1 END", &[]),
            ("SELECT a FROM t WHERE v = 1", &[]),
            ("SELECT a FROM w WHERE a = 1", &[]),
            ("SELECT a FROM (SELECT * FROM t) WHERE a = 1", &[]),
            ("SELECT a FROM t WHERE a = 1 UNION SELECT b FROM t", &[]),
            ("SELECT x.a FROM t AS x, t AS y WHERE x.a = 1", &[]),
            ("SELECT a FROM t WHERE a = 1 AND (SELECT count(*) FROM t) > 1", &[]),
            ("SELECT (SELECT max(a) FROM t) FROM u WHERE a = 1", &["u by a"]),
            // Such a condition fails at some rows, and the query with it.
            ("SELECT a FROM t WHERE a = 1 AND abs(id) > 1", &[]),
        ] {
            assert_eq!(routed(sql), expected, "{sql}");
        }
    }

    #[test]
    fn values_are_alike_where_sqlite_says_so() {
        let sqlite = rusqlite::Connection::open_in_memory().unwrap();
        let values = [
            Value::Null,
            Value::Integer(0),
            Value::Integer(5),
            Value::Integer(9_007_199_254_740_993),
            Value::Integer(i64::MAX),
            Value::Real(-0.0),
            Value::Real(5.0),
            Value::Real(5.5),
            Value::Real(9_007_199_254_740_992.0),
            Value::Real(9.3e18),
            Value::text(""),
            Value::text("5"),
            Value::text("5 "),
            Value::text(" 5"),
            Value::text("05"),
            Value::text("5.0"),
            Value::text("-5"),
            Value::text("5e0"),
            Value::text("a"),
            Value::text("A"),
            Value::text("a  "),
            Value::text("a\0b"),
            Value::text("A\0c"),
            Value::text("É"),
            Value::text("é"),
            Value::Blob(b"a".as_slice().into()),
            Value::Blob(b"5".as_slice().into()),
        ];
        let affinities = [("INTEGER", Affinity::Numeric), ("REAL", Affinity::Numeric), ("DECIMAL", Affinity::Numeric)];
        let affinities = affinities.into_iter().chain([("TEXT", Affinity::Text), ("BLOB", Affinity::Blob)]);
        for (declared, affinity) in affinities {
            for (name, collation) in
                [("BINARY", Collation::Binary), ("NOCASE", Collation::Nocase), ("RTRIM", Collation::Rtrim)]
            {
                let layout = format!("DROP TABLE IF EXISTS t; CREATE TABLE t (c {declared} COLLATE {name})");
                sqlite.execute_batch(&layout).unwrap();
                for (given, asked) in values.iter().flat_map(|given| values.iter().map(move |asked| (given, asked))) {
                    for is_null_safe in [false, true] {
                        let operator = if is_null_safe { "IS" } else { "=" };
                        sqlite.execute("DELETE FROM t", []).unwrap();
                        sqlite
                            .execute(
                                "INSERT INTO t VALUES (?1)",
                                [rusqlite::types::ToSqlOutput::Borrowed(given.as_ref())],
                            )
                            .unwrap();
                        let query = format!("SELECT c, c {operator} ?1 FROM t");
                        let (stored, is_equal) = sqlite
                            .query_row(&query, [rusqlite::types::ToSqlOutput::Borrowed(asked.as_ref())], |row| {
                                Ok((Value::from(row.get_ref(0)?), row.get::<_, Option<bool>>(1)?.unwrap_or(false)))
                            })
                            .unwrap();
                        let operands = vec![Operand::Literal(asked.clone())];
                        let term = Term { column: 0, name: "c".into(), affinity, collation, operands, is_null_safe };
                        let route = Route { table: "t".into(), terms: vec![term] };
                        let keys = route.keys(&Params::None);
                        let leads = match &keys {
                            Keys::All => continue,
                            Keys::These(keys) => route.key_of(&[stored]).is_some_and(|key| keys.contains(&key)),
                        };
                        assert_eq!(leads, is_equal, "{given:?} in {declared} {name} {operator} {asked:?}: {keys:?}");
                    }
                }
            }
        }
    }
}
