//! How a column's values compare with those that a query asks for: by SQLite's rules of affinity and collation
//! (sqlite.org/datatype3.html, sections 4.2, 4.3 and 7.1), written again so that a changed row finds its queries without
//! running them. What cannot be told for certain counts as a match.

use super::outline::Asks;
use crate::sqlite::schema::{Affinity, Collation, Column};
use crate::value::{Params, Value, ValueRef};
use std::borrow::Cow;

/// A condition on one column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Index in the table, and the name by which it is checked.
    pub column: usize,
    pub name: Box<str>,
    affinity: Affinity,
    collation: Collation,
    pub asks: Asks,
}

/// What a value is equal to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// To those for which the same was written.
    Written,
    /// Equal to nothing.
    Nothing,
    Unknown,
}

/// The place of a value in the order that a range asks about: values in that order have bytes in that order, or the same.
#[derive(Debug, PartialEq)]
pub enum Rank {
    Known(Box<[u8]>),
    /// In no range.
    Nowhere,
    Unknown,
}

/// The ranks a query asks for, both ends included; an end that is missing is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    pub low: Option<Box<[u8]>>,
    pub high: Option<Box<[u8]>>,
}

impl Interval {
    pub fn holds(&self, rank: &[u8]) -> bool {
        self.low.as_deref().is_none_or(|low| low <= rank) && self.high.as_deref().is_none_or(|high| rank <= high)
    }
}

/// What a query with certain values asks of a range.
#[derive(Debug, PartialEq)]
pub enum Span {
    Within(Interval),
    /// No row fulfils it.
    Nothing,
    Unknown,
}

impl Term {
    /// `None` for a column whose values cannot be compared here.
    pub fn of(position: usize, column: &Column, asks: Asks) -> Option<Self> {
        let collation = column.collation.filter(|_| !column.is_virtual)?;
        Some(Self { column: position, name: column.name.clone(), affinity: column.affinity, collation, asks })
    }

    /// For people.
    pub fn words(&self) -> String {
        let words = match &self.asks {
            Asks::Equal { is_null_safe: true, .. } => "IS a value",
            Asks::Equal { operands, .. } if operands.len() > 1 => "IN a list",
            Asks::Equal { .. } => "= a value",
            Asks::Range { low: Some(_), high: Some(_) } => "between two values",
            Asks::Range { low: Some(_), .. } => "> a value",
            Asks::Range { .. } => "< a value",
            Asks::Like(_) => "LIKE a beginning",
        };
        format!("{} {words}", self.name)
    }

    pub fn is_equality(&self) -> bool {
        matches!(self.asks, Asks::Equal { .. })
    }

    fn is_null_safe(&self) -> bool {
        matches!(self.asks, Asks::Equal { is_null_safe: true, .. })
    }

    /// A value in the query: SQLite converts it by the column's affinity before it compares. Writes what equal values have
    /// in common.
    pub fn write_asked(&self, value: &Value, write: &mut impl FnMut(&[u8])) -> Likeness {
        match self.converted(value) {
            Some(value) => self.write_stored(&value, write),
            None => Likeness::Unknown,
        }
    }

    /// `None` where only SQLite knows: how a float is written as text, and what text is a number.
    fn converted(&self, value: &Value) -> Option<Value> {
        match (self.affinity, value) {
            (Affinity::Text, Value::Integer(value)) => Some(Value::text(value.to_string())),
            (Affinity::Text, Value::Real(_)) => None,
            (Affinity::Numeric, Value::Text(text)) => match whole_number(text) {
                Some(number) => Some(Value::Integer(number)),
                None => text.first().is_some_and(u8::is_ascii_alphabetic).then(|| value.clone()),
            },
            _ => Some(value.clone()),
        }
    }

    /// The same for a value as it is in the table.
    pub fn write_stored(&self, value: &Value, write: &mut impl FnMut(&[u8])) -> Likeness {
        match value {
            Value::Null if self.is_null_safe() => write(&[0]),
            Value::Null => return Likeness::Nothing,
            Value::Integer(value) => write_integer(*value, write),
            Value::Real(value) => {
                if let Some(whole) = as_integer(*value) {
                    write_integer(whole, write);
                } else {
                    write(&[2]);
                    write(&value.to_bits().to_le_bytes());
                }
            }
            Value::Text(text) => {
                write(&[3]);
                write(&collated(text, self.collation));
            }
            Value::Blob(bytes) => {
                write(&[4]);
                write(bytes);
            }
        }
        Likeness::Written
    }

