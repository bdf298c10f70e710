//! What a SELECT shows by its words alone: its outermost clauses, the tables in its FROM, and the conditions that hold
//! for every row of its result.
//!
//! No grammar: only the plainest shapes are seen, and what is not seen is not relied upon. Which column a name stands for
//! SQLite itself says ([`Outline::origins`]); what the conditions are good for is in [`super::route`] and its like.

use crate::sqlite::Sqlite;
use crate::sqlite::exclude::unquoted;
use crate::sqlite::gate::Mode;
use crate::sqlite::tokens::{Kind, Token, tokens};
use crate::value::{Params, Value};
use std::collections::HashMap;
use std::ops::Range;

pub struct Outline<'a> {
    statement: &'a str,
    text: Vec<Token<'a>>,
    /// The number and the name of the parameter that each token is.
    numbers: Vec<Option<(usize, Box<str>)>>,
    /// What stands behind FROM, behind WHERE, and from GROUP BY or HAVING to ORDER BY, LIMIT or the end: indexes of tokens.
    from: Range<usize>,
    filter: Option<Range<usize>>,
    groups: Range<usize>,
    /// Where ORDER BY, LIMIT or the end begins.
    tail: usize,
    /// Empty if FROM has more than tables by name, joined by commas, JOIN … ON and LEFT JOIN … ON.
    pub members: Vec<Member<'a>>,
}

/// A table in FROM.
pub struct Member<'a> {
    pub table: String,
    /// As the statement writes it.
    pub alias: &'a str,
    /// It may be missing: rows without a partner are shown with NULLs.
    pub is_left_joined: bool,
    on: Option<Range<usize>>,
}

/// For which rows a condition is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// All of the result.
    Always,
    /// Those in which this member is not missing: it stands behind its ON.
    With(usize),
}

