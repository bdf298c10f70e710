//! One table or view as a file that other programs read.
//!
//! JSON keeps what SQL has: integers digit for digit, BLOBs as `{"$blob":"<base64>"}`. CSV is that of RFC 4180 with a header, also when
//! there are no rows; NULL is an empty field and an empty text is `""`; a BLOB is written as in SQL, `X'00FF'`.

use super::{Sink, literal};
use crate::error::{Error, Result};
use crate::json;
use crate::sqlite::exclude::quoted;
use crate::sqlite::gate::is_system;
use crate::value::ValueRef;
use rusqlite::{Connection, OptionalExtension as _};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An array, an object a line.
    Json,
    /// An object a line.
    NdJson,
    Csv,
}

impl Form {
    pub const ALL: [Self; 3] = [Self::Json, Self::NdJson, Self::Csv];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::NdJson => "ndjson",
            Self::Csv => "csv",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }
}

#[derive(Clone, Debug)]
pub struct Rows {
    pub table: String,
    pub form: Form,
}

impl Rows {
    pub(super) fn write(&self, connection: &Connection, sink: &mut Sink<'_>) -> Result<()> {
        let name = self.name(connection)?;
        let mut statement = connection.prepare(&format!("SELECT * FROM {}", quoted(&name)))?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([])?;
        match self.form {
            Form::Json => sink.text().push(b'['),
            Form::NdJson => {}
            Form::Csv => {
                csv_line(sink.text(), columns.iter().map(|column| ValueRef::Text(column.as_bytes())));
            }
        }
        let heads = heads(&columns);
        let mut is_first = true;
        while let Some(row) = rows.next()? {
            let out = sink.text();
            if self.form == Form::Json {
                out.extend_from_slice(if is_first { b"\n" } else { b",\n" });
            }
            is_first = false;
            if self.form == Form::Csv {
                csv_line(out, (0..columns.len()).map(|at| row.get_ref(at).unwrap_or(ValueRef::Null)));
            } else {
                for (at, head) in heads.iter().enumerate() {
                    out.extend_from_slice(head);
                    json::write_value(out, row.get_ref(at)?);
                }
                out.push(b'}');
            }
            if self.form == Form::NdJson {
                out.push(b'\n');
            }
            sink.end_row()?;
        }
        if self.form == Form::Json {
            sink.text().extend_from_slice(if is_first { b"]\n" } else { b"\n]\n" });
        }
        Ok(())
    }

    pub(super) fn count(&self, connection: &Connection) -> Result<u64> {
        let name = self.name(connection)?;
        let count = format!("SELECT count(*) FROM {}", quoted(&name));
        Ok(connection.query_row(&count, [], |row| row.get::<_, i64>(0))?.unsigned_abs())
    }

    /// Is it there, and can it be read?
    pub(super) fn check(&self, connection: &Connection) -> Result<()> {
        let name = self.name(connection)?;
        connection
            .prepare(&format!("SELECT * FROM {}", quoted(&name)))
            .map(|_| ())
            .map_err(|error| Error::invalid(format!("{name} cannot be read: {error}.")))
    }

    /// As the schema spells it.
    fn name(&self, connection: &Connection) -> Result<String> {
        let mut statement = connection.prepare_cached(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE",
        )?;
        let found: Option<String> = statement.query_row([&self.table], |row| row.get(0)).optional()?;
        // StarbaseDB's words.
        found
            .filter(|name| !is_system(name))
            .ok_or_else(|| Error::not_found(format!("Table '{}' does not exist.", self.table)))
    }
}

/// What stands before each value of a row: all of an object but its values and its end.
fn heads(columns: &[String]) -> Vec<Vec<u8>> {
    let head = |(at, column): (usize, &String)| {
        let mut head = vec![if at == 0 { b'{' } else { b',' }];
        json::write_str(&mut head, column);
        head.push(b':');
        head
    };
    columns.iter().enumerate().map(head).collect()
}

fn csv_line<'a>(out: &mut Vec<u8>, values: impl Iterator<Item = ValueRef<'a>>) {
    let mut is_first = true;
    for value in values {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        match value {
            ValueRef::Null => {}
            ValueRef::Text(bytes) => {
                let needs_quotes = |byte: &u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
                // Nothing, or what could be taken for something else: a number, a BLOB.
                let is_at_risk = bytes.first().is_none_or(|first| {
                    first.is_ascii_whitespace() || first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.' | b'X')
                }) || bytes.ends_with(b" ");
                if is_at_risk || bytes.iter().any(needs_quotes) {
                    literal::write_quoted(out, bytes, b'"');
                } else {
                    out.extend_from_slice(bytes);
                }
            }
            value => literal::write(out, value),
        }
    }
    out.extend_from_slice(b"\r\n");
}
