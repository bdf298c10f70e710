//! The edge of a result that a LIMIT cuts: its last row. A changed row that stood and stands behind it does not matter, for
//! as many rows as the LIMIT lets in stand before it.

use super::outline::Operand;
use super::query::Query;
use super::term;
use crate::changes::change::{Change, Shape};
use crate::sqlite::schema::Collation;
use crate::value::{Params, Value, ValueRef};
use std::cmp::Reverse;

/// Of a template: by which column of which table its rows are ordered first. How they are ordered further does not matter,
/// for nothing is said of rows that are alike in this.
#[derive(Debug)]
pub struct Edge {
    /// Lower case.
    pub table: Box<str>,
    pub column: usize,
    pub name: Box<str>,
    pub collation: Collation,
    pub is_descending: bool,
    /// Where the result shows the column.
    pub shown: usize,
    pub limit: Operand,
}

/// Where a row stands: the greater, the further behind. Rows that share a place may differ. All places of one edge are of
/// one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Rising(Box<[u8]>),
    Falling(Reverse<Box<[u8]>>),
}

/// The foremost place among changed rows, before and after.
#[derive(Debug, Default)]
pub enum Foremost {
    #[default]
    None,
    At(Place),
    /// Not known: it may be anywhere.
    Anywhere,
}

impl Edge {
    pub fn is_of(&self, shape: &Shape) -> bool {
        self.table.eq_ignore_ascii_case(&shape.table) && shape.has([(self.column, &*self.name)].into_iter())
    }

    /// How many rows the result has when it is full; `None` if only SQLite knows, or if there are none.
    pub fn full(&self, params: &Params) -> Option<usize> {
        match self.limit.value(params)? {
            Value::Integer(limit) => usize::try_from(*limit).ok().filter(|limit| *limit > 0),
            _ => None,
        }
    }

    pub fn place(&self, value: ValueRef<'_>) -> Place {
        let place = term::place(value, self.collation);
        if self.is_descending { Place::Falling(Reverse(place)) } else { Place::Rising(place) }
    }
}

impl Foremost {
    pub fn add_change(&mut self, edge: &Edge, change: &Change) {
        for image in [change.old.as_deref(), change.new.as_deref()].into_iter().flatten() {
            let place = image.get(edge.column).map(|value| edge.place(value.as_ref()));
            *self = match (std::mem::take(self), place) {
                (Self::Anywhere, _) | (_, None) => Self::Anywhere,
                (Self::None, Some(place)) => Self::At(place),
                (Self::At(other), Some(place)) => Self::At(other.min(place)),
            };
        }
    }

    pub fn add_all(&mut self) {
        *self = Self::Anywhere;
    }

    /// Is all that changed behind the last row of a full result?
    pub fn is_behind(&self, last: Option<&Place>) -> bool {
        matches!((self, last), (Self::At(foremost), Some(last)) if foremost > last)
    }
}

/// Notes where the last row of a result stands, as its rows are read.
pub struct LastRow<'a> {
    edge: Option<(&'a Edge, usize)>,
    rows: usize,
    pub place: Option<Place>,
}

impl<'a> LastRow<'a> {
    pub fn of(query: &'a Query) -> Self {
        let edge = query.template.ways.edge.as_ref();
        Self { edge: edge.and_then(|edge| Some((edge, edge.full(&query.params)?))), rows: 0, place: None }
    }

    pub fn note<'v>(&mut self, column: impl FnOnce(usize) -> ValueRef<'v>) {
        self.rows += 1;
        if let Some((edge, full)) = self.edge
            && self.rows == full
        {
            self.place = Some(edge.place(column(edge.shown)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_the_order_of_the_values_in_both_directions() {
        let mut edge = Edge {
            table: "t".into(),
            column: 0,
            name: "c".into(),
            collation: Collation::Binary,
            is_descending: false,
            shown: 0,
            limit: Operand::Literal(Value::Integer(3)),
        };
        let texts = ["", "a", "a\0", "ab", "b", "\u{10ffff}"].map(Value::text);
        let numbers = [Value::Integer(i64::MIN), Value::Real(-0.5), Value::Integer(0), Value::Real(1e300)];
        let blobs = [&b""[..], b"\0", b"\xff", b"\xff\xff"].map(|bytes| Value::Blob(bytes.into()));
        let values: Vec<Value> = [Value::Null].into_iter().chain(numbers).chain(texts).chain(blobs).collect();
        let places = |edge: &Edge| -> Vec<Place> { values.iter().map(|value| edge.place(value.as_ref())).collect() };
        assert!(places(&edge).is_sorted_by(|a, b| a < b));
        edge.is_descending = true;
        assert!(places(&edge).is_sorted_by(|a, b| a > b));
    }
}
