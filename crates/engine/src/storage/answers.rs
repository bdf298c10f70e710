//! Answers kept under the name that a client gave its write, so that it may send it again: after a timeout under an idempotency
//! key, after weeks if it is a mutation.
//!
//! Refusals that would be the same next time are kept too; those that time may mend (busy, full, timeout) are not. Of a
//! mutation a timeout is kept as well: tried again for ever, it would hold up all behind it.

use crate::error::{Code, Error, Result};
use crate::limits::Limits;
use crate::request::{Answer, Idempotency, WriteName};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// In a kept refusal, between its message, the column that it is about, and the pointer into what was written there. A
/// document that had changed stands behind two empty ones.
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
                error = match (parts.next(), parts.next(), parts.next()) {
                    (.., Some(document)) => error.of_document(document),
                    (Some(column), Some(pointer), None) => error.of_column(column).at_pointer(pointer),
                    (Some(column), None, None) => error.of_column(column),
                    (None, ..) => error,
                };
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

/// How many mutations are kept for each caller: counted when one first comes, and from then on kept in mind, for to count
/// them each time would take longer than what they do.
#[derive(Debug, Default)]
pub struct KeptMutations(HashMap<Box<str>, usize>);

impl KeptMutations {
    /// What a client knows of is not kept for it any longer, but for the last, which says how far it has come.
    pub fn forget_acknowledged(&mut self, connection: &Connection, name: &WriteName) -> Result<()> {
        if let WriteName::Mutation { client, line, .. } = name
            && line.acknowledged > 0
        {
            let forgotten = connection
                .prepare_cached("DELETE FROM _tide_mutations WHERE client = ?1 AND number < ?2")?
                .execute((&**client, line.acknowledged))?;
            if let Some(kept) = self.0.get_mut(whose(client)) {
                *kept = kept.saturating_sub(forgotten);
            }
        }
        Ok(())
    }

    /// # Errors
    /// `too_many` if no more of its caller's are kept.
    pub fn check_room(&mut self, connection: &Connection, name: &WriteName, most: usize) -> Result<()> {
        let WriteName::Mutation { client, .. } = name else { return Ok(()) };
        let whose = whose(client);
        if !self.0.contains_key(whose) {
            if self.0.len() >= CALLERS_MAX {
                self.0.clear();
            }
            let kept = "SELECT count(*) FROM _tide_mutations WHERE client >= ?1 || '/' AND client < ?1 || '0'";
            let kept: i64 = connection.prepare_cached(kept)?.query_row([whose], |row| row.get(0))?;
            self.0.insert(whose.into(), usize::try_from(kept).unwrap_or(usize::MAX));
        }
        if self.0.get(whose).is_some_and(|kept| *kept >= most) {
            return Err(Error::too_many(format!(
                "{most} mutations are kept for you of which no client has said that it knows what came of them \
                 (kept_mutations_max). Let your clients say \"acknowledged\", use one client_id for each place, and not a new \
                 one each time; or wait until the old ones are forgotten (kept_mutation_age_max)."
            )));
        }
        Ok(())
    }

    pub fn add(&mut self, name: &WriteName) {
        if let WriteName::Mutation { client, .. } = name {
            self.0.entry(whose(client).into()).and_modify(|kept| *kept += 1);
        }
    }

    /// They are counted anew: some are gone, or were not kept after all.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

/// Callers whose mutations are counted at once.
const CALLERS_MAX: usize = 10_000;

fn whose(client: &str) -> &str {
    client.split_once('/').map_or(client, |(whose, _)| whose)
}

/// Rows that one statement takes away, and how long all of them may hold up the writes that wait.
const PRUNED_AT_ONCE: u32 = 8192;
const PRUNE_TIME_MAX: Duration = Duration::from_millis(50);

/// Forgets what is too old. Tells whether any mutation was.
pub fn prune(connection: &Connection, limits: &Limits, time_ms: i64) -> Result<bool> {
    let since = |age: Duration| time_ms - i64::try_from(age.as_millis()).unwrap_or(i64::MAX / 2);
    // By the index of times. Of one time there are no more than one group has written.
    let answers = "DELETE FROM _tide_answers WHERE time <= \
                   (SELECT max(time) FROM (SELECT time FROM _tide_answers WHERE time < ?1 ORDER BY time LIMIT ?2))";
    let mutations = "DELETE FROM _tide_mutations WHERE time <= \
                     (SELECT max(time) FROM (SELECT time FROM _tide_mutations WHERE time < ?1 ORDER BY time LIMIT ?2))";
    let started = Instant::now();
    let forget = |sql: &str, since: i64| -> Result<bool> {
        let mut is_any = false;
        loop {
            let gone = connection.prepare_cached(sql)?.execute((since, PRUNED_AT_ONCE))?;
            is_any |= gone > 0;
            if gone < PRUNED_AT_ONCE as usize || started.elapsed() >= PRUNE_TIME_MAX {
                return Ok(is_any);
            }
        }
    };
    forget(answers, since(limits.kept_answer_age_max))?;
    forget(mutations, since(limits.kept_mutation_age_max))
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

/// Tells whether it is kept.
pub fn keep_refusal(connection: &Connection, idempotency: &Idempotency, error: &Error, time_ms: i64) -> Result<bool> {
    if !is_final(&idempotency.name, error.code) {
        return Ok(false);
    }
    let statement = error.statement.map_or(0, |statement| statement as i64 + 1);
    let mut body = error.message.replace(BETWEEN, " ");
    let parts = match &error.document {
        Some(document) => [Some(""), Some(""), Some(&**document)],
        None => [error.column(), error.pointer(), None],
    };
    for part in parts.into_iter().flatten() {
        body.push(BETWEEN);
        body.push_str(part);
    }
    insert(connection, idempotency, time_ms, statement, Some(error.code.name()), body.as_bytes())?;
    Ok(true)
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
