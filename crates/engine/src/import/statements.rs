//! The statements of a script as they come from a file, one at a time: however long the script, only one is in memory.

use crate::error::{Error, Result};
use crate::sqlite::tokens::{Boundary, token_from};
use std::io::Read;
use std::str;

/// Read at one time; twice as much whenever a statement is longer than what is there.
const PIECE_BYTES: usize = 64 << 10;

/// A token that ends closer to the end of what has been read may be longer than it seems: `''`, `--`, `/*`, `::`.
const SLACK: usize = 2;

pub struct Statements<R> {
    from: R,
    buffer: Vec<u8>,
    /// How much of the buffer has been read, and whether that is all there is.
    filled: usize,
    is_whole: bool,
    /// What follows cannot be read.
    is_broken: bool,
    /// Where the statement begins that is looked for, once its first token is seen, and up to where it has been looked through.
    start: Option<usize>,
    at: usize,
    boundary: Boundary,
    statement_bytes_max: usize,
    /// Line feeds before this place in the buffer.
    lines: u64,
    counted_to: usize,
}

impl<R: Read> Statements<R> {
    pub fn new(from: R, statement_bytes_max: usize) -> Self {
        Self {
            from,
            buffer: vec![0; PIECE_BYTES],
            filled: 0,
            is_whole: false,
            is_broken: false,
            start: None,
            at: 0,
            boundary: Boundary::default(),
            statement_bytes_max,
            lines: 0,
            counted_to: 0,
        }
    }

    /// The line in which the statement given last begins, counted from 1.
    pub fn line(&self) -> u64 {
        self.lines + 1
    }

    /// The next statement, without its semicolon. `tick` is asked now and then whether to go on. Behind one that is refused comes the
    /// next, unless its end cannot be found.
    ///
    /// # Errors
    /// `invalid` for what is not UTF-8 or ends within a string, `too_large` for a statement past the bound.
    pub fn read(&mut self, tick: &dyn Fn() -> Result<()>) -> Result<Option<&str>> {
        while !self.is_broken {
            let read = &self.buffer[..self.filled];
            let (at, token) = token_from(read, self.at);
            let Some((kind, end)) = token.filter(|(_, end)| self.is_whole || end + SLACK <= read.len()) else {
                if !self.is_whole {
                    tick()?;
                    self.read_more()?;
                    continue;
                }
                return match self.start.take() {
                    Some(start) => self.statement(start, read.len()).map(Some),
                    None => Ok(None),
                };
            };
            self.at = end;
            if self.boundary.is_end(kind, &read[at..end]) {
                if let Some(start) = self.start.take() {
                    return self.statement(start, at).map(Some);
                }
            } else if self.start.is_none() {
                self.start = Some(at);
            }
        }
        Ok(None)
    }

    fn statement(&mut self, start: usize, end: usize) -> Result<&str> {
        if end - start > self.statement_bytes_max {
            return Err(self.too_large());
        }
        if end == self.filled {
            self.at = end;
        }
        self.count_lines(start);
        let text = str::from_utf8(&self.buffer[start..end]).map(str::trim_ascii_end);
        text.map_err(|_| Error::invalid("The statement is not UTF-8."))
    }

    fn count_lines(&mut self, to: usize) {
        self.lines += memchr::memchr_iter(b'\n', &self.buffer[self.counted_to..to]).count() as u64;
        self.counted_to = to;
    }

    /// Makes room by dropping what has been given out, or more room if that is not enough.
    fn read_more(&mut self) -> Result<()> {
        let kept_from = self.start.unwrap_or(self.at);
        if kept_from > 0 {
            self.count_lines(kept_from.max(self.counted_to));
            self.counted_to -= kept_from;
            self.buffer.copy_within(kept_from..self.filled, 0);
            self.filled -= kept_from;
            self.at -= kept_from;
            self.start = self.start.map(|_| 0);
        }
        if self.filled + PIECE_BYTES / 2 > self.buffer.len() {
            if self.filled > self.statement_bytes_max + PIECE_BYTES {
                self.is_broken = true;
                return Err(self.too_large());
            }
            let length = (self.buffer.len() * 2).min(self.statement_bytes_max + 2 * PIECE_BYTES);
            self.buffer.resize(length, 0);
        }
        // All of it: a long token is looked through again from its beginning, so twice as much must be there each time.
        while self.filled < self.buffer.len() && !self.is_whole {
            let read = self.from.read(&mut self.buffer[self.filled..]).map_err(|error| {
                self.is_broken = true;
                Error::invalid(format!("The script cannot be read: {error}.")).caused_by(error)
            })?;
            self.filled += read;
            self.is_whole = read == 0;
        }
        Ok(())
    }

