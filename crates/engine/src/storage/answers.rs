//! Answers kept under the name that a client gave its write, so that it may send it again: after a timeout under an idempotency
//! key, after weeks if it is a mutation.
//!
//! Refusals that would be the same next time are kept too; those that time may mend (busy, full, timeout) are not. Of a
//! mutation a timeout is kept as well: tried again for ever, it would hold up all behind it.

use crate::error::{Code, Error, Result};
use crate::request::{Answer, Idempotency, WriteName};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};

/// In a kept refusal, between its message, the column that it is about, and the pointer into what was written there.
const BETWEEN: char = '\0';

/// Of the answer to a mutation. Those of row patches are shorter.
const MUTATION_BYTES_MAX: usize = 512;

pub enum Kept {
    Answer(Answer),
    Refusal(Error),
}

pub fn find(connection: &Connection, idempotency: &Idempotency) -> Result<Option<Kept>> {
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
    let found = match &idempotency.name {
        WriteName::Key(key) => connection
            .prepare_cached("SELECT fingerprint, revision, code, body FROM _tide_answers WHERE key = ?1")?
            .query_row([key], read),
        WriteName::Mutation { client, number, .. } => connection
            .prepare_cached(
                "SELECT fingerprint, revision, code, body FROM _tide_mutations WHERE client = ?1 AND number = ?2",
            )?
            .query_row((&**client, number), read),
    };
    match found.optional()? {
        Some((fingerprint, kept)) if fingerprint == idempotency.fingerprint => Ok(Some(kept)),
        Some(_) => Err(Error::conflict(match idempotency.name {
            WriteName::Key(_) => "This Idempotency-Key was already used with another request.",
            WriteName::Mutation { .. } => "This client has sent another mutation under this number.",
        })),
        None if is_long_done(connection, &idempotency.name)? => Err(Error::conflict(
            "This client has said that it knows what came of this mutation: what is kept of it is gone.",
        )),
        None => Ok(None),
    }
}

/// Has a later mutation of the client been carried out or refused? Then this one has, too: they come in their order.
fn is_long_done(connection: &Connection, name: &WriteName) -> Result<bool> {
    let WriteName::Mutation { client, number, .. } = name else { return Ok(false) };
    let later = "SELECT EXISTS (SELECT 1 FROM _tide_mutations WHERE client = ?1 AND number > ?2)";
    Ok(connection.prepare_cached(later)?.query_row((&**client, number), |row| row.get(0))?)
}

/// What a client knows of is not kept for it any longer, but for the last, which says how far it has come.
pub fn forget_acknowledged(connection: &Connection, name: &WriteName) -> Result<()> {
    if let WriteName::Mutation { client, line, .. } = name
        && line.acknowledged > 0
    {
        connection
            .prepare_cached("DELETE FROM _tide_mutations WHERE client = ?1 AND number < ?2")?
            .execute((&**client, line.acknowledged))?;
    }
    Ok(())
}

/// Would the same request be refused in the same way another time? Then, and only then, its refusal is kept.
pub fn is_final(name: &WriteName, code: Code) -> bool {
    match code {
        Code::Timeout | Code::Internal => matches!(name, WriteName::Mutation { .. }),
        code => !code.may_pass(),
    }
}

pub fn keep(connection: &Connection, idempotency: &Idempotency, answer: &Answer, time_ms: i64) -> Result<()> {
    // Of a mutation no more is told than whether there was a row, which is short.
    let is_told = matches!(idempotency.name, WriteName::Key(_)) || answer.body.len() <= MUTATION_BYTES_MAX;
    insert(connection, idempotency, time_ms, answer.revision, None, if is_told { &answer.body } else { b"" })
}

pub fn keep_refusal(connection: &Connection, idempotency: &Idempotency, error: &Error, time_ms: i64) -> Result<()> {
    if !is_final(&idempotency.name, error.code) {
        return Ok(());
    }
    let statement = error.statement.map_or(0, |statement| statement as i64 + 1);
    let mut body = error.message.replace(BETWEEN, " ");
    for part in [error.column(), error.pointer()].into_iter().flatten() {
        body.push(BETWEEN);
        body.push_str(part);
    }
    insert(connection, idempotency, time_ms, statement, Some(error.code.name()), body.as_bytes())
}

fn insert(
    connection: &Connection,
    Idempotency { name, fingerprint }: &Idempotency,
    time_ms: i64,
    revision: i64,
    code: Option<&str>,
    body: &[u8],
) -> Result<()> {
    match name {
        WriteName::Key(key) => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO _tide_answers (key, fingerprint, time, revision, code, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((key, fingerprint, time_ms, revision, code, body))?,
        WriteName::Mutation { client, number, .. } => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO _tide_mutations (client, number, fingerprint, time, revision, code, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((&**client, number, fingerprint, time_ms, revision, code, body))?,
    };
    Ok(())
}
