//! CSV as RFC 4180 has it: fields in quotes may hold commas, quotes and line ends. Lines may end in CR LF, LF or CR; a byte order mark is
//! no part of the first name. Told apart is what many readers lose: a field that is empty (NULL) and one that is `""` (an empty text).

use crate::error::{Error, Result};
use std::io::{BufReader, Read};

/// Of one field.
const FIELD_BYTES_MAX: usize = 128 << 20;

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
}

impl<R: Read> Records<R> {
    pub fn new(from: R, delimiter: u8) -> Self {
        Self { bytes: BufReader::with_capacity(64 << 10, from).bytes(), again: None, delimiter, line: 1, next_line: 1 }
    }

    /// The line in which the last record begins, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next record. An empty line is a record with one empty field, but for the last.
    pub fn read(&mut self) -> Result<Option<Vec<Field>>> {
        self.line = self.next_line;
        let Some(first) = self.byte()? else { return Ok(None) };
        self.again = Some(first);
        let mut record = Vec::new();
        loop {
            let (field, end) = self.field(record.is_empty() && self.line == 1)?;
            record.push(field);
            if end != Some(self.delimiter) {
                return Ok(Some(record));
            }
        }
    }

    /// A field, and what ended it: the delimiter, a line feed, or nothing more.
    fn field(&mut self, is_first: bool) -> Result<(Field, Option<u8>)> {
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
            if bytes.len() > FIELD_BYTES_MAX {
                return Err(Error::too_large(format!(
                    "Line {}: a field has more than {FIELD_BYTES_MAX} bytes.",
                    self.line
                )));
            }
        };
        if is_first && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = String::from_utf8(bytes).map_err(|_| self.wrong("it is not UTF-8"))?;
        Ok((Field { text, is_quoted }, end))
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
                    if bytes.len() > FIELD_BYTES_MAX {
                        return Err(self.wrong("a field is too long"));
                    }
                }
            }
        }
    }

    fn byte(&mut self) -> Result<Option<u8>> {
        if let Some(byte) = self.again.take() {
            return Ok(Some(byte));
        }
        let byte = self.bytes.next().transpose();
        byte.map_err(|error| Error::invalid(format!("The CSV cannot be read: {error}.")).caused_by(error))
    }

    fn wrong(&self, what: &str) -> Error {
        Error::invalid(format!("Line {} is no CSV: {what}.", self.line))
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
            ("a\n\"x", "Line 2 is no CSV: a quoted field has no closing quote"),
            ("a\n\"x\ny\"z\n", "Line 2 is no CSV: a quoted field goes on"),
        ] {
            assert!(read(text).unwrap_err().message.contains(words), "{text:?}");
        }
        let mut odd = Records::new(b"a\n\xff\n".as_slice(), b',');
        assert!(odd.read().is_ok());
        assert!(odd.read().unwrap_err().message.contains("Line 2 is no CSV: it is not UTF-8"));
    }
}
