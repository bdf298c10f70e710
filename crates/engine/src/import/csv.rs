//! CSV as RFC 4180 has it: fields in quotes may hold commas, quotes and line ends. Lines may end in CR LF, LF or CR; a byte order mark is
//! no part of the first name. Told apart is what many readers lose: a field that is empty (NULL) and one that is `""` (an empty text).

use super::{COLUMNS_MAX, RECORD_BYTES_MAX};
use crate::error::{Error, Result};
use std::io::{BufReader, Read};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    pub text: String,
    pub is_quoted: bool,
}

pub struct Records<R: Read> {
    bytes: std::io::Bytes<BufReader<R>>,
    /// Read and given back.
    again: Option<u8>,
    delimiter: u8,
    /// Of the record that was given last.
    line: u64,
    next_line: u64,
    /// Of the record that is read.
    length: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    AtLine,
    /// Within a record that was refused: the next begins in the next line.
    Within,
    /// Nothing more can be read.
    Over,
}

impl<R: Read> Records<R> {
    pub fn new(from: R, delimiter: u8) -> Self {
        let bytes = BufReader::with_capacity(64 << 10, from).bytes();
        Self { bytes, again: None, delimiter, line: 1, next_line: 1, length: 0, state: State::AtLine }
    }

    /// The line in which the last record begins, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next record. An empty line is a record with one empty field, but for the last. Behind one that is refused comes the next line.
    pub fn read(&mut self) -> Result<Option<Vec<Field>>> {
        if self.state == State::Within {
            while !matches!(self.byte()?, None | Some(b'\n')) {}
            self.next_line += 1;
            self.state = State::AtLine;
        }
        if self.state == State::Over {
            return Ok(None);
        }
        (self.line, self.length) = (self.next_line, 0);
        let Some(first) = self.byte()? else { return Ok(None) };
        self.again = Some(first);
        let (mut record, mut is_utf8) = (Vec::new(), true);
        loop {
            let (bytes, is_quoted, end) = self.field(record.is_empty() && self.line == 1)?;
            if record.len() == COLUMNS_MAX {
                return Err(self.refused(Error::too_large(format!("The record has more than {COLUMNS_MAX} fields."))));
            }
            let text = String::from_utf8(bytes);
            is_utf8 &= text.is_ok();
            record.push(Field { text: text.unwrap_or_default(), is_quoted });
            if end != Some(self.delimiter) {
                let odd = || Error::invalid("The record is no CSV: it is not UTF-8.");
                return if is_utf8 { Ok(Some(record)) } else { Err(odd()) };
            }
        }
    }

    /// The bytes of a field, whether it is quoted, and what ended it: the delimiter, a line feed, or nothing more.
    fn field(&mut self, is_first: bool) -> Result<(Vec<u8>, bool, Option<u8>)> {
        let (mut bytes, mut is_quoted) = (Vec::new(), false);
        let end = loop {
            let Some(byte) = self.byte()? else { break None };
            match byte {
                b'"' if bytes.is_empty() && !is_quoted || is_first && bytes == b"\xef\xbb\xbf" => {
                    bytes.clear();
                    is_quoted = true;
                    self.quoted(&mut bytes)?;
                }
                byte if byte == self.delimiter => break Some(byte),
                b'\n' => {
                    self.next_line += 1;
                    break Some(b'\n');
                }
                b'\r' => {
                    match self.byte()? {
                        Some(b'\n') | None => {}
                        other => self.again = other,
                    }
                    self.next_line += 1;
                    break Some(b'\n');
                }
                _ if is_quoted => {
                    return Err(self.wrong("a quoted field goes on behind its closing quote"));
                }
                byte => bytes.push(byte),
            }
        };
        if is_first && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        Ok((bytes, is_quoted, end))
    }