    /// Where a value as it is in the table stands.
    pub fn rank(&self, value: &Value) -> Rank {
        match (&self.asks, value) {
            (_, Value::Null) => Rank::Nowhere,
            (Asks::Like(_), Value::Integer(value)) => Rank::Known(value.to_string().into_bytes().into()),
            (Asks::Like(_), Value::Text(text)) => Rank::Known(text.to_ascii_lowercase().into()),
            (Asks::Like(_), _) => Rank::Unknown,
            _ => Rank::Known(place(value.as_ref(), self.collation)),
        }
    }

    /// What a query with these values asks of a range.
    pub fn span(&self, params: &Params) -> Span {
        let (low, high) = match &self.asks {
            Asks::Equal { .. } => return Span::Unknown,
            Asks::Like(operand) => return operand.value(params).map_or(Span::Unknown, beginning),
            Asks::Range { low, high } => (low, high),
        };
        let mut ends = [None, None];
        for (operand, end) in [low, high].into_iter().zip(&mut ends) {
            let Some(operand) = operand else { continue };
            match operand.value(params) {
                None => return Span::Unknown,
                Some(Value::Null) => return Span::Nothing,
                Some(value) => match self.converted(value) {
                    Some(value) => *end = Some(place(value.as_ref(), self.collation)),
                    None => return Span::Unknown,
                },
            }
        }
        let [low, high] = ends;
        if low.is_some() && high.is_some() && low > high { Span::Nothing } else { Span::Within(Interval { low, high }) }
    }
}

/// Bytes in the order in which SQLite sorts the values: NULL before numbers before texts before blobs. An integer may share
/// its place with others that are one float.
pub fn place(value: ValueRef<'_>, collation: Collation) -> Box<[u8]> {
    let number = |value: f64| {
        let bits = if value == 0.0 { 0 } else { value.to_bits() };
        let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
        [&[1], &ordered.to_be_bytes()[..]].concat()
    };
    match value {
        ValueRef::Null => vec![0],
        ValueRef::Integer(value) => number(value as f64),
        ValueRef::Real(value) => number(value),
        ValueRef::Text(text) => [&[2], &collated(text, collation)[..]].concat(),
        ValueRef::Blob(bytes) => [&[3], bytes].concat(),
    }
    .into()
}

/// The texts that LIKE may find: those that begin with the pattern up to its first wildcard, as LIKE folds letters.
fn beginning(pattern: &Value) -> Span {
    let start = match pattern {
        Value::Null => return Span::Nothing,
        Value::Integer(value) => value.to_string().into_bytes(),
        Value::Text(text) => {
            // To LIKE a text ends at its first NUL, and what is no UTF-8 is all the same character.
            let ends = |byte: &u8| b"%_\0".contains(byte) || !byte.is_ascii();
            let end = text.iter().position(ends).unwrap_or(text.len());
            text[..end].to_ascii_lowercase()
        }
        Value::Real(_) | Value::Blob(_) => return Span::Unknown,
    };
    let mut after = start.clone();
    while after.last() == Some(&0xff) {
        after.pop();
    }
    if let Some(last) = after.last_mut() {
        *last += 1;
    }
    let high = (!after.is_empty()).then(|| after.into());
    Span::Within(Interval { low: Some(start.into()), high })
}

fn write_integer(value: i64, write: &mut impl FnMut(&[u8])) {
    write(&[1]);
    write(&value.to_le_bytes());
}

/// Texts that a collation takes for equal have the same bytes, and those in its order have them in that order.
fn collated(text: &[u8], collation: Collation) -> Cow<'_, [u8]> {
    match collation {
        Collation::Binary => Cow::Borrowed(text),
        Collation::Rtrim => {
            let end = text.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
            Cow::Borrowed(&text[..end])
        }
        // SQLite compares up to the first NUL, then the lengths.
        Collation::Nocase => {
            let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
            let mut bytes = text[..end].to_ascii_lowercase();
            bytes.push(0);
            bytes.extend((text.len() as u64).to_be_bytes());
            Cow::Owned(bytes)
        }
    }
}

