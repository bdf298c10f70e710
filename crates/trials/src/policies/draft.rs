//! A caller's write by chance: statements in which SQL leaves nothing open, as far as that can be told before they are run.

use super::armed::failing;
use super::rules::Rules;
use super::write::{Conflict, Deed, READ, Write};
use crate::random::Random;
use crate::traps::Trap;
use crate::world::expression::{Build, Source};
use crate::world::schema::{Column, Relation, Schema};
use crate::world::values::Kind;
use crate::world::write::{value_for, writable};
use tidebase_engine::Params;
use tidebase_engine::access::Action;
use tidebase_engine::sqlite::exclude::unquoted;

/// One that SQL leaves nothing open in, as far as that can be told before it is run.
///
/// None if there is no table for it. One that refers to itself by a column which is not shown is none: SQLite asks for that
/// column as if the statement did, so that it is refused.
pub fn random(random: &mut Random, schema: &Schema, rules: &Rules) -> Option<Write> {
    let is_fit = |&number: &usize| {
        let table = &schema.tables[number];
        let known = rules.readable(table).columns;
        let mut links = table.columns.iter().filter(|column| column.parent == Some(number));
        links.all(|link| known.iter().any(|column| column.name == link.name))
    };
    let fit: Vec<usize> = (0..schema.tables.len()).filter(is_fit).collect();
    if fit.is_empty() {
        return None;
    }
    let readable: Vec<Relation> =
        schema.tables.iter().filter(|table| rules.seen(table).is_some()).map(|table| source(table, rules)).collect();
    let readable: Vec<Relation> = readable.into_iter().filter(|table| !table.columns.is_empty()).collect();
    if readable.is_empty() {
        return None;
    }
    let readable = Schema { tables: readable, ..Schema::default() };
    loop {
        let mut draft = Draft::new(random, schema, &readable, rules, &fit);
        draft.deed();
        let Draft { mut build, mut write, .. } = draft;
        build.settle_params(&mut write.parts());
        write.params = Params::Positional(build.params);
        if !build.traps.has(Trap::FloatSum) && !write.parts().into_iter().any(|part| picks_a_row(part)) {
            return Some(write);
        }
    }
}

/// A table that is read beside the one that is written. A column called rowid could be taken for that one's rowid, and is not
/// asked for.
fn source(table: &Relation, rules: &Rules) -> Relation {
    let mut source = rules.readable(table);
    source.name = format!("{READ}{}", table.name);
    source.columns.retain(|column| column.name != "rowid");
    source.key.clear();
    source
}

/// Has it a sub-query for one value, of which several rows may be the first?
fn picks_a_row(sql: &str) -> bool {
    sql.match_indices("(SELECT x").any(|(at, _)| !["IN", "AS"].iter().any(|word| sql[..at].trim_end().ends_with(word)))
}

struct Draft<'a> {
    build: Build<'a>,
    schema: &'a Schema,
    rules: &'a Rules,
    table: &'a Relation,
    /// What of the table may be asked for.
    known: Relation,
    source: Source,
    write: Write,
}

impl<'a> Draft<'a> {
    fn new(random: &'a mut Random, schema: &'a Schema, readable: &'a Schema, rules: &'a Rules, fit: &[usize]) -> Self {
        let number = *random.pick(fit);
        let table = &schema.tables[number];
        let mut known = rules.readable(table);
        let mut write = Write { table: number, ..Write::default() };
        let mut build = Build::new(random, readable);
        if known.columns.is_empty() {
            known = table.clone();
            write.closed = Some(unquoted(&table.name));
        }
        let source = build.source_of(&known);
        Self { build, schema, rules, table, known, source, write }
    }

    fn deed(&mut self) {
        match self.build.random.weighted(&[40, 40, 22]) {
            0 => self.insert(),
            1 => self.update(),
            _ => self.write.deed = Deed::Delete { condition: self.condition() },
        }
        let is_known = !self.rules.readable(self.table).columns.is_empty();
        if !is_known {
            self.ask_closed();
        }
        if is_known && self.build.random.percent(50) {
            for _ in 0..self.build.random.between(1, 3) {
                let told = self.told();
                self.write.returning.push(told);
            }
        }
    }

    /// Nothing of the table is open: a column is asked for all the same.
    fn ask_closed(&mut self) {
        let column = &self.source.columns[0].sql;
        self.write.closed = Some(unquoted(&self.table.name));
        match &mut self.write.deed {
            Deed::Update { condition, .. } | Deed::Delete { condition } => *condition = format!("{column} IS NULL"),
            // It asks for nothing, and so for nothing that is closed.
            Deed::Insert { conflict, .. } => (*conflict, self.write.closed) = (None, None),
        }
    }