    /// Up to the closing quote.
    fn quoted(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        loop {
            match self.byte()? {
                None => return Err(self.wrong("a quoted field has no closing quote")),
                Some(b'"') => match self.byte()? {
                    Some(b'"') => bytes.push(b'"'),
                    other => {
                        self.again = other;
                        return Ok(());
                    }
                },
                Some(byte) => {
                    self.next_line += u64::from(byte == b'\n');
                    bytes.push(byte);
                }
            }
        }
    }

    fn byte(&mut self) -> Result<Option<u8>> {
        if let Some(byte) = self.again.take() {
            return Ok(Some(byte));
        }
        let byte = self.bytes.next().transpose().map_err(|error| {
            self.state = State::Over;
            Error::invalid(format!("The CSV cannot be read: {error}.")).caused_by(error)
        })?;
        self.length += 1;
        if self.length > RECORD_BYTES_MAX && self.state == State::AtLine {
            return Err(self.refused(Error::too_large(format!("The record has more than {RECORD_BYTES_MAX} bytes."))));
        }
        Ok(byte)
    }

    fn wrong(&mut self, what: &str) -> Error {
        self.refused(Error::invalid(format!("The record is no CSV: {what}.")))
    }

    fn refused(&mut self, error: Error) -> Error {
        self.state = State::Within;
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Vec<String>>> {
        let mut records = Records::new(text.as_bytes(), b',');
        let mut found = Vec::new();
        while let Some(record) = records.read()? {
            let show = |field: Field| if field.is_quoted { format!("\"{}\"", field.text) } else { field.text };
            found.push(record.into_iter().map(show).collect());
        }
        Ok(found)
    }

    #[test]
    fn records_are_read_as_the_rfc_has_them() {
        for (text, expected) in [
            ("a,b\n1,2\n", vec![vec!["a", "b"], vec!["1", "2"]]),
            ("a,b\r\n1,2", vec![vec!["a", "b"], vec!["1", "2"]]),
            ("a\r1\r", vec![vec!["a"], vec!["1"]]),
            ("\u{feff}a,b\n", vec![vec!["a", "b"]]),
            ("\u{feff}\"a\",b\n", vec![vec!["\"a\"", "b"]]),
            ("\"x,\"\"y\"\"\nz\",\n", vec![vec!["\"x,\"y\"\nz\"", ""]]),
            (",\"\",\n", vec![vec!["", "\"\"", ""]]),
            ("a\n\n1\n", vec![vec!["a"], vec![""], vec!["1"]]),
            ("a b, c \n", vec![vec!["a b", " c "]]),
            ("", vec![]),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_csv_is_told_with_its_line() {
        for (text, words) in [
            ("a\n\"x", "The record is no CSV: a quoted field has no closing quote"),
            ("a\n\"x\ny\"z\n", "The record is no CSV: a quoted field goes on"),
        ] {
            assert!(read(text).unwrap_err().message.contains(words), "{text:?}");
        }
    }

    #[test]
    fn behind_a_record_that_is_none_comes_the_next() {
        let text = b"a,b\n\xff,1\n\"x\"y,\"\n2,3\n\"never closed\n4,5\n";
        let mut records = Records::new(text.as_slice(), b',');
        let mut told = Vec::new();
        loop {
            let read = records.read();
            let line = records.line();
            match read {
                Ok(None) => break,
                Ok(Some(record)) => told.push(format!("{line}: {} fields", record.len())),
                Err(error) => told.push(format!("{line}: {}", error.message)),
            }
        }
        let no = "The record is no CSV:";
        let expected = [
            "1: 2 fields".to_owned(),
            format!("2: {no} it is not UTF-8."),
            format!("3: {no} a quoted field goes on behind its closing quote."),
            "4: 2 fields".to_owned(),
            format!("5: {no} a quoted field has no closing quote."),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_record_wider_than_any_table_is_refused() {
        let text = format!("{}\n1\n", ",".repeat(1_000_000));
        let mut records = Records::new(text.as_bytes(), b',');
        assert!(records.read().unwrap_err().message.contains("more than 2000 fields"));
        assert_eq!(records.read().unwrap().map(|record| record.len()), Some(1));
    }
}
