//! JSON values as they come from a file, one at a time and to the letter. Where a value ends is seen here, by its brackets and quotes;
//! whether it is one, serde_json says of the bytes.

use super::RECORD_BYTES_MAX;
use crate::error::{Error, Result};
use std::io::{BufRead, BufReader, Chain, Cursor, Read};

/// What was read and given back comes first.
type From<'a> = Chain<Cursor<Vec<u8>>, Box<dyn BufRead + 'a>>;

/// Read at one time.
const PIECE_BYTES: usize = 64 << 10;

pub struct Values<'a> {
    from: From<'a>,
    /// Asked whenever there is something new to read whether to go on.
    look: &'a dyn Fn() -> Result<()>,
    /// The bytes of the value that was read last.
    value: Vec<u8>,
    /// Line feeds so far.
    lines: u64,
}

impl<'a> Values<'a> {
    pub fn new(from: impl Read + 'a, look: &'a dyn Fn() -> Result<()>) -> Self {
        let from: Box<dyn BufRead + 'a> = Box::new(BufReader::with_capacity(PIECE_BYTES, from));
        Self { from: Cursor::new(Vec::new()).chain(from), look, value: Vec::new(), lines: 0 }
    }

    /// The line that is read in, counted from 1.
    pub fn line(&self) -> u64 {
        self.lines + 1
    }

    /// The next byte that is no blank, nor of a byte order mark.
    pub fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let read = filled(&mut self.from, self.look)?;
            let blanks = read.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let passed_over = if read.starts_with(b"\xef\xbb\xbf") { 3 } else { blanks };
            if passed_over == 0 {
                return Ok(read.first().copied());
            }
            self.pass(passed_over);
        }
    }

    /// Passes over this byte, if it is the next that is no blank.
    pub fn takes(&mut self, byte: u8) -> Result<bool> {
        let is_it = self.peek()? == Some(byte);
        if is_it {
            self.pass(1);
        }
        Ok(is_it)
    }

    /// The bytes of the next value.
    ///
    /// # Errors
    /// `invalid` if the file ends within it, `too_large` past the bound. [`Values::read`] is what was read of it.
    pub fn value(&mut self) -> Result<&[u8]> {
        self.value.clear();
        self.walk(true)?;
        Ok(&self.value)
    }

    /// Of the value that was begun last.
    pub fn read(&self) -> &[u8] {
        &self.value
    }

    /// Passes over the next value, however long.
    pub fn skip(&mut self) -> Result<()> {
        self.value.clear();
        self.walk(false)
    }

    fn walk(&mut self, is_kept: bool) -> Result<()> {
        self.peek()?;
        let (mut end, began) = (End::default(), self.line());
        loop {
            let read = filled(&mut self.from, self.look)?;
            if read.is_empty() {
                return if end.is_open() { Err(invalid("The file ends within a value.", began)) } else { Ok(()) };
            }
            let (length, is_whole) = match end.within(read) {
                Some(length) => (length, true),
                None => (read.len(), false),
            };
            if is_kept {
                self.value.extend_from_slice(&read[..length]);
            }
            self.pass(length);
            if is_whole {
                return Ok(());
            }
            if self.value.len() > RECORD_BYTES_MAX {
                return Err(Error::too_large(format!("A value has more than {RECORD_BYTES_MAX} bytes.")));
            }
        }
    }

    /// The rest of the line.
    ///
    /// # Errors
    /// `too_large` past the bound; the rest of it comes next.
    pub fn rest_of_line(&mut self) -> Result<&[u8]> {
        self.value.clear();
        loop {
            let read = filled(&mut self.from, self.look)?;
            let end = memchr::memchr(b'\n', read);
            let (length, is_over) = (end.map_or(read.len(), |at| at + 1), end.is_some() || read.is_empty());
            self.value.extend_from_slice(&read[..length]);
            self.pass(length);
            if is_over {
                return Ok(&self.value);
            }
            if self.value.len() > RECORD_BYTES_MAX {
                return Err(Error::too_large(format!("A line has more than {RECORD_BYTES_MAX} bytes.")));
            }
        }
    }

    /// Goes on in the line behind the one in which the value that was read last begins.
    pub fn resume_at_next_line(&mut self) -> Result<()> {
        let Some(end) = memchr::memchr(b'\n', &self.value) else {
            return self.rest_of_line().map(|_| ());
        };
        let mut again = self.value.split_off(end + 1);
        self.lines -= memchr::memchr_iter(b'\n', &again).count() as u64;
        let (before, from) = std::mem::replace(
            &mut self.from,
            Cursor::new(Vec::new()).chain(Box::new(std::io::empty()) as Box<dyn BufRead + 'a>),
        )
        .into_inner();
        again.extend_from_slice(&before.get_ref()[before.position() as usize..]);
        self.from = Cursor::new(again).chain(from);
        Ok(())
    }

    /// Of what is there to be read.
    fn pass(&mut self, bytes: usize) {
        let read = self.from.fill_buf().unwrap_or_default();
        self.lines += memchr::memchr_iter(b'\n', &read[..bytes.min(read.len())]).count() as u64;
        self.from.consume(bytes);
    }
}

fn filled<'b>(from: &'b mut From<'_>, look: &dyn Fn() -> Result<()>) -> Result<&'b [u8]> {
    look()?;
    let read = from.fill_buf();
    read.map_err(|error| Error::invalid(format!("The JSON cannot be read: {error}.")).caused_by(error))
}

/// StarbaseDB's words, what is wrong, and where.
pub fn invalid(what: &str, line: u64) -> Error {
    Error::invalid(format!("Invalid JSON format. {what} (Line {line} of the file.)"))
}

/// Looks for the end of a value, piece by piece.
#[derive(Default)]
struct End {
    depth: usize,
    within: Within,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Nothing,
    Brackets,
    Text,
    /// Behind a backslash.
    Escape,
    /// A number or a word, which ends before what cannot be of it.
    Bare,
}

impl End {
    fn is_open(&self) -> bool {
        self.within != Within::Bare
    }

    /// How much of the piece belongs to the value, if it ends there.
    fn within(&mut self, piece: &[u8]) -> Option<usize> {
        for (at, &byte) in piece.iter().enumerate() {
            self.within = match (self.within, byte) {
                (Within::Bare, _) if byte.is_ascii_whitespace() || b",]}:[{\"".contains(&byte) => return Some(at),
                (Within::Text, b'\\') => Within::Escape,
                (Within::Text, b'"') if self.depth == 0 => return Some(at + 1),
                (Within::Text, b'"') => Within::Brackets,
                (Within::Bare | Within::Text, _) => continue,
                (Within::Escape, _) | (_, b'"') => Within::Text,
                (_, b'[' | b'{') => {
                    self.depth += 1;
                    Within::Brackets
                }
                (Within::Nothing, _) => Within::Bare,
                // Of something that is none; serde_json will say so.
                (Within::Brackets, b']' | b'}') if self.depth <= 1 => return Some(at + 1),
                (Within::Brackets, b']' | b'}') => {
                    self.depth -= 1;
                    continue;
                }
                (Within::Brackets, _) => continue,
            };
        }
        None
    }
}
