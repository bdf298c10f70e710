//! `INSERT INTO t VALUES(…)` with nothing but literals, which is nearly all of a dump: read here and bound to a statement that was compiled
//! once, for compiling each would take most of the time. What is anything else is SQLite's to read.

use crate::sqlite::tokens::{Kind, Token, tokens};
use crate::value::Value;

/// An INSERT of one row of literals.
pub struct Literals<'a> {
    /// Up to and with VALUES.
    pub head: &'a str,
    pub values: Vec<Value>,
}

/// `None` if it is not one, or not certainly.
pub fn literals(sql: &str) -> Option<Literals<'_>> {
    let mut words = tokens(sql);
    if !words.next()?.is("insert") || !words.next()?.is("into") {
        return None;
    }
    let table = words.next()?;
    if !matches!(table.kind, Kind::Word | Kind::Quoted | Kind::Text) {
        return None;
    }
    let mut next = words.next()?;
    if next.is_punctuation(b'(') {
        // Names and commas: what else could stand here makes SQLite refuse it either way.
        next = words.find(|token| token.is_punctuation(b')')).and_then(|_| words.next())?;
    }
    if !next.is("values") {
        return None;
    }
    let head = &sql[..next.end()];
    if !words.next()?.is_punctuation(b'(') {
        return None;
    }
    let mut values = Vec::new();
    loop {
        values.push(value(&mut words)?);
        match words.next()?.kind {
            Kind::Punctuation(b',') => {}
            Kind::Punctuation(b')') => break,
            _ => return None,
        }
    }
    words.next().is_none().then_some(Literals { head, values })
}

fn value<'a>(words: &mut impl Iterator<Item = Token<'a>>) -> Option<Value> {
    let first = words.next()?;
    match first.kind {
        Kind::Number => number(first.text, false),
        Kind::Punctuation(b'-') => {
            let digits = words.next()?;
            if digits.kind == Kind::Number { number(digits.text, true) } else { None }
        }
        Kind::Text => text_or_blob(first.text),
        Kind::Word if first.is("null") => Some(Value::Null),
        Kind::Word if first.is("cast") => cast(words),
        Kind::Word if first.is("replace") => replaced(words, REPLACED_DEPTH),
        _ => None,
    }
}

/// `(X'…' AS TEXT)`: as a dump writes text that no literal can hold.
fn cast<'a>(words: &mut impl Iterator<Item = Token<'a>>) -> Option<Value> {
    if !words.next()?.is_punctuation(b'(') {
        return None;
    }
    let blob = words.next()?;
    let is_as_text = words.next()?.is("as") && words.next()?.is("text") && words.next()?.is_punctuation(b')');
    match text_or_blob(blob.text).filter(|_| blob.kind == Kind::Text && is_as_text)? {
        Value::Blob(bytes) => Some(Value::Text(bytes)),
        _ => None,
    }
}

/// As deep as SQLite's shell goes.
const REPLACED_DEPTH: u8 = 2;

/// `('…','\n',char(10))`: as SQLite's shell writes text with line ends in it, and we with CR LF. One may stand in the other.
fn replaced(words: &mut dyn Iterator<Item = Token<'_>>, depth: u8) -> Option<Value> {
    if !words.next()?.is_punctuation(b'(') {
        return None;
    }
    let first = words.next()?;
    let text = match first.kind {
        Kind::Text => text_or_blob(first.text)?,
        Kind::Word if depth > 1 && first.is("replace") => replaced(words, depth - 1)?,
        _ => return None,
    };
    let is_comma = words.next()?.is_punctuation(b',');
    let sign = words.next().filter(|sign| is_comma && sign.kind == Kind::Text)?;
    let is_char = words.next()?.is_punctuation(b',') && words.next()?.is("char") && words.next()?.is_punctuation(b'(');
    let char = words.next().filter(|_| is_char)?;
    let is_closed = words.next()?.is_punctuation(b')') && words.next()?.is_punctuation(b')');
    match (text, text_or_blob(sign.text)?, char.text) {
        (Value::Text(text), Value::Text(sign), "10" | "13") if is_closed && !sign.is_empty() => {
            let (text, sign) = (str::from_utf8(&text).ok()?, str::from_utf8(&sign).ok()?);
            Some(Value::text(text.replace(sign, if char.text == "10" { "\n" } else { "\r" })))
        }
        _ => None,
    }
}

/// Integers that fit in 64 bits, and numbers with a point or an exponent: hexadecimal ones and digits parted by `_` are left to SQLite.
fn number(digits: &str, is_negative: bool) -> Option<Value> {
    let is_plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    if !digits.bytes().all(is_plain) {
        return None;
    }
    let signed = if is_negative { format!("-{digits}") } else { digits.to_owned() };
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return signed.parse().ok().map(Value::Integer);
    }
    signed.parse().ok().map(Value::Real)
}

