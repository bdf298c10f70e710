//! Tallies: counts and sums of whole numbers that go on from the changed rows, whatever the number of rows behind them.
//!
//! What the changed rows gave is taken off, what they give now is added; both SQLite says, which runs the query on
//! them alone ([`super::mirror`]). Floats, whose sum depends on the order of adding, and sums that might overflow have none.

use super::mirror::Mirrors;
use super::query::{Query, looks_at_clock};
use super::rows::{self, Changed, Key, PartChanges};
use crate::changes::change::ChangeSet;
use crate::error::{Error, Result};
use crate::sqlite::budget::Cancel;
use crate::sqlite::gate::Mode;
use crate::sqlite::schema::Table;
use crate::sqlite::{Sqlite, Statement, clock};
use crate::value::{Value, ValueRef};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Groups whose numbers are remembered for one query; one with more has no tally.
const GROUPS_MAX: usize = 10_000;

/// Bytes of one group's key.
const KEY_BYTES_MAX: usize = 1024;

/// What the magnitudes of all summed numbers may come to: then no order of adding them overflows. A power of two below
/// the largest integer's, for it is itself a sum of floats.
const WEIGHT_MAX: f64 = (1_u64 << 61) as f64;

/// Of a template: where the numbers come from, and where they go.
#[derive(Debug)]
pub struct Tally {
    pub table: Arc<Table>,
    /// Which columns of the table it reads.
    pub reads: Box<[bool]>,
    /// Gives for each group its key, `count(*)`, and four numbers for each counted column ([`numbers_of`]).
    pub sql: String,
    pub keys: usize,
    pub columns: usize,
    /// One for each column of the result.
    pub shown: Vec<Shown>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Key(usize),
    Rows,
    /// `count(column)`, by the number of the column.
    Count(usize),
    Sum(usize),
}

/// What is selected of a counted column: how many are not NULL, their sum, their magnitudes' sum, and how many are no
/// whole numbers.
pub fn numbers_of(column: &str, is_summed: bool) -> String {
    if !is_summed {
        return format!("count({column}), 0, 0.0, 0");
    }
    let whole = |what: &str| format!("iif(typeof({column}) = 'integer', {what}, 0)");
    let (sum, weight) = (whole(column), whole(&format!("abs({column} + 0.0)")));
    format!("count({column}), sum({sum}), total({weight}), total(typeof({column}) NOT IN ('integer', 'null'))")
}

/// The numbers of one group.
#[derive(Clone, Debug)]
struct Numbers {
    key: Box<[Value]>,
    rows: i64,
    columns: Box<[Column]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Column {
    count: i64,
    sum: i64,
    weight: f64,
    odd: f64,
}

/// The numbers of a query's groups, by their keys' texts.
#[derive(Debug, Default)]
pub struct Counts(HashMap<Key, Numbers>);

/// What came of going on.
#[derive(Debug)]
pub enum GoneOn {
    Changes(PartChanges),
    /// It cannot be told this time; the numbers must be counted anew.
    Lost,
    /// There is something that cannot be counted so, and there will be again.
    Never,
}

impl Tally {
    /// The columns of the result that show the groups' keys, each once, in the keys' order.
    pub fn key_columns(&self) -> Vec<usize> {
        (0..self.keys).filter_map(|key| self.shown.iter().position(|shown| *shown == Shown::Key(key))).collect()
    }

    /// Counts from the beginning, in the connection's open snapshot. `None` if there is something that cannot be counted so.
    ///
    /// # Errors
    /// As those of a live query.
    pub fn count(&self, sqlite: &mut Sqlite, query: &Query, time: Duration) -> Result<Option<Counts>> {
        let groups = self.read(sqlite, query, time)?;
        let is_fine = |numbers: &Numbers| numbers.columns.iter().all(Column::is_fine) && has_plain_key(numbers);
        if groups.len() > GROUPS_MAX || !groups.iter().all(|(_, numbers)| is_fine(numbers)) {
            return Ok(None);
        }
        Ok(Some(Counts(groups.into_iter().collect())))
    }

    /// Goes on from the changed rows. Unless there are changes, the counts are of no use any more.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn go_on(
        &self,
        counts: &mut Counts,
        mirrors: &mut Mirrors,
        query: &Query,
        sets: &[Arc<ChangeSet>],
        time: Duration,
    ) -> Result<GoneOn> {
        let Some([before, after]) = mirrors.show(self, sets)? else { return Ok(GoneOn::Lost) };
        let gave = self.read(before, query, time)?;
        let give = self.read(after, query, time)?;
        let mut shown_before: BTreeMap<Key, Option<Changed>> = BTreeMap::new();
        for (text, numbers) in gave.iter().chain(&give) {
            if !has_plain_key(numbers) || !numbers.columns.iter().all(Column::is_fine) {
                return Ok(GoneOn::Never);
            }
            let row = || counts.0.get(text).map(|numbers| self.row(query, numbers));
            shown_before.entry(text.clone()).or_insert_with(row);
        }
        // What is taken off may have come in the same step.
        for (sign, groups) in [(1, give), (-1, gave)] {
            for (text, numbers) in groups {
                let could = match counts.0.get_mut(&text) {
                    Some(known) => known.add(sign, &numbers),
                    // Nothing can be taken from what is not there.
                    None => sign > 0 && counts.0.insert(text, numbers).is_none(),
                };
                if !could {
                    return Ok(GoneOn::Lost);
                }
            }
        }
        let mut changes = PartChanges::default();
        for (text, old) in shown_before {
            let Some(numbers) = counts.0.get(&text) else { continue };
            if numbers.rows < 0 || !numbers.columns.iter().all(Column::is_fine) {
                return Ok(GoneOn::Never);
            }
            // Without a GROUP BY there is always one row.
            let new = (numbers.rows > 0 || self.keys == 0).then(|| self.row(query, numbers));
            if new.is_none() {
                counts.0.remove(&text);
            }
            note(&mut changes, old, new);
        }
        Ok(if counts.0.len() <= GROUPS_MAX { GoneOn::Changes(changes) } else { GoneOn::Never })
    }

