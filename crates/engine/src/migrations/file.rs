//! One migration as it was written: its number and name, the way up, and the way back behind a line `-- down`.
//!
//! It is looked through before anything is run: what cannot be part of a migration is told with its line. What its statements mean is in
//! [`super::statement`], which of the files are still to be applied in [`super::plan`].

use super::statement::{self, Statement};
use crate::error::{Error, Result};
use crate::sqlite::tokens::{Boundary, tokens};
use sha2::{Digest as _, Sha256};

/// Between what is done and how it is undone: a line of its own.
pub const DOWN: &str = "-- down";

const EXTENSION: &str = ".sql";
pub const NAME_BYTES_MAX: usize = 200;
/// A date with its time has fourteen, and still fits.
const DIGITS_MAX: u32 = 18;
/// Of one file.
pub const FILE_BYTES_MAX: usize = 8 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    pub number: i64,
    pub name: String,
    /// What messages call it: the name of its file.
    pub label: String,
    pub up: Script,
    pub down: Option<Script>,
    /// SHA-256 of the way up, in hexadecimal. The way back may be written later, or mended.
    pub checksum: String,
}

/// SQL, and the line of the file in which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub text: String,
    pub first_line: usize,
}

impl Script {
    /// # Errors
    /// `invalid` for what cannot be part of a migration, with its line.
    pub fn statements(&self) -> Result<Vec<Statement<'_>>> {
        statement::read(&self.text, self.first_line)
    }
}

impl Migration {
    /// Of the file with this name, which is like `0007_add_prices.sql`.
    ///
    /// # Errors
    /// `invalid`, with the name and the line.
    pub fn of_file(file: &str, bytes: &[u8]) -> Result<Self> {
        let stem = file.strip_suffix(EXTENSION).unwrap_or(file);
        let (digits, name) = stem.split_once('_').unwrap_or((stem, ""));
        let is_number =
            !digits.is_empty() && digits.len() <= DIGITS_MAX as usize && digits.bytes().all(|b| b.is_ascii_digit());
        let number = digits.parse::<i64>().ok().filter(|number| is_number && *number > 0);
        let number = number.filter(|_| !name.is_empty()).ok_or_else(|| {
            Error::invalid(format!(
                "{file}: a migration is called like 0001_first_tables.sql, a number from 1 up, a line below, a name."
            ))
        })?;
        let text = str::from_utf8(bytes).map_err(|error| {
            let line = memchr::memchr_iter(b'\n', &bytes[..error.valid_up_to()]).count() + 1;
            Error::invalid(format!("{file}, line {line}: the file is not UTF-8. Save it as UTF-8."))
        })?;
        Self::with_label(number, name, file.to_owned(), text)
    }

    /// # Errors
    /// As [`Migration::of_file`].
    pub fn new(number: i64, name: &str, text: &str) -> Result<Self> {
        let is_number = (1..10_i64.pow(DIGITS_MAX)).contains(&number);
        if !is_number || name.is_empty() || name.contains(|c: char| c == '/' || c.is_control()) {
            return Err(Error::invalid(
                "A migration has a \"number\" from 1 up, of 18 digits at most, and a \"name\" without slashes.",
            ));
        }
        Self::with_label(number, name, label(number, name), text)
    }

    fn with_label(number: i64, name: &str, label: String, text: &str) -> Result<Self> {
        if name.len() > NAME_BYTES_MAX {
            return Err(Error::invalid(format!("{label}: a migration's name may have {NAME_BYTES_MAX} bytes.")));
        }
        if text.len() > FILE_BYTES_MAX {
            return Err(Error::too_large(format!("{label}: a migration may have {FILE_BYTES_MAX} bytes.")));
        }
        if text.contains('\0') {
            // For SQLite the text would end there, and what follows would be passed over in silence.
            return Err(Error::invalid(format!("{label}: there is a NUL character in it.")));
        }
        let (up, down) = parted(&plain(text)).map_err(|error| error.led_by(&label))?;
        let statements = up.statements().map_err(|error| error.led_by(&label))?;
        if statements.is_empty() {
            return Err(Error::invalid(format!("{label}: there is no statement in it to be applied.")));
        }
        let down_count = down.as_ref().map_or(Ok(0), |down| down.statements().map(|statements| statements.len()));
        let has_down = down_count.map_err(|error| error.led_by(&label))? > 0;
        let checksum = Sha256::digest(up.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { number, name: name.to_owned(), label, up, down: down.filter(|_| has_down), checksum })
    }
}