fn text_or_blob(literal: &str) -> Option<Value> {
    let bytes = literal.as_bytes();
    match bytes {
        [b'\'', inner @ .., b'\''] => {
            let inner = str::from_utf8(inner).ok()?;
            // Cut where SQLite would end it.
            if inner.contains('\0') {
                return None;
            }
            Some(if inner.contains('\'') { Value::text(inner.replace("''", "'")) } else { Value::text(inner) })
        }
        [b'x' | b'X', b'\'', digits @ .., b'\''] => {
            let (pairs, rest) = digits.as_chunks::<2>();
            let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
            let bytes: Option<Vec<u8>> = bytes.collect();
            bytes.filter(|_| rest.is_empty()).map(|bytes| Value::Blob(bytes.into()))
        }
        _ => None,
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::literal;
    use rusqlite::Connection;

    fn values_of(sql: &str) -> Option<Vec<Value>> {
        literals(sql).map(|literals| literals.values)
    }

    #[test]
    fn what_is_read_here_is_what_sqlite_reads() {
        let connection = Connection::open_in_memory().unwrap();
        let texts = [
            "1",
            "-1",
            "0",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "1.5",
            "-1.5",
            ".5",
            "5.",
            "1e3",
            "1E-3",
            "-1e999",
            "1e999",
            "1_000",
            "0x10",
            "''",
            "'it''s'",
            "'a\nb'",
            "''''",
            "X''",
            "x'00ff'",
            "X'0'",
            "X'0g'",
            "NULL",
            "null",
            "CAST(X'6100' AS TEXT)",
            "replace('a\\rb\\r\\n''','\\r',char(13))",
            "replace(replace('\\r\\n\\\\n','\\r',char(13)),'\\n',char(10))",
            "replace('aaa','aa',char(10))",
            "replace('a','',char(10))",
            "replace('a','a',char(65))",
            "replace('a','a','b')",
            "replace(1,'1',char(10))",
            "CAST('a' AS TEXT)",
            "CAST(X'61' AS BLOB)",
            "TRUE",
            "+1",
            "- 1",
            "--1",
            "1+1",
            "abs(1)",
            "?",
            "1e",
            "\"a\"",
            "CURRENT_TIME",
            "4.9E-324",
            "2.2250738585072011e-308",
            "0.1",
            "1e23",
            "123456789012345678901234567890",
        ];
        let mut read = 0;
        for text in texts {
            let Some(ours) = values_of(&format!("INSERT INTO t VALUES({text})")) else { continue };
            let theirs: rusqlite::Result<Value> =
                connection.query_row(&format!("SELECT {text}"), [], |row| Ok(row.get_ref(0)?.into()));
            assert!(theirs.as_ref().is_ok_and(|theirs| theirs.same(&ours[0])), "{text}: {ours:?} and {theirs:?}");
            read += 1;
        }
        assert!(read >= 20, "{read}");
    }

    #[test]
    fn a_row_with_names_and_many_values_is_one() {
        let read = literals(r#"insert into "a ""t" ("x)", y) values (1, 'b;', NULL , X'00' )"#).unwrap();
        assert_eq!(read.head, r#"insert into "a ""t" ("x)", y) values"#);
        assert_eq!(read.values.len(), 4);
        for other in [
            "INSERT INTO t VALUES(1),(2)",
            "INSERT INTO t VALUES(1) RETURNING *",
            "INSERT OR REPLACE INTO t VALUES(1)",
            "INSERT INTO t DEFAULT VALUES",
            "INSERT INTO t SELECT 1",
            "INSERT INTO main.t VALUES(1)",
            "INSERT INTO t AS u VALUES(1)",
            "INSERT INTO t VALUES()",
            "INSERT INTO t VALUES(1,)",
            "REPLACE INTO t VALUES(1)",
        ] {
            assert!(literals(other).is_none(), "{other}");
        }
    }

    #[test]
    fn what_a_dump_writes_is_read_here() {
        let mut sql = b"INSERT INTO t VALUES(".to_vec();
        let values = [
            Value::text("a\r\nb"),
            Value::Integer(i64::MIN),
            Value::Real(1e300),
            Value::text("a\0b"),
            Value::Text(b"\xff".as_slice().into()),
        ];
        for (at, value) in values.iter().enumerate() {
            sql.extend_from_slice(if at > 0 { b"," } else { b"" });
            literal::write(&mut sql, value.as_ref());
        }
        sql.push(b')');
        let read = values_of(str::from_utf8(&sql).unwrap()).unwrap();
        assert!(read.iter().zip(&values).all(|(read, value)| read.same(value)));
    }
}
