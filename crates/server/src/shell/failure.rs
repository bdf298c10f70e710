//! Why an entry did not run to its end, and how that is shown: SQLite's own words, and where in the text.

use super::cell::visible;
use unicode_width::UnicodeWidthStr as _;

#[derive(Debug)]
pub enum Failure {
    Refused(Refusal),
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads what we print any more, as with `| head`.
    OutputClosed,
}

#[derive(Debug)]
pub struct Refusal {
    pub message: String,
    /// Which statement of the request, counted from 0.
    pub statement: usize,
    /// Byte offset of the mistake in that statement, where SQLite knows it.
    pub at: Option<usize>,
}

impl Failure {
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused(Refusal { message: message.into(), statement: 0, at: None })
    }
}

/// Characters shown on either side of a mistake in a long line.
const AROUND: usize = 60;

/// The line of `text` around the byte offset, with a caret below that place.
pub fn pointed(text: &str, at: usize) -> String {
    let at = text.floor_char_boundary(at);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let before = &text[start..at];
    let after = text[at..end].trim_end();
    let left = before.char_indices().rev().nth(AROUND).map_or(0, |(index, _)| index);
    let right = after.char_indices().nth(AROUND).map_or(after.len(), |(index, _)| index);
    // Tabs become blanks, so that the caret stands right whatever the terminal's stops.
    let clean = |text: &str| visible(&text.replace('\t', " ")).into_owned();
    let mut head = clean(&before[left..]);
    if left > 0 {
        head.insert(0, '…');
    } else {
        head = head.trim_start().to_owned();
    }
    let tail = clean(&after[..right]) + if right < after.len() { "…" } else { "" };
    format!("  {head}{tail}\n  {}^", " ".repeat(head.width()))
}

/// Counted from 1, as editors do.
pub fn line_number(text: &str, at: usize) -> usize {
    text[..text.floor_char_boundary(at)].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_mistake() {
        for (text, word, expected) in [
            ("select * form t", "form", "  select * form t\n           ^"),
            ("select 1,\n\t  nope\nfrom t", "nope", "  nope\n  ^"),
            ("select\t海, nope", "nope", "  select 海, nope\n             ^"),
            ("selct 1", "selct", "  selct 1\n  ^"),
        ] {
            assert_eq!(
                pointed(text, text.find(word).unwrap()),
                expected,
                "\n{}",
                pointed(text, text.find(word).unwrap())
            );
        }
        assert_eq!(pointed("select (", 8), "  select (\n          ^");
    }

    #[test]
    fn of_a_long_line_the_part_around_the_mistake_is_shown() {
        let text = format!("{} nope {}", "a".repeat(500), "b".repeat(500));
        let shown = pointed(&text, 501);
        let (line, caret) = shown.split_once('\n').unwrap();
        assert_eq!(line.chars().count(), 2 + 1 + 61 + 60 + 1);
        assert_eq!(line.chars().skip(caret.chars().count() - 1).take(4).collect::<String>(), "nope");
    }

    #[test]
    fn odd_offsets_do_not_panic() {
        for at in 0..20 {
            pointed("é\n海\r\n\t", at);
            line_number("é\n海\r\n\t", at);
        }
    }
}