/// The name of a migration's file.
pub fn label(number: i64, name: &str) -> String {
    format!("{number:04}_{name}{EXTENSION}")
}

/// Whatever editor or version control has been at it: without a byte order mark, lines ended by a line feed.
fn plain(text: &str) -> String {
    text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n")
}

/// What stands before the line `-- down` and what stands behind it.
fn parted(text: &str) -> Result<(Script, Option<Script>)> {
    let mut found: Option<usize> = None;
    for (at, is_within) in down_lines(text) {
        let line = line_at(text, at);
        if !is_it(text, at) {
            return Err(Error::invalid(format!(
                "line {line}: this is a comment, and what follows belongs to the way up. Write \"{DOWN}\", alone in its line."
            )));
        }
        if is_within {
            return Err(Error::invalid(format!(
                "line {line}: \"{DOWN}\" stands within a statement; is the semicolon before it missing?"
            )));
        }
        if let Some(first) = found {
            let first = line_at(text, first);
            return Err(Error::invalid(format!(
                "line {line}: there is a second \"{DOWN}\"; the first is in line {first}."
            )));
        }
        found = Some(at);
    }
    let script = |text: &str, first_line| Script { text: text.trim_end().to_owned(), first_line };
    let Some(at) = found else { return Ok((script(text, 1), None)) };
    let behind = text[at..].find('\n').map_or("", |end| &text[at + end + 1..]);
    Ok((script(&text[..at], 1), Some(script(behind, line_at(text, at) + 1))))
}

pub fn line_at(text: &str, at: usize) -> usize {
    memchr::memchr_iter(b'\n', &text.as_bytes()[..at]).count() + 1
}

/// Where a comment is such a line, and whether a statement has begun there that has not ended.
fn down_lines(text: &str) -> Vec<(usize, bool)> {
    let mut found = Vec::new();
    let (mut behind, mut is_within) = (0, false);
    let mut boundary = Boundary::default();
    for token in tokens(text) {
        comments(text, behind, token.at, &mut |at| found.push((at, is_within)));
        is_within = !boundary.is_end(token.kind, token.text.as_bytes());
        behind = token.end();
    }
    comments(text, behind, text.len(), &mut |at| found.push((at, is_within)));
    found
}

