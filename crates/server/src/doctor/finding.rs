//! One line of the report, and what all of them come to.

use crate::shell::style::Style;
use tidebase_engine::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Ok,
    /// Worth knowing; nothing to do.
    Note,
    /// Works, and may bite.
    Warning,
    /// The server does not work so, or data is in danger.
    Problem,
}

#[derive(Debug)]
pub struct Finding {
    pub word: Word,
    pub subject: &'static str,
    /// What was found, and what to do about it.
    pub text: String,
}

impl Finding {
    pub fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self { word: Word::Ok, subject, text: text.into() }
    }
    pub fn note(subject: &'static str, text: impl Into<String>) -> Self {
        Self { word: Word::Note, subject, text: text.into() }
    }
    pub fn warning(subject: &'static str, text: impl Into<String>) -> Self {
        Self { word: Word::Warning, subject, text: text.into() }
    }
    pub fn problem(subject: &'static str, text: impl Into<String>) -> Self {
        Self { word: Word::Problem, subject, text: text.into() }
    }

    pub fn shown(&self, style: Style) -> String {
        let word = match self.word {
            Word::Ok => style.good("ok     "),
            Word::Note => style.dim("note   "),
            Word::Warning => style.warning("warning"),
            Word::Problem => style.bad("problem"),
        };
        // One line each, whatever words SQLite or the system had.
        let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{word}  {:<13} {text}", self.subject)
    }
}

/// # Errors
/// With the number of problems, if there are any: the exit code is for scripts.
pub fn conclusion(words: &[Word]) -> Result<()> {
    match words.iter().filter(|word| **word == Word::Problem).count() {
        0 => Ok(()),
        1 => Err(Error::unavailable("1 problem was found.")),
        count => Err(Error::unavailable(format!("{count} problems were found."))),
    }
}

/// A size as people say it.
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)];
    match UNITS.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", count as f64 / *size as f64),
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let finding = Finding::warning("settings", "two\n  lines");
        assert_eq!(finding.shown(Style::Plain), "warning  settings      two lines");
    }

    #[test]
    fn only_problems_fail() {
        assert!(conclusion(&[Word::Ok, Word::Warning, Word::Note]).is_ok());
        assert_eq!(conclusion(&[Word::Problem, Word::Ok]).unwrap_err().message, "1 problem was found.");
    }

    #[test]
    fn sizes_are_readable() {
        for (count, expected) in [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (20_000_000_000, "20.0 GB")] {
            assert_eq!(bytes(count), expected);
        }
    }
}