/// A condition of one of the plain shapes.
pub enum Condition<'a> {
    /// A column against values that do not depend on any row.
    Asks { column: &'a str, asks: Asks },
    /// `column = column`.
    Links { left: &'a str, right: &'a str },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Asks {
    /// `= value`, `IS value` or `IN (value, …)`; NULL IS NULL, while nothing equals NULL.
    Equal { operands: Vec<Operand>, is_null_safe: bool },
    /// Between the two, or on one side of one; the ends may be outside.
    Range { low: Option<Operand>, high: Option<Operand> },
    /// `LIKE value`.
    Like(Operand),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Literal(Value),
    /// By number, and by name if it has one.
    Parameter(usize, Box<str>),
}

impl Operand {
    pub fn value<'a>(&'a self, params: &'a Params) -> Option<&'a Value> {
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

/// Nothing is known of longer statements.
const BYTES_MAX: usize = 64 << 10;

/// By what a result is ordered first.
pub enum OrderName<'a> {
    /// A name without its quotes.
    Alone(String),
    /// `t.a`, as it is written.
    Of(&'a str),
}

enum Side<'a> {
    Column(&'a str),
    Value(Operand),
}

fn is_name(token: &Token<'_>) -> bool {
    matches!(token.kind, Kind::Word | Kind::Quoted)
}

/// Words that go on with FROM behind a table, and so are no alias.
const JOINING: [&str; 11] =
    ["on", "using", "join", "inner", "cross", "left", "right", "full", "natural", "indexed", "not"];

impl<'a> Outline<'a> {
    /// `parameter_count` is the highest number that SQLite gives a parameter. `None` unless the statement is one plain
    /// SELECT with a FROM.
    pub fn of(statement: &'a str, parameter_count: usize) -> Option<Self> {
        if statement.len() > BYTES_MAX {
            return None;
        }
        let text: Vec<Token<'a>> = tokens(statement).collect();
        let numbers = parameters(&text);
        // Names in Tcl's way (`$a::b(c)`) are several tokens here.
        let is_tcl = |pair: &[Token<'_>]| {
            pair[0].kind == Kind::Variable
                && pair[1].at == pair[0].end()
                && (pair[1].is_punctuation(b':') || pair[1].is_punctuation(b'('))
        };
        let is_lost = text.iter().zip(&numbers).any(|(token, number)| token.kind == Kind::Variable && number.is_none());
        let highest = numbers.iter().flatten().map(|(number, _)| *number).max().unwrap_or(0);
        if is_lost || highest != parameter_count || text.windows(2).any(is_tcl) {
            return None;
        }
        if !text.first()?.is("select") {
            return None;
        }
        let mut depth = 0;
        let (mut from, mut filter, mut groups, mut tail) = (None, None, None, None);
        for (index, token) in text.iter().enumerate() {
            match token.kind {
                Kind::Punctuation(b'(') => depth += 1,
                Kind::Punctuation(b')') => depth -= 1,
                _ => {}
            }
            if depth != 0 {
                continue;
            }
            if token.is_any(&["union", "except", "intersect"]) {
                return None;
            }
            let is_comparison =
                index > 0 && text[index - 1].is("distinct") && text[index.max(2) - 2].is_any(&["is", "not"]);
            if from.is_none() {
                from = (token.is("from") && !is_comparison).then_some(index);
            } else if token.is("where") && filter.is_none() {
                filter = Some(index);
            } else if token.is_any(&["group", "having"]) && groups.is_none() {
                groups = Some(index);
            } else if (token.is_any(&["order", "limit"]) || token.is_punctuation(b';')) && tail.is_none() {
                tail = Some(index);
            } else if token.is("window") && tail.is_none() {
                // It begins a clause, or is a name.
                return None;
            }
        }
        let tail = tail.unwrap_or(text.len());
        let groups = groups.filter(|&groups| groups < tail).unwrap_or(tail);
        let filter = filter.filter(|&filter| filter < groups);
        let from = from? + 1..filter.unwrap_or(groups);
        let filter = filter.map(|filter| filter + 1..groups);
        let mut outline =
            Self { statement, text, numbers, from, filter, groups: groups..tail, tail, members: Vec::new() };
        outline.members = outline.read_members().unwrap_or_default();
        Some(outline)
    }

    pub fn is_distinct(&self) -> bool {
        self.text.get(1).is_some_and(|second| second.is("distinct"))
    }

    pub fn is_grouped(&self) -> bool {
        !self.groups.is_empty()
    }

    /// The tokens behind WHERE.
    pub fn filter(&self) -> &[Token<'a>] {
        self.filter.clone().map_or(&[][..], |filter| &self.text[filter])
    }

    /// The tokens that may name a table.
    pub fn names(&self) -> impl Iterator<Item = &Token<'a>> {
        self.text.iter().filter(|token| is_name(token) || token.kind == Kind::Text)
    }

    pub fn count_of(&self, word: &str) -> usize {
        self.text.iter().filter(|token| token.is(word)).count()
    }

    /// The token behind LIMIT, if it cuts the result at one value and there is no OFFSET.
    fn limit_at(&self) -> Option<usize> {
        let limit = (self.tail..self.text.len()).rev().find(|&index| self.text[index].is("limit"))?;
        let is_plain = match &self.text[limit + 1..] {
            [_] => true,
            [_, end] => end.is_punctuation(b';'),
            _ => false,
        };
        is_plain.then_some(limit + 1)
    }

    pub fn has_plain_limit(&self) -> bool {
        self.limit_at().is_some()
    }

    /// At how many rows it is cut, if that is a plain value without an OFFSET.
    pub fn limit(&self) -> Option<Operand> {
        let at = self.limit_at()?;
        match self.side(&(at..at + 1), at)? {
            (Side::Value(value), _) => Some(value),
            (Side::Column(_), _) => None,
        }
    }

    /// The first of ORDER BY, if it is a column's name, and whether the greatest come first. A name alone, not `t.a`, may be
    /// that of a result column.
    pub fn first_order(&self) -> Option<(OrderName<'a>, bool)> {
        self.order_name(self.order_items().next()?)
    }

    /// All of ORDER BY, if they are columns' names.
    pub fn orders(&self) -> Option<Vec<(OrderName<'a>, bool)>> {
        let names: Vec<_> = self.order_items().map(|item| self.order_name(item)).collect::<Option<_>>()?;
        (!names.is_empty()).then_some(names)
    }

    fn order_items(&self) -> impl Iterator<Item = Range<usize>> {
        let words = &self.text[self.tail..];
        let has_order = words.len() > 2 && words[0].is("order");
        let length = words.iter().position(|token| token.is("limit") || token.is_punctuation(b';'));
        let end = self.tail + length.unwrap_or(words.len());
        let start = if has_order { (self.tail + 2).min(end) } else { end };
        (start < end).then(|| self.list(start..end)).into_iter().flatten()
    }

    fn order_name(&self, item: Range<usize>) -> Option<(OrderName<'a>, bool)> {
        let (name, is_descending) = match &self.text[item] {
            [name @ .., last] if last.is_any(&["asc", "desc"]) => (name, last.is("desc")),
            name => (name, false),
        };
        // NULL is no name, whatever columns there are.
        let order = match name {
            [only] if only.is("null") => return None,
            [only] if is_name(only) => OrderName::Alone(unquoted(only.text)),
            _ => OrderName::Of(self.column_of(name)?),
        };
        Some((order, is_descending))
    }

    /// Names in double quotes in its WHERE: if they are none, SQLite takes them for texts.
    pub fn quoted_in_filter(&self) -> impl Iterator<Item = String> {
        let quoted = self.filter().iter().filter(|token| token.kind == Kind::Quoted && token.text.starts_with('"'));
        quoted.map(|token| unquoted(token.text))
    }

    /// Do LIKE and GLOB have plain values for patterns? Others may be such that they fail.
    pub fn has_plain_patterns(&self) -> bool {
        let is_plain = |index: usize| {
            let is_end = |token: &Token<'_>| !token.is_punctuation(b'|') && !token.is("collate");
            matches!(self.text.get(index), Some(token) if matches!(token.kind, Kind::Text | Kind::Variable))
                && self.text.get(index + 1).is_none_or(is_end)
        };
        let is_fine = |(index, token): (usize, &Token<'_>)| {
            let is_escape = token.is("escape");
            let is_like = token.is_any(&["like", "glob"]);
            !is_escape && (!is_like || is_plain(index + 1))
        };
        self.text.iter().enumerate().all(is_fine)
    }

    /// The columns of GROUP BY, if they are nothing but columns and there is no HAVING.
    pub fn group_columns(&self) -> Option<Vec<&'a str>> {
        let clause = self.groups.clone();
        if !(self.text.get(clause.start)?.is("group") && self.text.get(clause.start + 1)?.is("by")) {
            return None;
        }
        self.list(clause.start + 2..clause.end).into_iter().map(|item| self.column_of(&self.text[item])).collect()
    }

    /// The tokens of each result column.
    pub fn items(&self) -> Vec<&[Token<'a>]> {
        let start = 1 + usize::from(self.text.get(1).is_some_and(|second| second.is_any(&["distinct", "all"])));
        self.list(start..self.from.start - 1).into_iter().map(|item| &self.text[item]).collect()
    }

    /// Parts between commas.
    fn list(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut items = Vec::new();
        let mut start = range.start;
        let mut depth = 0;
        for index in range.clone() {
            match self.text[index].kind {
                Kind::Punctuation(b'(') => depth += 1,
                Kind::Punctuation(b')') => depth -= 1,
                Kind::Punctuation(b',') if depth == 0 => items.push(std::mem::replace(&mut start, index + 1)..index),
                _ => {}
            }
        }
        items.push(start..range.end);
        items
    }

    /// The statement with one more condition, and without ORDER BY and LIMIT.
    pub fn restricted(&self, condition: &str) -> String {
        let head = self.slice(&(0..self.from.end));
        let groups = self.slice(&self.groups);
        match &self.filter {
            Some(filter) => format!("{head} WHERE ({}) AND {condition} {groups}", self.slice(filter)),
            None => format!("{head} WHERE {condition} {groups}"),
        }
    }

    /// What it shows of its groups, or of all its rows, is this instead.
    pub fn showing(&self, items: &str) -> String {
        let from = self.slice(&self.from);
        let filter = self.filter.as_ref().map_or_else(String::new, |filter| format!(" WHERE {}", self.slice(filter)));
        format!("SELECT {items} FROM {from}{filter} {}", self.slice(&self.groups))
    }

    fn slice(&self, range: &Range<usize>) -> &'a str {
        let last = range.clone().next_back().map_or(0, |last| self.text[last].end());
        self.text.get(range.start).and_then(|first| self.statement.get(first.at..last)).unwrap_or_default()
    }

    /// The table and the column that each name stands for in this FROM, by SQLite's own word.
    pub fn origins(&self, sqlite: &mut Sqlite, columns: &[&str]) -> Option<Vec<Option<(String, String)>>> {
        if columns.is_empty() {
            return Some(Vec::new());
        }
        let last = self.text.get(self.from.end - 1)?;
        let from = &self.statement[self.text.get(self.from.start)?.at..last.end()];
        sqlite.take_reads();
        let probe = sqlite.prepare(&format!("SELECT {} FROM {from}", columns.join(", ")), Mode::Live);
        sqlite.take_reads();
        let probe = probe.ok()??;
        Some((0..columns.len()).map(|index| probe.column_origin(index)).collect())
    }

    /// Is the table named just once, as a member of the outermost FROM? A second look at it, in a sub-query or by another
    /// alias, would see rows that a condition does not keep out.
    pub fn stands_once(&self, table: &str) -> bool {
        let mut depth = 0;
        let mut count = 0;
        let mut is_member = false;
        for (index, token) in self.text.iter().enumerate() {
            match token.kind {
                Kind::Punctuation(b'(') => depth += 1,
                Kind::Punctuation(b')') => depth -= 1,
                // `t.a` names a column, not the table once more. SQLite takes a text for a name too.
                Kind::Word | Kind::Quoted | Kind::Text
                    if unquoted(token.text).trim_matches('\'').eq_ignore_ascii_case(table)
                        && !self.text.get(index + 1).is_some_and(|next| next.is_punctuation(b'.')) =>
                {
                    count += 1;
                    is_member = depth == 0 && self.from.contains(&index);
                }
                _ => {}
            }
        }
        count == 1 && is_member
    }

    /// The conditions of the plain shapes among those that must hold.
    pub fn conditions(&self) -> Vec<(Condition<'a>, Holds)> {
        let mut pieces = Vec::new();
        if let Some(filter) = &self.filter {
            self.split(filter.clone(), Holds::Always, &mut pieces);
        }
        for (index, member) in self.members.iter().enumerate() {
            let holds = if member.is_left_joined { Holds::With(index) } else { Holds::Always };
            if let Some(on) = &member.on {
                self.split(on.clone(), holds, &mut pieces);
            }
        }
        pieces.into_iter().filter_map(|(piece, holds)| Some((self.condition(piece)?, holds))).collect()
    }

    /// The conditions of its WHERE, if all of them are of the plain shapes.
    pub fn whole_filter(&self) -> Option<Vec<Condition<'a>>> {
        let Some(filter) = &self.filter else { return Some(Vec::new()) };
        if self.filter().iter().any(|token| token.is_any(&["or", "case"])) {
            return None;
        }
        let mut pieces = Vec::new();
        self.split(filter.clone(), Holds::Always, &mut pieces);
        pieces.into_iter().map(|(piece, _)| self.condition(piece)).collect()
    }

    /// The parts of a row of ANDs, or of such a row in parentheses. An OR undoes the promise for all beside it.
    fn split(&self, range: Range<usize>, holds: Holds, pieces: &mut Vec<(Range<usize>, Holds)>) {
        let mut depth = 0;
        let mut ands = Vec::new();
        let mut betweens = 0;
        for index in range.clone() {
            let token = &self.text[index];
            match token.kind {
                Kind::Punctuation(b'(') => depth += 1,
                Kind::Punctuation(b')') => depth -= 1,
                // CASE has ANDs of its own, and END may be a name.
                Kind::Word if depth == 0 && token.is_any(&["or", "case"]) => return,
                Kind::Word if depth == 0 && token.is("between") => betweens += 1,
                // BETWEEN's own AND is not one of the row.
                Kind::Word if depth == 0 && token.is("and") && betweens > 0 => betweens -= 1,
                Kind::Word if depth == 0 && token.is("and") => ands.push(index),
                _ => {}
            }
        }
        ands.push(range.end);
        let mut start = range.start;
        for end in ands {
            if is_in_parentheses(&self.text[start..end]) {
                self.split(start + 1..end - 1, holds, pieces);
            } else {
                pieces.push((start..end, holds));
            }
            start = end + 1;
        }
    }

    fn condition(&self, piece: Range<usize>) -> Option<Condition<'a>> {
        let (left, at) = self.side(&piece, piece.start)?;
        let operator = self.text.get(at).filter(|_| at < piece.end)?;
        let is = |offset: usize, byte: u8| {
            at + offset < piece.end && self.text.get(at + offset).is_some_and(|token| token.is_punctuation(byte))
        };
        let value = |at: usize| match self.side(&piece, at)? {
            (Side::Value(value), next) => Some((value, next)),
            (Side::Column(_), _) => None,
        };
        let last =
            |found: Option<(Operand, usize)>| found.filter(|(_, next)| *next == piece.end).map(|(value, _)| value);
        let equal = |operands, is_null_safe| Asks::Equal { operands, is_null_safe };
        // `<>` is no range.
        let is_less = is(0, b'<') && !is(1, b'>');
        if is(0, b'=') || is_less || is(0, b'>') {
            let next = at + 1 + usize::from(is(1, b'='));
            let (right, end) = self.side(&piece, next)?;
            if end != piece.end {
                return None;
            }
            return Some(match (left, right) {
                (Side::Column(left), Side::Column(right)) if is(0, b'=') => Condition::Links { left, right },
                (Side::Column(column), Side::Value(value)) | (Side::Value(value), Side::Column(column))
                    if is(0, b'=') =>
                {
                    Condition::Asks { column, asks: equal(vec![value], false) }
                }
                (Side::Column(column), Side::Value(value)) => Condition::Asks { column, asks: bound(value, is_less) },
                (Side::Value(value), Side::Column(column)) => Condition::Asks { column, asks: bound(value, !is_less) },
                _ => return None,
            });
        }
        let Side::Column(column) = left else { return None };
        let asks = if operator.is("is") {
            equal(vec![last(value(at + 1))?], true)
        } else if operator.is("like") {
            Asks::Like(last(value(at + 1))?)
        } else if operator.is("between") {
            let (low, next) = value(at + 1)?;
            let high = self.text.get(next).filter(|and| and.is("and")).and_then(|_| last(value(next + 1)))?;
            Asks::Range { low: Some(low), high: Some(high) }
        } else if operator.is("in") && is(1, b'(') && self.text[piece.end - 1].is_punctuation(b')') {
            let inside = self.list(at + 2..piece.end - 1);
            let alone = |item: Range<usize>| match self.side(&item, item.start)? {
                (Side::Value(value), next) if next == item.end => Some(value),
                _ => None,
            };
            equal(inside.into_iter().map(alone).collect::<Option<Vec<_>>>()?, false)
        } else {
            return None;
        };
        Some(Condition::Asks { column, asks })
    }

    /// A column or a value, and the index behind it.
    fn side(&self, piece: &Range<usize>, at: usize) -> Option<(Side<'a>, usize)> {
        let token = |at: usize| self.text.get(at).filter(|_| at < piece.end);
        let first = token(at)?;
        let is_negative = first.is_punctuation(b'-');
        let at = at + usize::from(is_negative);
        let first = token(at)?;
        let literal = |value| Some((Side::Value(Operand::Literal(value)), at + 1));
        match (&self.numbers[at], first.kind, is_negative) {
            (Some((number, name)), _, false) => Some((Side::Value(Operand::Parameter(*number, name.clone())), at + 1)),
            (None, Kind::Number, _) => {
                let number = super::term::whole_number(first.text.as_bytes())?;
                literal(Value::Integer(if is_negative { -number } else { number }))
            }
            (None, Kind::Text, false) if first.text.starts_with('\'') => {
                literal(Value::text(first.text.get(1..first.text.len() - 1)?.replace("''", "'")))
            }
            (None, Kind::Word, false) if first.is("null") => literal(Value::Null),
            (None, Kind::Word | Kind::Quoted, false) => {
                let is_qualified = token(at + 1).is_some_and(|token| token.is_punctuation(b'.'));
                let last = if is_qualified { at + 2 } else { at };
                let name = token(last).filter(|token| is_name(token))?;
                Some((Side::Column(&self.statement[first.at..name.end()]), last + 1))
            }
            _ => None,
        }
    }

    /// Tokens that are one column's name.
    pub fn column_of(&self, item: &[Token<'a>]) -> Option<&'a str> {
        let (first, last) = match item {
            [only] => (only, only),
            [table, dot, column] if dot.is_punctuation(b'.') => (table, column),
            _ => return None,
        };
        (is_name(first) && is_name(last)).then(|| &self.statement[first.at..last.end()])
    }

    fn read_members(&self) -> Option<Vec<Member<'a>>> {
        let end = self.from.end;
        let token = |at: usize| self.text.get(at).filter(|_| at < end);
        let name = |at: usize| token(at).filter(|token| is_name(token) && !token.is_any(&JOINING));
        let mut members = Vec::new();
        let mut at = self.from.start;
        let mut is_left_joined = false;
        loop {
            let mut table = name(at)?;
            if token(at + 1).is_some_and(|dot| dot.is_punctuation(b'.')) {
                if !unquoted(table.text).eq_ignore_ascii_case("main") {
                    return None;
                }
                at += 2;
                table = name(at)?;
            }
            at += 1;
            let mut alias = table;
            if token(at).is_some_and(|word| word.is("as")) {
                alias = name(at + 1)?;
                at += 2;
            } else if let Some(word) = name(at) {
                alias = word;
                at += 1;
            }
            let on = token(at).is_some_and(|word| word.is("on")).then(|| {
                let start = at + 1;
                at = self.on_end(start);
                start..at
            });
            members.push(Member { table: unquoted(table.text), alias: alias.text, is_left_joined, on });
            let Some(next) = token(at) else { return Some(members) };
            is_left_joined = next.is("left");
            let is_other = next.is_any(&["inner", "cross"]);
            at += usize::from(is_left_joined || is_other);
            at += usize::from(is_left_joined && token(at).is_some_and(|word| word.is("outer")));
            let is_comma = !is_left_joined && !is_other && next.is_punctuation(b',');
            if !is_comma && !token(at).is_some_and(|word| word.is("join")) {
                return None;
            }
            at += 1;
        }
    }

    /// Where an ON's condition ends: at the next word that joins. Should that word have been a column's name, what follows
    /// is no join, and no member is seen at all.
    fn on_end(&self, start: usize) -> usize {
        let mut depth = 0;
        for at in start..self.from.end {
            let token = &self.text[at];
            match token.kind {
                Kind::Punctuation(b'(') => depth += 1,
                Kind::Punctuation(b')') => depth -= 1,
                Kind::Punctuation(b',') if depth == 0 => return at,
                Kind::Word
                    if depth == 0
                        && token.is_any(&["join", "inner", "cross", "left", "right", "full", "natural"])
                        && !self.text[at - 1].is_punctuation(b'.') =>
                {
                    return at;
                }
                _ => {}
            }
        }
        self.from.end
    }
}

fn bound(value: Operand, is_high: bool) -> Asks {
    if is_high { Asks::Range { low: None, high: Some(value) } } else { Asks::Range { low: Some(value), high: None } }
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

/// SQLite's own bound (`SQLITE_MAX_VARIABLE_NUMBER`).
const PARAMETERS_MAX: usize = 32_766;

/// The number and the name of the parameter that each token is: `?` counts on, `?7` says it, a name counts on once.
pub fn parameters(text: &[Token<'_>]) -> Vec<Option<(usize, Box<str>)>> {
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut last = 0;
    text.iter()
        .map(|token| {
            if token.kind != Kind::Variable {
                return None;
            }
            let digits = token.text.strip_prefix('?');
            let (number, name) = match digits {
                Some("") => (last + 1, format!("?{}", last + 1)),
                Some(digits) => {
                    (digits.parse().ok().filter(|number| *number <= PARAMETERS_MAX)?, token.text.to_owned())
                }
                None => (*names.entry(token.text).or_insert(last + 1), token.text.to_owned()),
            };
            last = last.max(number);
            Some((number, name.into()))
        })
        .collect()
}
