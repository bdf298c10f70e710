//! One value as a table shows it: on one line, harmless to the terminal, and never in doubt about what it is.
//!
//! NULL is `NULL` while the text of these four letters stands in quotes; blobs are SQL literals, shortened with their
//! length. The exact value is what `--json` is for.

use std::borrow::Cow;
use std::fmt::Write as _;
use tidebase_engine::Value;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Bytes of a blob that are shown.
const BLOB_BYTES_SHOWN: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Number,
    Other,
}

#[derive(Clone, Debug)]
pub struct Cell {
    pub text: String,
    /// Columns of the terminal that `text` takes.
    pub width: usize,
    pub kind: Kind,
}

impl Cell {
    pub fn new(value: &Value) -> Self {
        let (text, kind) = match value {
            Value::Null => ("NULL".to_owned(), Kind::Null),
            Value::Integer(value) => (value.to_string(), Kind::Number),
            Value::Real(value) => (real(*value), Kind::Number),
            Value::Text(bytes) if **bytes == *b"NULL" => ("'NULL'".to_owned(), Kind::Other),
            Value::Text(bytes) => (visible(&String::from_utf8_lossy(bytes)).into_owned(), Kind::Other),
            Value::Blob(bytes) => (blob(bytes), Kind::Other),
        };
        Self { width: text.width(), text, kind }
    }
}

/// Always with a point or an exponent, so that it does not look like an integer.
fn real(value: f64) -> String {
    if value.is_finite() {
        format!("{value:?}")
    } else {
        // SQLite's own spelling of an infinity; it makes NULL of what is not a number.
        if value > 0.0 { "Inf" } else { "-Inf" }.to_owned()
    }
}

fn blob(bytes: &[u8]) -> String {
    let mut text = String::from("x'");
    for byte in bytes.iter().take(BLOB_BYTES_SHOWN) {
        write!(text, "{byte:02x}").expect("writing to memory");
    }
    if bytes.len() > BLOB_BYTES_SHOWN {
        write!(text, "…' {} bytes", bytes.len()).expect("writing to memory");
    } else {
        text.push('\'');
    }
    text
}

/// The text with what would move the cursor, colour the terminal or turn the writing direction made visible.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().any(|char| stand_in(char) != char) {
        Cow::Owned(text.chars().map(stand_in).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Several lines, each made visible like a cell's.
pub fn harmless(text: &str) -> String {
    text.chars().map(|char| if matches!(char, '\n' | '\t') { char } else { stand_in(char) }).collect()
}

fn stand_in(char: char) -> char {
    match char {
        '\n' => '↵',
        // Unicode has a picture of each ASCII control character.
        '\0'..='\x1f' => char::from_u32(0x2400 + char as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '␡',
        '\u{80}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        _ => char,
    }
}

/// At most `width_max` columns of the text, the last one an ellipsis if something is gone.
pub fn cut(text: &str, width_max: usize) -> Cow<'_, str> {
    if text.width() <= width_max {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut width = 1;
    for char in text.chars() {
        width += char.width().unwrap_or(0);
        if width > width_max {
            break;
        }
        kept.push(char);
    }
    kept.push('…');
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_can_be_told_from_the_others() {
        for (value, expected) in [
            (Value::Null, "NULL"),
            (Value::text("NULL"), "'NULL'"),
            (Value::text(""), ""),
            (Value::Integer(i64::MIN), "-9223372036854775808"),
            (Value::Real(1.0), "1.0"),
            (Value::Real(1e300), "1e300"),
            (Value::Real(f64::NEG_INFINITY), "-Inf"),
            (Value::Blob([].into()), "x''"),
            (Value::Blob([0, 255].into()), "x'00ff'"),
            (Value::Blob([7; 17].into()), "x'0707070707070707…' 17 bytes"),
        ] {
            assert_eq!(Cell::new(&value).text, expected);
        }
    }

    #[test]
    fn text_cannot_steer_the_terminal() {
        for (bytes, expected) in [
            (&b"two\nlines\ttab"[..], "two↵lines␉tab"),
            (b"\x1b[31mred\x07\x7f", "␛[31mred␇␡"),
            ("right\u{202e}left\u{9b}".as_bytes(), "right\u{fffd}left\u{fffd}"),
            (b"bad \xff\xfe utf-8", "bad \u{fffd}\u{fffd} utf-8"),
            ("größe 海".as_bytes(), "größe 海"),
        ] {
            assert_eq!(Cell::new(&Value::text(bytes)).text, expected);
        }
    }

    #[test]
    fn text_of_several_lines_keeps_them() {
        assert_eq!(harmless("create\n\ttable\x1b[2J"), "create\n\ttable␛[2J");
    }

    #[test]
    fn a_cut_says_that_something_is_gone_and_never_splits_a_wide_character() {
        for (text, width, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd…"),
            ("海海海", 5, "海海…"),
            ("海海海", 4, "海…"),
            ("ab", 1, "…"),
        ] {
            assert_eq!(cut(text, width), expected);
        }
    }
}
