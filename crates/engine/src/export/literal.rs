//! A value as SQL text that SQLite reads back as the same value, of the same type, to the last bit.

use crate::json;
use crate::value::ValueRef;
use std::str;

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

pub fn write(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"NULL"),
        ValueRef::Integer(value) => json::write_integer(out, value),
        // SQLite has no word for it; a number too large to be written is one.
        ValueRef::Real(f64::INFINITY) => out.extend_from_slice(b"1e999"),
        ValueRef::Real(f64::NEG_INFINITY) => out.extend_from_slice(b"-1e999"),
        ValueRef::Real(value) => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
        ValueRef::Text(bytes) => write_text(out, bytes),
        ValueRef::Blob(bytes) => write_blob(out, bytes),
    }
}

/// A string literal cannot hold a NUL, at which SQLite would end, nor what is not UTF-8.
fn write_text(out: &mut Vec<u8>, bytes: &[u8]) {
    if memchr::memchr(0, bytes).is_some() || str::from_utf8(bytes).is_err() {
        out.extend_from_slice(b"CAST(");
        write_blob(out, bytes);
        out.extend_from_slice(b" AS TEXT)");
    } else if memchr::memmem::find(bytes, b"\r\n").is_some() {
        write_without_returns(out, bytes);
    } else {
        write_quoted(out, bytes, b'\'');
    }
}

/// SQLite's shell drops the CR at the end of a line of its script, also within a literal; its own `.dump` writes such texts like this.
fn write_without_returns(out: &mut Vec<u8>, bytes: &[u8]) {
    let (mut sign, mut number) = (b"\\r".to_vec(), 0);
    while memchr::memmem::find(bytes, &sign).is_some() {
        sign = format!("(\\r{number})").into_bytes();
        number += 1;
    }
    let mut text = Vec::with_capacity(bytes.len() + 64);
    for (at, part) in bytes.split(|byte| *byte == b'\r').enumerate() {
        text.extend_from_slice(if at > 0 { &sign } else { b"" });
        text.extend_from_slice(part);
    }
    out.extend_from_slice(b"replace(");
    write_quoted(out, &text, b'\'');
    out.push(b',');
    write_quoted(out, &sign, b'\'');
    out.extend_from_slice(b",char(13))");
}

fn write_blob(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() * 2 + 3);
    out.extend_from_slice(b"X'");
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    out.push(b'\'');
}

/// Between quotes, those inside doubled.
pub fn write_quoted(out: &mut Vec<u8>, bytes: &[u8], quote: u8) {
    out.push(quote);
    let mut from = 0;
    for at in memchr::memchr_iter(quote, bytes) {
        out.extend_from_slice(&bytes[from..=at]);
        from = at;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;
    use rusqlite::Connection;

    /// What SQLite makes of the text.
    fn read_back(connection: &Connection, value: &Value) -> Value {
        let mut sql = b"SELECT ".to_vec();
        write(&mut sql, value.as_ref());
        connection.query_row(str::from_utf8(&sql).unwrap(), [], |row| Ok(row.get_ref(0)?.into())).unwrap()
    }

    #[test]
    fn sqlite_reads_every_value_back_as_it_was() {
        let connection = Connection::open_in_memory().unwrap();
        let mut values = vec![Value::Null];
        values.extend([0, 1, -1, i64::MAX, i64::MIN].map(Value::Integer));
        let limits = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, f64::from_bits(1), f64::INFINITY, f64::NEG_INFINITY];
        values.extend(limits.into_iter().chain([0.0, 1.0, 0.1, 1e21, 1e-7, 123_456_789.25]).map(Value::Real));
        values.extend(
            ["", "it's", "''", "a\nb", "a\r\nb'\r\\r(\\r0)\r\n", "\r\n", "a\0b", "\0", "grüße 🌊", "--", ";"]
                .map(Value::text),
        );
        values.push(Value::Text(b"\xff\xfe".as_slice().into()));
        values.extend([b"".as_slice(), b"\0\xff'"].map(|bytes| Value::Blob(bytes.into())));
        for value in values {
            assert!(read_back(&connection, &value).same(&value), "{value:?}");
        }
    }

    /// Seeded: a number is read as it was written, whatever its bits.
    #[test]
    fn sqlite_reads_every_number_back_to_the_last_bit() {
        let connection = Connection::open_in_memory().unwrap();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let number = f64::from_bits(state);
            if number.is_finite() {
                let value = Value::Real(number);
                assert!(read_back(&connection, &value).same(&value), "{number:e}");
            }
        }
    }
}
