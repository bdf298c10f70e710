//! The list of statements that callers may run, when the server runs no others for them.
//!
//! A statement is known by its tokens: blanks, comments and the case of words do not matter, literals do. What is on the list
//! still meets every policy. Statements that a face has made by itself are not asked about.

use super::principal::{Caller, Principal};
use crate::clock;
use crate::error::{Error, Result};
use crate::live::query;
use crate::sqlite::Sqlite;
use crate::sqlite::gate::Mode;
use crate::sqlite::tokens::{Kind, tokens};
use crate::storage::execute;
use crate::storage::system::SystemStatement;
use crate::value::Value;
use rusqlite::Connection;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Statements that may be registered, and the bytes of one and of its name.
pub const STATEMENTS_MAX: usize = 10_000;
pub const STATEMENT_BYTES_MAX: usize = 16 << 10;
pub const NAME_BYTES_MAX: usize = 200;
/// Different statements that were refused and are remembered, and the bytes of one that are shown.
const REJECTED_MAX: usize = 1000;
const REJECTED_BYTES_MAX: usize = 4096;

/// Whose SQL is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    /// Whatever policies open.
    #[default]
    Any,
    /// Of callers only what is on the list.
    Registered,
}

/// One on the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Registered {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub sql: String,
    /// Milliseconds since 1970.
    pub made_at: i64,
}

/// One that was refused, in memory only.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rejected {
    /// As it was first sent; a long one is cut.
    pub sql: String,
    pub count: u64,
    pub first_at: i64,
    pub last_at: i64,
    /// Who sent it last.
    pub who: String,
}

#[derive(Debug, Default)]
pub struct Statements {
    allowed: Allowed,
    /// In their normal form.
    known: RwLock<HashSet<Box<str>>>,
    rejected: Mutex<HashMap<Box<str>, Rejected>>,
}

/// The same for all texts that are one statement.
pub fn normal(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    for token in tokens(sql) {
        if !text.is_empty() {
            text.push(' ');
        }
        match token.kind {
            Kind::Word => text.push_str(&token.text.to_ascii_lowercase()),
            _ => text.push_str(token.text),
        }
    }
    text
}

impl Registered {
    pub fn new(sql: &str, name: Option<String>) -> Self {
        // Of one statement the same, however it is written.
        let id = format!("stm_{:032x}", query::template_id(&normal(sql), None).0);
        Self { id, name, sql: sql.to_owned(), made_at: clock::now_ms() }
    }

    pub fn insertion(&self) -> SystemStatement {
        let name = self.name.as_ref().map_or(Value::Null, Value::text);
        SystemStatement {
            sql: "INSERT OR IGNORE INTO _tide_statements (id, name, sql, made_at) VALUES (?1, ?2, ?3, ?4)",
            values: vec![Value::text(&self.id), name, Value::text(&self.sql), Value::Integer(self.made_at)],
        }
    }

    pub fn removal(&self) -> SystemStatement {
        SystemStatement { sql: "DELETE FROM _tide_statements WHERE id = ?1", values: vec![Value::text(&self.id)] }
    }
}

/// Newest first.
pub fn list(connection: &Connection) -> Result<Vec<Registered>> {
    let mut statement =
        connection.prepare_cached("SELECT id, name, sql, made_at FROM _tide_statements ORDER BY made_at DESC, id")?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Registered { id: row.get(0)?, name: row.get(1)?, sql: row.get(2)?, made_at: row.get(3)? })
    };
    Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
}

/// What a file has on its list.
pub fn load(connection: &Connection, allowed: Allowed) -> Result<Statements> {
    Ok(Statements::new(allowed, list(connection)?.into_iter().map(|registered| registered.sql)))
}

/// The one statement, without what stands around it, if it is one that callers can run.
///
/// # Errors
/// `invalid`, or SQLite's own words.
pub fn check_form<'a>(sqlite: &mut Sqlite, sql: &'a str) -> Result<&'a str> {
    if sql.len() > STATEMENT_BYTES_MAX {
        return Err(Error::too_large(format!("A registered statement may have {STATEMENT_BYTES_MAX} bytes.")));
    }
    let [one] = execute::split(sql)?[..] else {
        return Err(Error::invalid("One statement at a time can be registered."));
    };
    let is_of_callers = tokens(one)
        .next()
        .is_some_and(|first| first.is_any(&["select", "values", "with", "insert", "update", "delete"]));
    if !is_of_callers {
        return Err(Error::invalid(
            "Callers can run SELECT, INSERT, UPDATE and DELETE; nothing else need be registered.",
        ));
    }
    let expanded = execute::expanded(sqlite, one, None)?;
    sqlite.prepare(&expanded, Mode::Caller)?;
    Ok(one)
}

