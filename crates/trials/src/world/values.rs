//! The values that the trials store: few, so that they meet, and chosen to be taken for each other by careless code.

use crate::random::Random;
use std::fmt::Write as _;
use tidebase_engine::Value;

/// What a column is declared to hold, as far as choosing values for it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Any,
    Integer,
    Real,
    Text,
    Blob,
}

const INTEGERS: [i64; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 9, -1, 9_007_199_254_740_993, 11];
const REALS: [f64; 14] =
    [0.0, 1.0, 2.0, 3.0, 0.1, 0.2, 0.3, 2.5, -1.5, 1e300, 1e-7, -0.0, 9_007_199_254_740_992.0, 1e16];
const TEXTS: [&str; 24] = [
    "a",
    "A",
    "b",
    "B",
    "c",
    "ab",
    "aB",
    "a ",
    "a  ",
    "b ",
    "1",
    "1.0",
    "2",
    "01",
    "",
    "é",
    "É",
    "x,y",
    "it's",
    "a\"b\\",
    "~",
    "-",
    "'a",
    "a text that is so long that a key made of it would rather be a hash of it than the text itself, as keys go",
];
const BLOBS: [&[u8]; 4] = [b"", b"a", b"\x01", b"\x00\xff"];

/// A value that fits, or NULL now and then.
pub fn value(random: &mut Random, kind: Kind) -> Value {
    if random.percent(12) { Value::Null } else { present(random, kind) }
}

pub fn present(random: &mut Random, kind: Kind) -> Value {
    match kind {
        // The large one overflows sums, which ends live queries: rare enough that they live a while.
        Kind::Integer if random.below(1000) == 0 => Value::Integer(i64::MAX),
        Kind::Integer if random.percent(70) => Value::Integer(random.below(6) as i64),
        Kind::Integer => Value::Integer(*random.pick(&INTEGERS)),
        Kind::Real => Value::Real(*random.pick(&REALS)),
        Kind::Text if random.percent(60) => Value::text(*random.pick(&TEXTS[..9])),
        Kind::Text => Value::text(*random.pick(&TEXTS)),
        Kind::Blob => Value::Blob((*random.pick(&BLOBS)).into()),
        Kind::Any => {
            let kinds = [Kind::Integer, Kind::Text, Kind::Real, Kind::Blob];
            let kind = kinds[random.weighted(&[50, 30, 15, 5])];
            present(random, kind)
        }
    }
}

/// A value of another kind than the column's now and then: to be converted, refused or stored as it is.
pub fn value_or_stray(random: &mut Random, kind: Kind) -> Value {
    let kind = if random.percent(8) { Kind::Any } else { kind };
    value(random, kind)
}

/// The value as SQL text.
pub fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => format!("{value:?}"),
        Value::Text(bytes) => format!("'{}'", String::from_utf8_lossy(bytes).replace('\'', "''")),
        Value::Blob(bytes) => {
            bytes.iter().fold("x'".to_owned(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("writing to memory");
                hex
            }) + "'"
        }
    }
}

pub fn random_literal(random: &mut Random, kind: Kind) -> String {
    literal(&value(random, kind))
}
