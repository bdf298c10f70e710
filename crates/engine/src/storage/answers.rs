//! Answers kept under an idempotency key, so that a client may send a write again after a timeout.
//!
//! Refusals that would be the same next time are kept too; those that time may mend (busy, full, timeout) are not.

use crate::error::{Code, Error, Result};
use crate::request::{Answer, Idempotency};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};

/// In a kept refusal, between its message, the column that it is about, and the pointer into what was written there.
const BETWEEN: char = '\0';

pub enum Kept {
    Answer(Answer),
    Refusal(Error),
}

pub fn find(connection: &Connection, idempotency: &Idempotency) -> Result<Option<Kept>> {
    let mut statement =
        connection.prepare_cached("SELECT fingerprint, revision, code, body FROM _tide_answers WHERE key = ?1")?;
    let read = |row: &rusqlite::Row<'_>| {
        let fingerprint: Vec<u8> = row.get(0)?;
        let (code, body): (Option<String>, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let kept = match code.as_deref().and_then(Code::from_name) {
            Some(code) => {
                let body = String::from_utf8_lossy(&body);
                let mut parts = body.split(BETWEEN);
                let mut error = Error::new(code, parts.next().unwrap_or_default());
                if let Some(column) = parts.next() {
                    error = error.of_column(column);
                }
                if let Some(pointer) = parts.next() {
                    error = error.at_pointer(pointer);
                }
                // A refusal has no revision; its place holds the statement, counted from 1.
                error.statement = usize::try_from(row.get::<_, i64>(1)? - 1).ok();
                Kept::Refusal(error)
            }
            None => Kept::Answer(Answer {
                body: Bytes::from(body),
                revision: row.get(1)?,
                enveloped: None,
                rows: 0,
                is_repeated: true,
            }),
        };
        Ok((fingerprint, kept))
    };
    match statement.query_row([&idempotency.key], read).optional()? {
        Some((fingerprint, kept)) if fingerprint == idempotency.fingerprint => Ok(Some(kept)),
        Some(_) => Err(Error::conflict("This Idempotency-Key was already used with another request.")),
        None => Ok(None),
    }
}

pub fn keep(connection: &Connection, idempotency: &Idempotency, answer: &Answer, time_ms: i64) -> Result<()> {
    insert(connection, idempotency, time_ms, answer.revision, None, &answer.body)
}

pub fn keep_refusal(connection: &Connection, idempotency: &Idempotency, error: &Error, time_ms: i64) -> Result<()> {
    match error.code {
        Code::Invalid | Code::Conflict | Code::Forbidden | Code::NotFound | Code::TooLarge | Code::Unsupported => {
            let statement = error.statement.map_or(0, |statement| statement as i64 + 1);
            let mut body = error.message.replace(BETWEEN, " ");
            for part in [error.column(), error.pointer()].into_iter().flatten() {
                body.push(BETWEEN);
                body.push_str(part);
            }
            insert(connection, idempotency, time_ms, statement, Some(error.code.name()), body.as_bytes())
        }
        _ => Ok(()),
    }
}

fn insert(
    connection: &Connection,
    idempotency: &Idempotency,
    time_ms: i64,
    revision: i64,
    code: Option<&str>,
    body: &[u8],
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO _tide_answers (key, fingerprint, time, revision, code, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((&idempotency.key, &idempotency.fingerprint, time_ms, revision, code, body))?;
    Ok(())
}