impl Statements {
    pub fn new(allowed: Allowed, known: impl IntoIterator<Item = String>) -> Self {
        let known = known.into_iter().map(|sql| normal(&sql).into()).collect();
        Self { allowed, known: RwLock::new(known), rejected: Mutex::default() }
    }

    /// The list is another.
    pub fn replace(&self, known: Vec<Registered>) {
        let known = known.into_iter().map(|registered| normal(&registered.sql).into()).collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// May this text, of one statement or several, be run for who sends it?
    ///
    /// # Errors
    /// `forbidden` for a caller's that is not on the list, which is noted.
    pub fn check(&self, principal: &Principal, sql: &str) -> Result<()> {
        let Some(caller) = self.bound(principal) else { return Ok(()) };
        for part in execute::split(sql)? {
            let normal = normal(part);
            if !self.knows(&normal) {
                self.note_rejected(normal, part, caller.to_string());
                return Err(Error::forbidden(
                    "Only statements that the administrator has registered may be run here; this is none of them.",
                ));
            }
        }
        Ok(())
    }

    /// The same, of one who has not sent it now: nothing is noted.
    pub fn allows(&self, principal: &Principal, sql: &str) -> bool {
        let is_known = |part: &&str| self.knows(&normal(part));
        self.bound(principal).is_none() || execute::split(sql).is_ok_and(|parts| parts.iter().all(is_known))
    }

    /// Whoever may run nothing but what is on the list.
    fn bound<'a>(&self, principal: &'a Principal) -> Option<&'a Arc<Caller>> {
        principal.caller().filter(|_| self.allowed == Allowed::Registered)
    }

    fn knows(&self, normal: &str) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).contains(normal)
    }

    fn note_rejected(&self, normal: String, sql: &str, who: String) {
        let now = clock::now_ms();
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = rejected.get_mut(&*normal) {
            (known.count, known.last_at, known.who) = (known.count + 1, now, who);
            return;
        }
        if rejected.len() >= REJECTED_MAX
            && let Some(oldest) = rejected.iter().min_by_key(|(_, one)| one.last_at).map(|(normal, _)| normal.clone())
        {
            rejected.remove(&oldest);
        }
        // What is remembered of a long one is its beginning, so those that begin alike are one.
        let start = |text: &str| text[..text.floor_char_boundary(REJECTED_BYTES_MAX)].to_owned();
        let new = Rejected { sql: start(sql), count: 1, first_at: now, last_at: now, who };
        rejected.insert(start(&normal).into(), new);
    }

    /// Newest first.
    pub fn rejected(&self) -> Vec<Rejected> {
        let mut all: Vec<Rejected> =
            self.rejected.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by(|a, b| (b.last_at, b.count, &a.sql).cmp(&(a.last_at, a.count, &b.sql)));
        all
    }

    /// It is on the list from now on, and no longer among the refused.
    pub fn add(&self, sql: &str) {
        let normal = normal(sql);
        self.rejected.lock().unwrap_or_else(PoisonError::into_inner).remove(&*normal);
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(normal.into());
    }

    pub fn remove(&self, sql: &str) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&*normal(sql));
    }

    pub fn count(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_comments_and_case_do_not_matter_and_literals_do() {
        let same = "SELECT a, 'B' FROM t WHERE b >= ?1 -- why";
        for other in ["select A ,'B'\n\tfrom T where B>=?1", "/* x */ Select a,'B' From t Where b >= ?1"] {
            assert_eq!(normal(same), normal(other));
        }
        for other in [
            "SELECT a, 'b' FROM t WHERE b >= ?1",
            "SELECT a, 'B' FROM t WHERE b >= ?2",
            "SELECT a, \"B\" FROM t WHERE b >= ?1",
            "SELECT a, 'B' FROM t WHERE b >= 1",
            "SELECT a, 'B' FROM t WHERE b >= ?1 OR 1",
            "SELECT a'B' FROM t WHERE b >= ?1",
        ] {
            assert_ne!(normal(same), normal(other));
        }
        assert_ne!(normal("SELECT x '00'"), normal("SELECT x'00'"));
        assert_ne!(normal("SELECT 'a' 'b'"), normal("SELECT 'a''b'"));
        assert_ne!(normal("SELECT a - - 1"), normal("SELECT a -- 1"));
    }
}
