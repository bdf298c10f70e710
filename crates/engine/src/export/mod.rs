//! Data on its way out: the whole database as SQL, JSON or CSV, or one table, from one snapshot, in bounded memory.
//!
//! | file | |
//! |---|---|
//! | [`dump`] | everything, as SQL that makes it again |
//! | [`table`] | one table or view, as JSON, a JSON object a line, or CSV |
//! | [`tables`] | all tables, as one JSON object or a zip of CSV files |
//! | [`zip`] | a zip that is written as it comes |
//! | [`shadow`] | virtual tables, and those that are their own affair |
//! | [`literal`] | one value as SQL |
//! | [`squeeze`] | gzip and zstd |

pub mod dump;
pub mod literal;
pub(crate) mod shadow;
pub mod squeeze;
pub mod table;
pub mod tables;
mod zip;

pub use dump::Dump;
pub use squeeze::Squeeze;
pub use table::{Form, Rows};
pub use tables::Tables;

use crate::error::{Error, Result};
use rusqlite::Connection;
use std::io::Write;

/// Written at one time.
const PIECE_BYTES: usize = 64 << 10;

#[derive(Clone, Debug)]
pub enum Export {
    Dump(Dump),
    Rows(Rows),
    Tables(Tables),
}

impl Export {
    /// Writes it; `heard` is told from time to time how many rows have been written, and may end it with an error. The connection's
    /// transaction, if there is none, begins here.
    ///
    /// # Errors
    /// `not_found` for a table that is not there, before anything is written; SQLite's own; what `out` and `heard` say.
    pub fn write(
        &self,
        connection: &Connection,
        out: &mut dyn Write,
        heard: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<u64> {
        self.write_in_breaths(connection, out, u64::MAX, heard)
    }

    /// The same, and `heard` is told after this many rows at the latest.
    pub fn write_in_breaths(
        &self,
        connection: &Connection,
        out: &mut dyn Write,
        breath_rows: u64,
        heard: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<u64> {
        self.check(connection)?;
        let began = connection.is_autocommit();
        if began {
            connection.execute_batch("BEGIN")?;
        }
        let mut sink = Sink { out, heard, piece: Vec::with_capacity(PIECE_BYTES * 2), rows: 0, breath_rows };
        let written = match self {
            Self::Dump(dump) => dump.write(connection, &mut sink),
            Self::Rows(rows) => rows.write(connection, &mut sink),
            Self::Tables(tables) => tables.write(connection, &mut sink),
        };
        let written = written.and_then(|()| sink.flush()).map(|()| sink.rows);
        if began {
            connection.execute_batch("COMMIT")?;
        }
        written
    }

    /// Is what it asks for there, and can it be written?
    ///
    /// # Errors
    /// `not_found` for a table that is not, `unsupported` for names and statements that are not UTF-8.
    pub fn check(&self, connection: &Connection) -> Result<()> {
        check_schema(connection)?;
        match self {
            Self::Dump(_) | Self::Tables(_) => Ok(()),
            Self::Rows(rows) => rows.check(connection),
        }
    }

    /// How many rows it will have: what SQLite counts, in a moment for most tables and not for large ones.
    pub fn count(&self, connection: &Connection) -> Result<u64> {
        match self {
            Self::Dump(dump) => dump.count(connection),
            Self::Rows(rows) => rows.count(connection),
            Self::Tables(_) => Tables::count(connection),
        }
    }
}

/// SQLite keeps a statement as it was sent, in whatever encoding. What is exported is UTF-8.
fn check_schema(connection: &Connection) -> Result<()> {
    let mut statement = connection.prepare("SELECT type, CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, sql): (String, Vec<u8>, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if str::from_utf8(&name).is_err() || sql.is_some_and(|sql| str::from_utf8(&sql).is_err()) {
            return Err(Error::unsupported(format!(
                "The statement that made the {kind} {} is not UTF-8, so nothing can be exported as text. Take the file itself (`tidebase backup`, \
                 GET /export/db), or make the {kind} anew.",
                String::from_utf8_lossy(&name)
            )));
        }
    }
    Ok(())
}

/// Gathers what is written into pieces.
pub struct Sink<'a> {
    out: &'a mut dyn Write,
    heard: &'a mut dyn FnMut(u64) -> Result<()>,
    piece: Vec<u8>,
    rows: u64,
    breath_rows: u64,
}

impl Sink<'_> {
    /// What is being written.
    fn text(&mut self) -> &mut Vec<u8> {
        &mut self.piece
    }

    fn line(&mut self, line: &str) -> Result<()> {
        self.piece.extend_from_slice(line.as_bytes());
        self.piece.push(b'\n');
        self.pass_on()
    }

    /// A row has been written.
    fn end_row(&mut self) -> Result<()> {
        self.rows += 1;
        if self.rows.is_multiple_of(self.breath_rows) { self.flush() } else { self.pass_on() }
    }

    fn pass_on(&mut self) -> Result<()> {
        if self.piece.len() < PIECE_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        (self.heard)(self.rows)?;
        self.out.write_all(&self.piece).map_err(cannot_write)?;
        self.piece.clear();
        // One long row must not be paid for by all that follow.
        self.piece.shrink_to(PIECE_BYTES * 2);
        Ok(())
    }
}

fn cannot_write(error: std::io::Error) -> Error {
    Error::unavailable(format!("The export could not be written: {error}.")).caused_by(error)
}