    fn told(&mut self) -> String {
        let column = self.build.random.pick(&self.known.columns).name.clone();
        match self.build.random.below(8) {
            0..=3 => column,
            4 => format!("{column} || '!'"),
            5 => format!("typeof({column})"),
            6 => format!("{column} IS NULL"),
            _ => {
                let inside = [self.build.source()];
                let (asked, kind) = (self.build.column(&inside).sql, Kind::Any);
                let value = self.build.constant(kind);
                format!("(SELECT count(*) FROM {} WHERE {asked} IS NOT {value})", inside[0].from)
            }
        }
    }

    fn condition(&mut self) -> String {
        if let Some(closed) = self.closed() {
            return closed;
        }
        let scope = std::slice::from_ref(&self.source);
        match self.build.random.below(100) {
            0..=9 => String::new(),
            10..=37 if !self.source.key.is_empty() => {
                let key = self.build.random.pick(&self.source.key).clone();
                let value = self.build.present(key.kind);
                format!("{} = {value}", key.sql)
            }
            38..=49 => {
                self.write.is_armed = true;
                let column = self.build.column(scope).sql;
                failing(self.build.random, &column)
            }
            50..=54 => {
                self.write.is_armed = true;
                let inside = [self.build.source()];
                let column = self.build.column(&inside).sql;
                format!("(SELECT count(*) FROM {} WHERE {}) >= 0", inside[0].from, failing(self.build.random, &column))
            }
            55..=58 => format!("{} = auth.uid()", self.build.column(scope).sql),
            59..=64 => {
                let inside = [self.build.source()];
                let column = self.build.column(&inside).sql;
                self.write.with = format!("WITH y AS (SELECT {column} AS w FROM {}) ", inside[0].from);
                format!("{} IN (SELECT w FROM y)", self.build.column(scope).sql)
            }
            _ => self.build.predicate(scope, 1),
        }
    }

    /// Now and then something that must not be asked.
    fn closed(&mut self) -> Option<String> {
        if !self.build.random.percent(5) {
            return None;
        }
        let known = |column: &&Column| !self.known.columns.iter().any(|its| its.name == column.name);
        let hidden: Vec<&Column> = self.table.columns.iter().filter(known).collect();
        if !hidden.is_empty() {
            let column = self.build.random.pick(&hidden);
            self.write.closed = Some(unquoted(&self.table.name));
            return Some(format!("x1.{} IS NULL", column.name));
        }
        let closed: Vec<&Relation> =
            self.schema.tables.iter().filter(|table| self.rules.seen(table).is_none()).collect();
        if closed.is_empty() {
            return None;
        }
        let table = self.build.random.pick(&closed);
        self.write.closed = Some(unquoted(&table.name));
        Some(format!("EXISTS (SELECT 1 FROM {READ}{} AS z)", table.name))
    }

