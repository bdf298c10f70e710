//! Routes: from the values of a changed row to the queries it may matter to.
//!
//! A condition on a column that must hold for every row of a result (it stands alone or between ANDs in the outermost
//! WHERE) makes all rows that do not fulfil it strangers to the query: they are filtered out wherever they are joined,
//! grouped or counted. So a change of a row matters only to the queries that ask for its value, before or after. What
//! is not of this simple shape has no route, and every change of its tables counts.

use super::outline::Asks;
use super::term::{Interval, Likeness, Rank, Span, Term};
use crate::changes::change::{Change, Rows, Shape};
use crate::value::{Params, Value};
use siphasher::sip::SipHasher13;
use std::hash::Hasher as _;

/// An IN list and its like may give this many keys; with more, every change of the table counts.
const KEYS_MAX: usize = 64;

/// The conditions on one table of a template: equalities, or one range.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Lower case.
    pub table: Box<str>,
    pub terms: Vec<Term>,
}

/// What a query with certain values asks for.
#[derive(Debug, PartialEq)]
pub enum Keys {
    /// Hashes of values. Two sets of values may share one: then a row leads to both.
    These(Vec<u64>),
    Within(Interval),
    /// Not known: every row counts.
    All,
}

/// What a row shows of itself.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    Key(u64),
    Rank(Box<[u8]>),
    /// Not known: it counts for every query.
    Any,
}

impl Route {
    /// Of the conditions on one table: the equalities, or else the first range.
    pub fn of(table: &str, terms: Vec<Term>) -> Option<Self> {
        let (equalities, ranges): (Vec<Term>, Vec<Term>) = terms.into_iter().partition(Term::is_equality);
        let terms = if equalities.is_empty() { vec![joined(ranges)?] } else { equalities };
        Some(Self { table: table.to_ascii_lowercase().into(), terms })
    }

    pub fn is_of(&self, table: &str) -> bool {
        self.table.eq_ignore_ascii_case(table)
    }

    /// Are the columns where they were when the template was analysed?
    pub fn fits(&self, shape: &Shape) -> bool {
        shape.has(self.terms.iter().map(|term| (term.column, &*term.name)))
    }

    /// The keys of a query with these values.
    pub fn keys(&self, params: &Params) -> Keys {
        let mut hashers = vec![SipHasher13::new()];
        for term in &self.terms {
            let Asks::Equal { operands, .. } = &term.asks else {
                return match term.span(params) {
                    Span::Within(interval) => Keys::Within(interval),
                    Span::Nothing => Keys::These(Vec::new()),
                    Span::Unknown => Keys::All,
                };
            };
            let mut next = Vec::new();
            for operand in operands {
                for hasher in &hashers {
                    let mut hasher = *hasher;
                    let value = operand.value(params);
                    match value.map_or(Likeness::Unknown, |value| term.write_asked(value, &mut feed(&mut hasher))) {
                        Likeness::Nothing => {}
                        Likeness::Unknown => return Keys::All,
                        Likeness::Written => next.push(hasher),
                    }
                }
            }
            if next.len() > KEYS_MAX {
                return Keys::All;
            }
            hashers = next;
        }
        Keys::These(hashers.iter().map(SipHasher13::finish).collect())
    }

    /// The marks of a changed row, before and after.
    pub fn marks(&self, change: &Change) -> impl Iterator<Item = Mark> {
        let images = [change.old.as_deref(), change.new.as_deref()];
        images.into_iter().flatten().filter_map(|image| self.mark(|_, term| image.get(term.column)))
    }

    /// The mark of a row with these values, one for each term. None if it is a stranger to all.
    pub fn mark<'a>(&self, value: impl Fn(usize, &Term) -> Option<&'a Value>) -> Option<Mark> {
        let mut hasher = SipHasher13::new();
        for (index, term) in self.terms.iter().enumerate() {
            let Some(value) = value(index, term) else { return Some(Mark::Any) };
            if !term.is_equality() {
                return match term.rank(value) {
                    Rank::Known(rank) => Some(Mark::Rank(rank)),
                    Rank::Nowhere => None,
                    Rank::Unknown => Some(Mark::Any),
                };
            }
            match term.write_stored(value, &mut feed(&mut hasher)) {
                Likeness::Written => {}
                Likeness::Nothing => return None,
                Likeness::Unknown => return Some(Mark::Any),
            }
        }
        Some(Mark::Key(hasher.finish()))
    }

    /// May the changed rows of this table matter to a query with these values?
    pub fn leads(&self, rows: &Rows, shape: usize, params: &Params) -> bool {
        if !self.fits(&rows.shapes[shape]) {
            return true;
        }
        let keys = self.keys(params);
        let mut marks =
            rows.changes.iter().filter(|change| change.shape == shape).flat_map(|change| self.marks(change));
        marks.any(|mark| match (&keys, mark) {
            (Keys::These(keys), Mark::Key(key)) => keys.contains(&key),
            (Keys::Within(interval), Mark::Rank(rank)) => interval.holds(&rank),
            // Nothing is asked for, whatever the row is.
            (Keys::These(keys), _) if keys.is_empty() => false,
            _ => true,
        })
    }
}

/// Each piece with its length, so that no two rows of pieces are alike by chance of where they end.
fn feed(hasher: &mut SipHasher13) -> impl FnMut(&[u8]) {
    |bytes| {
        hasher.write_u64(bytes.len() as u64);
        hasher.write(bytes);
    }
}

/// The first range, with its other end if that is a condition of its own: `a >= ? AND a < ?`.
fn joined(ranges: Vec<Term>) -> Option<Term> {
    let mut ranges = ranges.into_iter();
    let mut first = ranges.next()?;
    for other in ranges.filter(|other| other.column == first.column) {
        if let (Asks::Range { low, high }, Asks::Range { low: other_low, high: other_high }) =
            (&mut first.asks, other.asks)
        {
            if low.is_none() {
                *low = other_low;
            }
            if high.is_none() {
                *high = other_high;
            }
        }
    }
    Some(first)
}