/// The lines `-- down` between two tokens, where there are only blanks and comments.
fn comments(text: &str, from: usize, to: usize, found: &mut dyn FnMut(usize)) {
    let mut at = from;
    while at < to {
        let rest = &text[at..to];
        if rest.starts_with("--") {
            let end = rest.find('\n').unwrap_or(rest.len());
            let is_alone = text[..at].rsplit('\n').next().is_none_or(|before| before.trim().is_empty());
            if is_alone && means_it(&rest[..end]) {
                found(at);
            }
            at += end;
        } else if let Some(inside) = rest.strip_prefix("/*") {
            at += inside.find("*/").map_or(rest.len(), |end| end + 4);
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
}

/// `--down` and `-- down: the way back` as well: whoever wrote that must hear that it is none.
fn means_it(comment: &str) -> bool {
    let word = comment.trim_start_matches('-').trim().to_ascii_lowercase();
    word == "down" || word.starts_with("down:")
}

fn is_it(text: &str, at: usize) -> bool {
    text[at..].lines().next().is_some_and(|line| line.trim_end().eq_ignore_ascii_case(DOWN))
}

impl Error {
    /// With the name of the file before its words.
    pub(super) fn led_by(mut self, label: &str) -> Self {
        self.message = format!("{label}, {}", self.message);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Migration {
        Migration::new(1, "x", text).unwrap()
    }

    #[test]
    fn the_way_back_stands_behind_a_line_of_its_own() {
        let migration = read("CREATE TABLE t (a); -- down\n/*\n-- down\n*/\n  -- Down  \nDROP TABLE t;\n");
        let down = migration.down.unwrap();
        assert_eq!((down.text.as_str(), down.first_line), ("DROP TABLE t;", 6));
        let text = "INSERT INTO t VALUES ('\n-- down\n');";
        assert_eq!(read(text), Migration { down: None, ..read(text) });
        assert_eq!(read("SELECT 1;\n-- down\n-- nothing yet\n").down, None);
        for (text, words) in [
            ("CREATE TABLE t (a)\n-- down\nDROP TABLE t;", "line 2: \"-- down\" stands within a statement"),
            (
                "SELECT 1;\n--down\nSELECT 2;\n",
                "line 2: this is a comment, and what follows belongs to the way up. Write \"-- down\", alone in its line.",
            ),
            (
                "SELECT 1;\n-- Down: back again\nSELECT 2;\n",
                "line 2: this is a comment, and what follows belongs to the way up. Write \"-- down\", alone in its line.",
            ),
            (
                "SELECT 1;\n-- down\nSELECT 2;\n-- down\n",
                "line 4: there is a second \"-- down\"; the first is in line 2",
            ),
            ("", "0001_x.sql: there is no statement"),
            ("\n-- down\nSELECT 1;", "0001_x.sql: there is no statement"),
            ("SELECT '\0';", "NUL"),
        ] {
            let error = Migration::new(1, "x", text).unwrap_err().message;
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }

    #[test]
    fn editors_that_end_lines_otherwise_change_nothing() {
        let plain = read("CREATE TABLE t (a);\n\n-- down\nDROP TABLE t;\n");
        for other in [
            "\u{feff}CREATE TABLE t (a);\n\n-- down\nDROP TABLE t;\n",
            "CREATE TABLE t (a);\r\n\r\n-- down\r\nDROP TABLE t;\r\n",
            "\u{feff}CREATE TABLE t (a);\r\n\r\n-- down\r\nDROP TABLE t;",
        ] {
            assert_eq!(read(other), plain, "{other:?}");
        }
        assert_eq!(read("CREATE TABLE t (a);").checksum, plain.checksum, "a way back may be added later");
        assert_ne!(read("CREATE TABLE t (b);").checksum, plain.checksum);
    }

    #[test]
    fn a_file_has_a_number_and_a_name() {
        let migration = Migration::of_file("20251122075000_first_tables.sql", b"SELECT 1").unwrap();
        assert_eq!((migration.number, migration.name.as_str()), (20_251_122_075_000, "first_tables"));
        for (file, bytes, words) in [
            ("first.sql", &b"SELECT 1"[..], "first.sql: a migration is called like"),
            ("0000_x.sql", b"SELECT 1", "0000_x.sql: a migration is called like"),
            ("0001_.sql", b"SELECT 1", "0001_.sql: a migration is called like"),
            ("+1_x.sql", b"SELECT 1", "+1_x.sql: a migration is called like"),
            ("9999999999999999999999_x.sql", b"SELECT 1", "a migration is called like"),
            ("0001_x.sql", b"SELECT 1;\nSELECT '\xff'", "0001_x.sql, line 2: the file is not UTF-8"),
            ("0001_x.sql", b"\xff\xfeS\0E\0", "0001_x.sql, line 1: the file is not UTF-8"),
        ] {
            let error = Migration::of_file(file, bytes).unwrap_err().message;
            assert!(error.contains(words), "{file}: {error}");
        }
    }
}