    /// Columns to be written: often those that a policy grants together.
    fn columns(&mut self, action: Action) -> Vec<&'a Column> {
        let all = writable(self.table);
        let granted = self.rules.granted(self.build.random, self.table, action);
        if let Some(granted) = granted.filter(|_| self.build.random.percent(60)) {
            let is_granted = |column: &&Column| granted.contains(&unquoted(&column.name));
            let columns: Vec<&Column> = all.iter().copied().filter(is_granted).collect();
            if !columns.is_empty() {
                return columns;
            }
        }
        all
    }

    fn value(&mut self, column: &Column) -> String {
        let value = value_for(&mut self.build, self.table, column);
        self.build.say(value)
    }

    fn insert(&mut self) {
        let mut columns = self.columns(Action::Insert);
        let is_all = columns.len() == writable(self.table).len();
        let names_all = is_all && self.build.random.percent(25);
        if !names_all && columns.len() > 1 && self.build.random.percent(20) {
            let left_out = self.build.random.below(columns.len());
            columns.remove(left_out);
        }
        let from_table = self.build.random.percent(25);
        let source = if from_table { self.selected(&columns) } else { self.values(&columns) };
        let conflict = if self.build.random.percent(30) { Some(self.conflict()) } else { None };
        self.write.how = match &conflict {
            Some(_) => "",
            None => *self.build.random.pick(&["", "", "", "OR IGNORE ", "OR FAIL ", "OR ABORT "]),
        };
        let columns = (!names_all).then(|| columns.iter().map(|column| column.name.clone()).collect());
        self.write.deed = Deed::Insert { columns, source, is_ordered: !from_table, conflict };
    }

    fn values(&mut self, columns: &[&Column]) -> String {
        let row = |draft: &mut Self| {
            let values: Vec<String> = columns.iter().map(|column| draft.value(column)).collect();
            format!("({})", values.join(", "))
        };
        let count = self.build.random.weighted(&[60, 20, 20]) + 1;
        let rows: Vec<String> = (0..count).map(|_| row(self)).collect();
        format!("VALUES {}", rows.join(", "))
    }

    fn selected(&mut self, columns: &[&Column]) -> String {
        let inside = [self.build.source()];
        let mut shown = Vec::new();
        for column in columns {
            let is_key = self.table.key.iter().any(|&key| self.table.columns[key].name == column.name);
            shown.push(match self.build.random.below(10) {
                0..=3 if !is_key => self.value(column),
                0..=6 if is_key && matches!(column.kind, Kind::Integer | Kind::Real) => {
                    format!("{} + {}", self.build.column(&inside).sql, self.build.random.between(1, 12))
                }
                _ => self.build.scalar(&inside, 1),
            });
        }
        // The WHERE keeps ON CONFLICT from being taken for that of a join.
        let condition = if self.build.random.percent(8) {
            self.write.is_armed = true;
            let column = self.build.column(&inside).sql;
            failing(self.build.random, &column)
        } else {
            self.build.predicate(&inside, 0)
        };
        format!("SELECT {} FROM {} WHERE {condition}", shown.join(", "), inside[0].from)
    }

    fn conflict(&mut self) -> Conflict {
        let key: Vec<&str> = self.table.key.iter().map(|&key| &*self.table.columns[key].name).collect();
        let on = match &self.table.unique[..] {
            [unique, ..] if self.is_known(*unique) && self.build.random.percent(30) => {
                format!("({})", self.table.columns[*unique].name)
            }
            _ if key.is_empty() || self.build.random.percent(25) => String::new(),
            _ => format!("({})", key.join(", ")),
        };
        if self.build.random.percent(25) {
            return Conflict { on, sets: None, condition: String::new() };
        }
        let columns = self.columns(Action::Update);
        let mut column = *self.build.random.pick(&columns);
        if self.is_key(column) && self.build.random.percent(90) {
            column = *self.build.random.pick(&columns);
        }
        let is_known = self.known.columns.iter().any(|known| known.name == column.name);
        let value = if is_known && self.build.random.percent(50) {
            format!("excluded.{}", column.name)
        } else {
            self.value(column)
        };
        let scope = std::slice::from_ref(&self.source);
        let condition = if self.build.random.percent(40) { self.build.predicate(scope, 0) } else { String::new() };
        Conflict { on, sets: Some((column.name.clone(), value)), condition }
    }

    /// ON CONFLICT asks for the columns that it names.
    fn is_known(&self, column: usize) -> bool {
        self.known.columns.iter().any(|known| known.name == self.table.columns[column].name)
    }

    fn is_key(&self, column: &Column) -> bool {
        self.table.key.iter().any(|&key| self.table.columns[key].name == column.name)
    }

    fn update(&mut self) {
        let mut columns = self.columns(Action::Update);
        if self.build.random.percent(75) {
            let others: Vec<&Column> = columns.iter().copied().filter(|column| !self.is_key(column)).collect();
            columns = if others.is_empty() { columns } else { others };
        }
        let columns: Vec<&Column> = self.build.random.some_of(&columns).into_iter().take(2).collect();
        let other =
            (self.build.random.percent(20) && !self.build.schema.tables.is_empty()).then(|| self.build.source());
        let mut sets = Vec::new();
        for column in columns {
            let value = match &other {
                Some(other) if self.build.random.percent(50) => self.build.random.pick(&other.columns).sql.clone(),
                _ if self.build.random.percent(65) => self.value(column),
                _ => self.build.scalar(std::slice::from_ref(&self.source), 1),
            };
            sets.push((column.name.clone(), value));
        }
        let mut condition = self.condition();
        let mut from = String::new();
        if let Some(other) = other {
            let (ours, theirs) =
                (self.build.column(std::slice::from_ref(&self.source)), self.build.random.pick(&other.columns));
            let tie = format!("{} = {}", ours.sql, theirs.sql);
            condition =
                if condition.is_empty() || self.write.is_armed { tie } else { format!("{tie} AND ({condition})") };
            self.write.is_armed = false;
            from = other.from;
        }
        let is_list = sets.len() > 1 && self.build.random.percent(25);
        self.write.how = *self.build.random.pick(&["", "", "", "", "OR IGNORE ", "OR FAIL "]);
        self.write.deed = Deed::Update { sets, is_list, from, condition };
    }
}