    fn too_large(&self) -> Error {
        Error::too_large(format!("The statement is longer than {} bytes.", self.statement_bytes_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::tokens;

    /// Gives few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.0.len().min(self.1).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn split(script: &str, drip: usize) -> Vec<String> {
        let mut statements = Statements::new(Drip(script.as_bytes(), drip), 1 << 20);
        let mut found = Vec::new();
        while let Some(statement) = statements.read(&|| Ok(())).unwrap() {
            found.push(statement.to_owned());
        }
        found
    }

    #[test]
    fn a_script_is_split_the_same_however_it_comes() {
        let pieces = [
            "select 1",
            ";",
            "'a;\n''b'",
            "\"x;\"",
            "[;]",
            "-- c;\n",
            "/* ; */",
            "create trigger t begin",
            "end",
            "case",
            " ",
            "\n",
            "x'00'",
            "1e5",
            ":a::b",
            "''",
            "'",
            "\u{feff}",
            "grüße",
            "create",
            "trigger",
            "explain",
            "-",
            "/",
            "*",
        ];
        let mut state = 7_u64;
        for _ in 0..3000 {
            let mut script = String::new();
            for _ in 0..state % 17 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                script.push_str(pieces[(state >> 33) as usize % pieces.len()]);
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let whole: Vec<&str> =
                tokens::statements(&script).into_iter().map(|range| script[range].trim_ascii_end()).collect();
            let drip = 1 + (state >> 40) as usize % 5;
            let dripped = split(&script, drip);
            // Behind the last token of a script without an end, comments belong to the last statement here.
            let is_same = dripped.len() == whole.len() && dripped.iter().zip(&whole).all(|(a, b)| a.starts_with(b));
            assert!(is_same, "{script:?} by {drip}: {dripped:?} and {whole:?}");
        }
    }

    #[test]
    fn a_long_script_is_read_in_little_memory_and_lines_are_counted() {
        let script: String = (0..50_000).map(|n| format!("INSERT INTO t VALUES({n},'a;\nb');\n")).collect();
        let mut statements = Statements::new(script.as_bytes(), 1 << 20);
        let mut count = 0;
        while let Some(statement) = statements.read(&|| Ok(())).unwrap() {
            assert_eq!(statement, format!("INSERT INTO t VALUES({count},'a;\nb')"));
            count += 1;
        }
        assert_eq!((count, statements.buffer.len() <= PIECE_BYTES * 2), (50_000, true));
    }

    #[test]
    fn what_cannot_be_a_statement_is_told_with_its_line() {
        let mut long = Statements::new("select 1;\nselect '".as_bytes().chain(std::io::repeat(b'x')), 1 << 20);
        assert!(long.read(&|| Ok(())).unwrap().is_some());
        assert!(long.read(&|| Ok(())).unwrap_err().message.contains("longer than 1048576 bytes"));
        assert_eq!(long.line(), 2);
        let mut odd = Statements::new(b"select 1;\n\nselect '\xff';".as_slice(), 1 << 20);
        assert!(odd.read(&|| Ok(())).unwrap().is_some());
        assert!(odd.read(&|| Ok(())).unwrap_err().message.contains("is not UTF-8"));
        assert_eq!(odd.line(), 3);
        assert!(odd.read(&|| Ok(())).unwrap().is_none());
        let mut next = Statements::new(b"select '\xff'; select 2".as_slice(), 1 << 20);
        assert!(next.read(&|| Ok(())).is_err());
        assert_eq!(next.read(&|| Ok(())).unwrap(), Some("select 2"));
        assert!(long.read(&|| Ok(())).unwrap().is_none());
    }
}
