//! One way to write values for comparison, whether they come from SQLite or from a frame: as SQL literals.
//!
//! Types are part of it: `1`, `1.0` and `'1'` are three values. What JSON cannot carry (an infinity, text that is not
//! UTF-8) is written as the frames show it, for a client sees no more.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rusqlite::types::ValueRef;
use std::fmt::Write as _;

pub fn push_value(out: &mut String, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => out.push_str("NULL"),
        ValueRef::Integer(value) => write!(out, "{value}").expect("writing to memory"),
        ValueRef::Real(value) => push_real(out, value),
        ValueRef::Text(bytes) => push_text(out, &String::from_utf8_lossy(bytes)),
        ValueRef::Blob(bytes) => push_blob(out, bytes),
    }
}

/// A value of a frame: its JSON text.
///
/// # Errors
/// If it is none of what the contract lets a value be.
pub fn push_json(out: &mut String, json: &str) -> Result<(), String> {
    let wrong = || format!("{json} is no value of a row");
    match json.as_bytes().first() {
        Some(b'n') if json == "null" => out.push_str("NULL"),
        Some(b'"') => push_text(out, &serde_json::from_str::<String>(json).map_err(|_| wrong())?),
        Some(b'{') => {
            let blob: std::collections::HashMap<String, String> = serde_json::from_str(json).map_err(|_| wrong())?;
            let [(name, data)] = &blob.iter().collect::<Vec<_>>()[..] else { return Err(wrong()) };
            if *name != "$blob" {
                return Err(wrong());
            }
            push_blob(out, &BASE64.decode(data).map_err(|_| wrong())?);
        }
        _ if json.contains(['.', 'e', 'E']) => push_real(out, json.parse().map_err(|_| wrong())?),
        _ => write!(out, "{}", json.parse::<i64>().map_err(|_| wrong())?).expect("writing to memory"),
    }
    Ok(())
}

fn push_real(out: &mut String, value: f64) {
    if value.is_finite() {
        write!(out, "{value:?}").expect("writing to memory");
    } else {
        out.push_str("NULL");
    }
}

fn push_text(out: &mut String, text: &str) {
    out.push('\'');
    for character in text.chars() {
        if character == '\'' {
            out.push('\'');
        }
        out.push(character);
    }
    out.push('\'');
}

fn push_blob(out: &mut String, bytes: &[u8]) {
    out.push_str("x'");
    for byte in bytes {
        write!(out, "{byte:02x}").expect("writing to memory");
    }
    out.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidebase_engine::json::write_value;

    #[test]
    fn a_value_reads_the_same_from_sqlite_and_from_a_frame() {
        for value in [
            ValueRef::Null,
            ValueRef::Integer(i64::MIN),
            ValueRef::Integer(1),
            ValueRef::Real(1.0),
            ValueRef::Real(-0.0),
            ValueRef::Real(1e300),
            ValueRef::Real(0.1 + 0.2),
            ValueRef::Real(f64::INFINITY),
            ValueRef::Text(b"it's \"\\\n\x01 \xc3\xa9 \xff"),
            ValueRef::Text(b""),
            ValueRef::Blob(b"\x00\xff"),
            ValueRef::Blob(b""),
        ] {
            let (mut direct, mut framed, mut json) = (String::new(), String::new(), Vec::new());
            push_value(&mut direct, value);
            write_value(&mut json, value);
            push_json(&mut framed, std::str::from_utf8(&json).unwrap()).unwrap();
            assert_eq!(direct, framed);
        }
    }

    #[test]
    fn values_of_different_types_differ() {
        let mut texts: Vec<String> = [
            ValueRef::Integer(1),
            ValueRef::Real(1.0),
            ValueRef::Text(b"1"),
            ValueRef::Blob(b"1"),
            ValueRef::Null,
            ValueRef::Text(b"NULL"),
        ]
        .into_iter()
        .map(|value| {
            let mut text = String::new();
            push_value(&mut text, value);
            text
        })
        .collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 6);
    }
}
