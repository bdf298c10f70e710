//! The audit log, `_tide_audit`: sign-ins, tokens, policies and changes of the schema, with who did it.
//!
//! An entry about something that is written stands in the transaction of what it tells: either both are there or neither.

use super::mask::{Numbers, masked};
use crate::error::Result;
use crate::request::SqlRequest;
use crate::sqlite::tokens::{Class, class, statements};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::borrow::Cow;

pub const TABLE: &str = "_tide_audit";

/// Bytes of who it was, and of the detail.
const WHO_BYTES_MAX: usize = 300;
const DETAIL_BYTES_MAX: usize = 40 << 10;
/// Of one statement that changes the schema, and how many of them are told.
const STATEMENT_BYTES_MAX: usize = 1000;
const STATEMENTS_MAX: usize = 5;

/// One thing that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// `admin`, a token's or a user's id; of somebody who was not let in, what is known.
    pub who: String,
    /// In a few words: `token made`, `policy kept`, `schema changed`, `signed in`.
    pub what: Cow<'static, str>,
    /// An object. Never a token, a password, or a value of a row.
    pub detail: Json,
}

impl AuditEntry {
    pub fn new(who: impl Into<String>, what: impl Into<Cow<'static, str>>, detail: Json) -> Self {
        Self { who: who.into(), what: what.into(), detail }
    }

    /// The statements of a request that change the schema, without the texts that stand in them.
    pub fn of_schema(request: &SqlRequest) -> Self {
        let texts = request.statements.iter().map(|statement| statement.sql.as_str());
        let parts = texts.flat_map(|sql| statements(sql).into_iter().map(move |range| &sql[range]));
        let all: Vec<&str> = parts.filter(|part| class(part) == Class::Schema).collect();
        let told: Vec<String> = all
            .iter()
            .take(STATEMENTS_MAX)
            .map(|sql| masked(sql, Numbers::Shown, STATEMENT_BYTES_MAX, &|_| true))
            .collect();
        let mut detail = json!({ "sql": told });
        if all.len() > STATEMENTS_MAX {
            detail["further"] = (all.len() - STATEMENTS_MAX).into();
        }
        Self::new(request.who(), "schema changed", detail)
    }
}

/// Writes it within the open transaction.
pub fn write(connection: &Connection, entry: &AuditEntry, time_ms: i64) -> Result<()> {
    let mut detail = entry.detail.to_string();
    if detail.len() > DETAIL_BYTES_MAX {
        detail = json!({ "too_long": detail.len() }).to_string();
    }
    connection
        .prepare_cached("INSERT INTO _tide_audit (time, who, what, detail) VALUES (?1, ?2, ?3, ?4)")?
        .execute((time_ms, start(&entry.who, WHO_BYTES_MAX), &*entry.what, detail))?;
    Ok(())
}

/// The first bytes of a text that are whole characters.
pub(super) fn start(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