    fn read(&self, sqlite: &mut Sqlite, query: &Query, time: Duration) -> Result<Vec<(Key, Numbers)>> {
        sqlite.bounded(time, None::<Cancel>, Mode::Caller, |sqlite| {
            let mut statement =
                sqlite.prepare(&self.sql, Mode::Caller)?.ok_or_else(|| Error::internal("a tally has no statement"))?;
            clock::was_read();
            let groups = statement.bind(&query.params).and_then(|()| self.groups(&mut statement));
            sqlite.keep(&self.sql, statement);
            if clock::was_read() { Err(looks_at_clock()) } else { groups }
        })
    }

    fn groups(&self, statement: &mut Statement) -> Result<Vec<(Key, Numbers)>> {
        let mut groups = Vec::new();
        while statement.step()? && groups.len() <= GROUPS_MAX {
            let key: Box<[Value]> = (0..self.keys).map(|column| statement.column(column).into()).collect();
            let mut text = String::new();
            rows::write_key(&mut text, key.iter().map(Value::as_ref));
            let column = |number: usize| {
                let first = self.keys + 1 + 4 * number;
                Column {
                    count: integer(statement.column(first)),
                    sum: integer(statement.column(first + 1)),
                    weight: real(statement.column(first + 2)),
                    odd: real(statement.column(first + 3)),
                }
            };
            let columns = (0..self.columns).map(column).collect();
            let rows = integer(statement.column(self.keys));
            groups.push((text.into(), Numbers { key, rows, columns }));
        }
        Ok(groups)
    }

    /// The group's row as the query shows it.
    fn row(&self, query: &Query, numbers: &Numbers) -> Changed {
        let value = |shown: &Shown| match *shown {
            Shown::Key(key) => numbers.key[key].as_ref(),
            Shown::Rows => ValueRef::Integer(numbers.rows),
            Shown::Count(column) => ValueRef::Integer(numbers.columns[column].count),
            Shown::Sum(column) if numbers.columns[column].count == 0 => ValueRef::Null,
            Shown::Sum(column) => ValueRef::Integer(numbers.columns[column].sum),
        };
        let values: Vec<ValueRef<'_>> = self.shown.iter().map(value).collect();
        rows::changed(&query.template.key, &values)
    }
}

impl Numbers {
    /// False if it overflows.
    fn add(&mut self, sign: i64, other: &Self) -> bool {
        self.rows += sign * other.rows;
        for (column, other) in self.columns.iter_mut().zip(&other.columns) {
            let Some(sum) = column.sum.checked_add(sign.wrapping_mul(other.sum)) else { return false };
            column.sum = sum;
            column.count += sign * other.count;
            column.weight += sign as f64 * other.weight;
            column.odd += sign as f64 * other.odd;
        }
        true
    }
}

impl Column {
    fn is_fine(&self) -> bool {
        self.odd == 0.0 && self.weight < WEIGHT_MAX
    }
}

/// A float may equal an integer, or another float; and of long keys there could be more than a result may have.
fn has_plain_key(numbers: &Numbers) -> bool {
    let is_real = |value: &Value| matches!(value, Value::Real(_));
    let size = |value: &Value| match value {
        Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
        _ => 8,
    };
    !numbers.key.iter().any(is_real) && numbers.key.iter().map(size).sum::<usize>() <= KEY_BYTES_MAX
}

fn note(changes: &mut PartChanges, old: Option<Changed>, new: Option<Changed>) {
    match (old, new) {
        (Some(old), Some(new)) if old.key == new.key => {
            if old.hash != new.hash {
                changes.update.push(new);
            }
        }
        (old, new) => {
            changes.delete.extend(old.map(|old| old.key));
            changes.insert.extend(new);
        }
    }
}

fn integer(value: ValueRef<'_>) -> i64 {
    if let ValueRef::Integer(value) = value { value } else { 0 }
}

fn real(value: ValueRef<'_>) -> f64 {
    match value {
        ValueRef::Real(value) => value,
        ValueRef::Integer(value) => value as f64,
        _ => 0.0,
    }
}
