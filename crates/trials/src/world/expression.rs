//! Random expressions over the tables in sight.

use super::schema::{Relation, Schema};
use super::values::{self, Kind};
use crate::random::Random;
use crate::traps::{Trap, Traps};
use tidebase_engine::Value;

/// A relation under the name it has in the query.
#[derive(Clone, Debug)]
pub struct Source {
    /// What stands in FROM, alias included.
    pub from: String,
    pub columns: Vec<Term>,
    /// Those of the primary key, if it has one.
    pub key: Vec<Term>,
}

/// A column as an expression.
#[derive(Clone, Debug)]
pub struct Term {
    pub sql: String,
    pub kind: Kind,
    pub is_indexed: bool,
    pub has_collation: bool,
}

/// A query or statement that is being written.
pub struct Build<'a> {
    pub random: &'a mut Random,
    pub schema: &'a Schema,
    pub params: Vec<Value>,
    pub traps: Traps,
    /// Data may come that makes it fail: a sum that overflows, a search term that is none.
    pub may_fail: bool,
    /// Values may be bound rather than written.
    pub may_bind: bool,
    aliases: usize,
}

impl<'a> Build<'a> {
    pub fn new(random: &'a mut Random, schema: &'a Schema) -> Self {
        let may_bind = random.percent(50);
        Self { random, schema, params: vec![], traps: Traps::default(), may_fail: false, may_bind, aliases: 0 }
    }