/// A float that equals an integer is compared as that integer.
fn as_integer(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

/// Digits with a minus perhaps, and nothing else.
pub fn whole_number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_plain = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_plain.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::live::outline::Operand;
    use rusqlite::types::ToSqlOutput;

    fn odd_values() -> Vec<Value> {
        let integers = [0, 5, -3, 9_007_199_254_740_993, i64::MAX].map(Value::Integer);
        let reals = [-0.0, 5.0, 5.5, -3.5, 9_007_199_254_740_992.0, 9.3e18, f64::NEG_INFINITY].map(Value::Real);
        let malformed = Value::Text(b"a\xc0\x80".as_slice().into());
        let texts = [
            "a\u{fffd}%",
            "",
            "5",
            "5 ",
            " 5",
            "05",
            "5.0",
            "-5",
            "5e0",
            "a",
            "A",
            "a  ",
            "ab",
            "Ab_",
            "a%",
            "a\0b",
            "A\0c",
            "É",
            "é",
            "~",
        ];
        let blobs = [&b"a"[..], b"5", b"", b"\xff"].map(|bytes| Value::Blob(bytes.into()));
        [Value::Null, malformed]
            .into_iter()
            .chain(integers)
            .chain(reals)
            .chain(texts.map(Value::text))
            .chain(blobs)
            .collect()
    }

    /// Calls `judge` with a term and what SQLite says of it, for every stored and every asked value.
    fn compare(
        operator: &str,
        asks: impl Fn(Operand) -> Asks,
        mut judge: impl FnMut(&Term, &Value, &Value, bool, &str),
    ) {
        let sqlite = rusqlite::Connection::open_in_memory().unwrap();
        let affinities = [("INTEGER", Affinity::Numeric), ("REAL", Affinity::Numeric), ("DECIMAL", Affinity::Numeric)];
        let affinities = affinities.into_iter().chain([("TEXT", Affinity::Text), ("BLOB", Affinity::Blob)]);
        let collations = [("BINARY", Collation::Binary), ("NOCASE", Collation::Nocase), ("RTRIM", Collation::Rtrim)];
        for (declared, affinity) in affinities {
            for (name, collation) in collations {
                sqlite.execute_batch("DROP TABLE IF EXISTS t").unwrap();
                sqlite.execute_batch(&format!("CREATE TABLE t (c {declared} COLLATE {name})")).unwrap();
                for value in odd_values() {
                    sqlite.execute("INSERT INTO t VALUES (?1)", [ToSqlOutput::Borrowed(value.as_ref())]).unwrap();
                }
                let mut query = sqlite.prepare(&format!("SELECT c, c {operator} ?1 FROM t")).unwrap();
                for asked in odd_values() {
                    let asks = asks(Operand::Literal(asked.clone()));
                    let term = Term { column: 0, name: "c".into(), affinity, collation, asks };
                    let mut rows = query.query([ToSqlOutput::Borrowed(asked.as_ref())]).unwrap();
                    while let Some(row) = rows.next().unwrap() {
                        let stored = Value::from(row.get_ref(0).unwrap());
                        let is_true = row.get::<_, Option<bool>>(1).unwrap().unwrap_or(false);
                        let what = format!("{stored:?} in {declared} {name} {operator} {asked:?}");
                        judge(&term, &stored, &asked, is_true, &what);
                    }
                }
            }
        }
    }

    #[test]
    fn values_are_alike_where_sqlite_says_so() {
        for (operator, is_null_safe) in [("=", false), ("IS", true)] {
            let asks = |operand| Asks::Equal { operands: vec![operand], is_null_safe };
            compare(operator, asks, |term, stored, asked, is_true, what| {
                let (mut left, mut right) = (Vec::new(), Vec::new());
                let likeness = term.write_asked(asked, &mut |bytes| left.extend_from_slice(bytes));
                let other = term.write_stored(stored, &mut |bytes| right.extend_from_slice(bytes));
                let said = match (likeness, other) {
                    (Likeness::Unknown, _) => return,
                    (Likeness::Written, Likeness::Written) => left == right,
                    _ => false,
                };
                assert_eq!(said, is_true, "{what}");
            });
        }
    }

    #[test]
    fn no_value_in_a_range_is_outside_its_interval() {
        let mut spared = 0;
        for (operator, is_high) in [("<", true), ("<=", true), (">", false), (">=", false), ("LIKE", false)] {
            let asks = |operand| match (operator, is_high) {
                ("LIKE", _) => Asks::Like(operand),
                (_, true) => Asks::Range { low: None, high: Some(operand) },
                (_, false) => Asks::Range { low: Some(operand), high: None },
            };
            compare(operator, asks, |term, stored, _, is_true, what| {
                let may_be = match (term.span(&Params::None), term.rank(stored)) {
                    (Span::Nothing, _) | (_, Rank::Nowhere) => false,
                    (Span::Unknown, _) | (_, Rank::Unknown) => true,
                    (Span::Within(interval), Rank::Known(rank)) => interval.holds(&rank),
                };
                assert!(may_be || !is_true, "{what}");
                spared += usize::from(!may_be);
            });
        }
        assert!(spared > 10_000, "{spared}");
    }
}
