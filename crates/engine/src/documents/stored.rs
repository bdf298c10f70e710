//! What may stand in a collection's table and is no document: only SQL can have written it, in a table of before its checks, or by
//! a byte that no check sees. It is passed over by whoever reads documents, as if it were not there.

use super::path::{self, CollectionPath};
use crate::keys;

/// Can it stand in an answer as it is? One JSON object, nothing behind it, and no number that is too large for one.
pub fn is_object(data: &str) -> bool {
    let begins = data.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    begins && keys::is_json(data.as_bytes()) && numbers_fit(data.as_bytes())
}

/// Can a path name it?
pub fn is_id(id: &str) -> bool {
    path::check_id(id).is_ok() && id != path::ANY
}

/// Are these the ids on the way to documents of this group?
pub fn is_parent(parent: &str, group: &CollectionPath) -> bool {
    parent.split('/').all(is_id) && parent.split('/').count() == group.table.matches('/').count()
}

/// Of JSON that is well formed: are all its numbers finite? 1e999 is JSON, and no number to those who read it.
fn numbers_fit(json: &[u8]) -> bool {
    /// A number without an exponent needs more digits than this to be too large.
    const DIGITS_MAX: usize = 300;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while json.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let length = json[at..].iter().take_while(is_part).count();
                let number = &json[at..at + length];
                if length > DIGITS_MAX || number.iter().any(|byte| matches!(byte, b'e' | b'E')) {
                    let number = std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok());
                    if !number.is_some_and(f64::is_finite) {
                        return false;
                    }
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_and_nothing_else_is_told() {
        let digits = "9".repeat(400);
        for data in
            ["{}", " {\"a\": [1e308, -1.5E-999, 0]}\n", "{\"1e999\": \"\\\"1e999\\\\\"}", "{\"a\": \"é\\u0000\"}"]
        {
            assert!(is_object(data), "{data}");
        }
        for data in [
            "",
            "[]",
            "1",
            "{}\0",
            "{\"a\":1}\0,\"b\":2}",
            "{}{}",
            "{\"a\": 1e999}",
            "{\"a\": [-1E+400]}",
            &format!("{{\"a\": {digits}}}"),
            "{a: 1}",
        ] {
            assert!(!is_object(data), "{data}");
        }
    }

    #[test]
    fn what_no_path_names_is_no_id() {
        for id in ["", ".", "..", "*", "a/b", "a\0", "a\n", "\u{85}", &"x".repeat(513)] {
            assert!(!is_id(id), "{id:?}");
        }
        assert!(is_id("*x") && is_id("...") && is_id("é"));
        let group = CollectionPath { table: "rooms/messages/likes".into(), parent: Some("*/*".into()) };
        for (parent, expected) in [("r/m", true), ("r", false), ("r/", false), ("r/m/x", false), ("*/m", false)] {
            assert_eq!(is_parent(parent, &group), expected, "{parent}");
        }
    }
}
