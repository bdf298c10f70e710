//! Column values straight into a JSON buffer: the hot path of every answer, so no tree in between.
//!
//! Integers are written digit for digit whatever their size, BLOBs as `{"$blob":"<base64>"}`. Text that is not
//! UTF-8 is shown with U+FFFD where it is broken: JSON has no way to carry it.

use crate::value::ValueRef;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use std::io::Write as _;

/// Appends one SQL value.
pub fn write_value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Integer(value) => write_integer(out, value),
        ValueRef::Real(value) => write_real(out, value),
        ValueRef::Text(bytes) => write_text(out, bytes),
        ValueRef::Blob(bytes) => {
            out.extend_from_slice(b"{\"$blob\":\"");
            let start = out.len();
            out.resize(start + bytes.len().div_ceil(3) * 4, 0);
            let written = BASE64.encode_slice(bytes, &mut out[start..]).expect("base64 is four bytes for three");
            out.truncate(start + written);
            out.extend_from_slice(b"\"}");
        }
    }
}

pub fn write_integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_real(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        // A computed infinity (SQLite has no stored one through us); JSON has no word for it.
        out.extend_from_slice(b"null");
    }
}

/// Appends a JSON string for text that may not be UTF-8.
pub fn write_text(out: &mut Vec<u8>, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => write_str(out, text),
        Err(_) => write_str(out, &String::from_utf8_lossy(bytes)),
    }
}

/// Appends a JSON string.
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    if needs_no_escape(bytes) {
        out.extend_from_slice(bytes);
    } else {
        escape(out, bytes);
    }
    out.push(b'"');
}

/// Eight bytes at a time: is there a quote, a backslash or a control character? (Mycroft's zero-byte trick.)
fn needs_no_escape(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const LOW: u64 = 0x0101_0101_0101_0101;
    let zero_byte = |word: u64| word.wrapping_sub(LOW) & !word;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(LOW * 0x20) & !word;
        let quote = zero_byte(word ^ (LOW * 0x22));
        let backslash = zero_byte(word ^ (LOW * 0x5c));
        if (control | quote | backslash) & HIGH != 0 {
            return false;
        }
    }
    rest.iter().all(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
}

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut clean_from = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[clean_from..index]);
        clean_from = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => write!(out, "\\u{byte:04x}").expect("writing to memory"),
        }
    }
    out.extend_from_slice(&bytes[clean_from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: ValueRef<'_>) -> String {
        let mut out = Vec::new();
        write_value(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_as_the_contract_says() {
        for (value, expected) in [
            (ValueRef::Null, "null"),
            (ValueRef::Integer(i64::MAX), "9223372036854775807"),
            (ValueRef::Real(1.0), "1.0"),
            (ValueRef::Real(0.1), "0.1"),
            (ValueRef::Text(b"plain text longer than a word"), "\"plain text longer than a word\""),
            (ValueRef::Text(b"a\"b\\c\nd\x01"), "\"a\\\"b\\\\c\\nd\\u0001\""),
            (ValueRef::Text("\u{7f}grüße 🌊".as_bytes()), "\"\u{7f}grüße 🌊\""),
            (ValueRef::Text(b"\xff"), "\"\u{fffd}\""),
            (ValueRef::Blob(b"\x00\x01\x02\x03"), "{\"$blob\":\"AAECAw==\"}"),
            (ValueRef::Blob(b""), "{\"$blob\":\"\"}"),
        ] {
            assert_eq!(written(value), expected);
        }
    }

    #[test]
    fn every_byte_at_every_place_survives_a_json_parser() {
        for byte in 0..128_u8 {
            for place in 0..17 {
                let mut text = vec![b'x'; 17];
                text[place] = byte;
                let parsed: String = serde_json::from_str(&written(ValueRef::Text(&text))).unwrap();
                assert_eq!(parsed.as_bytes(), text);
            }
        }
    }
}