    pub fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("x{}", self.aliases)
    }

    /// A table, or sometimes a view.
    pub fn relation(&mut self) -> &'a Relation {
        let from_views = !self.schema.views.is_empty() && self.random.percent(20);
        self.random.pick(if from_views { &self.schema.views } else { &self.schema.tables })
    }

    pub fn source(&mut self) -> Source {
        let relation = self.relation();
        self.source_of(relation)
    }

    pub fn source_of(&mut self, relation: &Relation) -> Source {
        let alias = self.alias();
        self.traps.join(relation.traps);
        let columns: Vec<Term> = relation
            .columns
            .iter()
            .map(|column| Term {
                sql: format!("{alias}.{}", column.name),
                kind: column.kind,
                is_indexed: column.is_indexed,
                has_collation: column.has_collation,
            })
            .collect();
        let key = relation.key.iter().map(|&index| columns[index].clone()).collect();
        Source { from: format!("{} AS {alias}", relation.name), columns, key }
    }

    /// A value as a parameter or as text.
    pub fn constant(&mut self, kind: Kind) -> String {
        let value = values::value(self.random, kind);
        self.say(value)
    }

    pub fn present(&mut self, kind: Kind) -> String {
        let value = values::present(self.random, kind);
        self.say(value)
    }

    /// A value that a column is compared with: now and then one that must be converted first.
    pub fn asked(&mut self, kind: Kind) -> String {
        let value = match values::value(self.random, kind) {
            Value::Integer(number) if self.random.percent(20) => {
                Value::text(format!("{number}{}", *self.random.pick(&["", ".0", " ", "e0"])))
            }
            Value::Integer(number) if self.random.percent(10) => Value::Real(number as f64),
            Value::Real(number) if self.random.percent(25) => Value::text(number.to_string()),
            Value::Text(_) if self.random.percent(15) => values::value(self.random, Kind::Any),
            value => value,
        };
        self.say(value)
    }

    pub fn say(&mut self, value: Value) -> String {
        if self.may_bind && self.random.percent(40) {
            self.traps.add(Trap::Parameters);
            self.params.push(value);
            return format!("?{}!", self.params.len());
        }
        values::literal(&value)
    }

    /// Parts were written that did not come into the text: their parameters go, the others are numbered anew.
    pub fn settle_params(&mut self, texts: &mut [&mut String]) {
        let mut used: Vec<Value> = Vec::new();
        for number in 1..=self.params.len() {
            let (old, new) = (format!("?{number}!"), format!("?{}!", used.len() + 1));
            if texts.iter().any(|text| text.contains(&old)) {
                texts.iter_mut().for_each(|text| **text = text.replace(&old, &new));
                used.push(self.params[number - 1].clone());
            }
        }
        texts.iter_mut().filter(|text| text.contains('?')).for_each(|text| {
            // The mark behind the number kept `?1` from being found in `?12`.
            let mut parts = text.split('?');
            let first = parts.next().unwrap_or_default().to_owned();
            **text = parts.fold(first, |text, part| text + "?" + &part.replacen('!', "", 1));
        });
        self.params = used;
    }

    pub fn column(&mut self, scope: &[Source]) -> Term {
        let source = self.random.pick(scope);
        self.random.pick(&source.columns).clone()
    }

    /// A value computed from the row.
    pub fn scalar(&mut self, scope: &[Source], depth: usize) -> String {
        let Term { sql, kind, .. } = self.column(scope);
        if depth == 0 || self.random.percent(45) {
            return sql;
        }
        let depth = depth - 1;
        match self.random.below(19) {
            0 => format!("{sql} + 1"),
            1 => format!("coalesce({sql}, {})", self.constant(kind)),
            2 => format!("lower({sql})"),
            3 => format!("typeof({sql})"),
            4 => format!("{sql} || {}", self.scalar(scope, depth)),
            5 => {
                format!("CASE WHEN {} THEN {sql} ELSE {} END", self.predicate(scope, depth), self.scalar(scope, depth))
            }
            6 => format!("CAST({sql} AS {})", *self.random.pick(&["TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB"])),
            7 => format!("{sql} COLLATE {}", *self.random.pick(&["NOCASE", "RTRIM", "BINARY"])),
            8 => format!("iif({}, 1, '1')", self.predicate(scope, depth)),
            9 => format!("nullif({sql}, {})", self.constant(kind)),
            10 => format!("length({sql})"),
            11 => format!("{sql} * 0.1"),
            12 => format!("quote({sql})"),
            13 => format!("{sql} = {}", self.constant(kind)),
            14 => format!("round({sql}, 1)"),
            15 => format!("substr({sql}, 1, 1)"),
            16 => format!("{sql} % 3"),
            17 => self.scalar_query(scope),
            _ => self.constant(kind),
        }
    }

    /// A sub-query with one value, looking at the row outside.
    fn scalar_query(&mut self, scope: &[Source]) -> String {
        self.traps.add(Trap::SubQuery);
        let outside = self.column(scope);
        let inside = [self.source()];
        let (match_on, shown) = (self.column(&inside), self.column(&inside));
        let shown = match self.random.below(4) {
            0 => "count(*)".to_owned(),
            1 => format!("max({})", shown.sql),
            2 => {
                self.traps.add(Trap::FloatSum);
                format!("total({})", shown.sql)
            }
            _ => shown.sql,
        };
        format!("(SELECT {shown} FROM {} WHERE {} = {})", inside[0].from, match_on.sql, outside.sql)
    }

    pub fn predicate(&mut self, scope: &[Source], depth: usize) -> String {
        if depth > 0 && self.random.percent(30) {
            let (left, right) = (self.predicate(scope, depth - 1), self.predicate(scope, depth - 1));
            return match self.random.below(3) {
                0 => format!("({left} AND {right})"),
                1 => format!("({left} OR {right})"),
                _ => format!("NOT ({left})"),
            };
        }
        let Term { sql, kind, has_collation, .. } = self.column(scope);
        if has_collation {
            self.traps.add(Trap::Collation);
        }
        let compare = *self.random.pick(&["=", "<>", "<", ">=", ">", "IS", "IS NOT", "=="]);
        match self.random.below(15) {
            0..=3 => format!("{sql} {compare} {}", self.constant(kind)),
            4 => format!("{sql} {compare} {}", self.scalar(scope, 1)),
            5 => format!("{sql} IS {}NULL", *self.random.pick(&["", "NOT "])),
            6 => {
                self.traps.add(Trap::NotIn);
                let not = *self.random.pick(&["", "NOT ", "NOT "]);
                format!("{sql} {not}IN ({}, {}, {})", self.constant(kind), self.constant(kind), self.constant(kind))
            }
            7 => format!("{sql} BETWEEN {} AND {}", self.present(kind), self.present(kind)),
            8 => format!("{sql} LIKE {}", self.pattern("%")),
            9 => format!("{sql} GLOB {}", self.pattern("*")),
            10 => self.membership(scope),
            11 => self.existence(scope),
            12 => {
                let other = self.column(scope);
                format!(
                    "({sql}, {}) {} ({}, {})",
                    other.sql,
                    *self.random.pick(&["=", "<", ">="]),
                    self.constant(kind),
                    self.constant(other.kind)
                )
            }
            13 => format!("{sql} COLLATE NOCASE = {}", self.constant(Kind::Text)),
            _ => format!("{} > {}", self.scalar(scope, 1), self.constant(kind)),
        }
    }

    pub fn pattern(&mut self, any: &str) -> String {
        let start = *self.random.pick(&["a", "A", "b", "1", "é"]);
        self.say(Value::text(format!("{start}{any}")))
    }

    pub fn membership(&mut self, scope: &[Source]) -> String {
        self.traps.add(Trap::SubQuery);
        let outside = self.column(scope);
        let inside = [self.source()];
        let shown = self.column(&inside);
        let condition =
            if self.random.percent(60) { format!(" WHERE {}", self.predicate(&inside, 0)) } else { String::new() };
        let not = *self.random.pick(&["", "NOT "]);
        if !not.is_empty() {
            self.traps.add(Trap::NotIn);
        }
        format!("{} {not}IN (SELECT {} FROM {}{condition})", outside.sql, shown.sql, inside[0].from)
    }

    pub fn existence(&mut self, scope: &[Source]) -> String {
        self.traps.add(Trap::SubQuery);
        let outside = self.column(scope);
        let inside = [self.source()];
        let match_on = self.column(&inside);
        let more = if self.random.percent(40) { format!(" AND {}", self.predicate(&inside, 0)) } else { String::new() };
        let not = *self.random.pick(&["", "NOT "]);
        format!("{not}EXISTS (SELECT 1 FROM {} WHERE {} = {}{more})", inside[0].from, match_on.sql, outside.sql)
    }
}
