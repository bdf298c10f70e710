//! What a face asks of the engine, and what it gets.

use crate::access::Principal;
use crate::changes::change::Revision;
use crate::value::Params;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// One statement, or several separated by semicolons (whose last result counts), with its parameters.
#[derive(Clone, Debug)]
pub struct Sql {
    pub sql: String,
    pub params: Params,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `[{column: value, …}, …]`; of two columns with one name the last counts.
    Objects,
    /// `{"columns": […], "rows": [[…], …], "meta": {…}}`.
    Raw,
}

/// Who has written the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Whoever asks. Where only registered statements are run, a caller's must be one.
    #[default]
    Sent,
    /// A face, for whoever asks: it is bound by policies alone.
    Face,
}

/// A request for SQL to be run, all of it in one transaction.
#[derive(Clone, Debug)]
pub struct SqlRequest {
    pub statements: Vec<Sql>,
    /// The answer is an array with a result per statement, and an error names the statement.
    pub is_transaction: bool,
    pub format: Format,
    pub idempotency: Option<Idempotency>,
    /// Who asks.
    pub principal: Principal,
    pub origin: Origin,
    /// Of the administrator's tokens the one that asks, for the logs.
    pub who: Option<Arc<str>>,
}

impl SqlRequest {
    /// One of the administrator's.
    pub fn query(sql: impl Into<String>, params: Params) -> Self {
        let statements = vec![Sql { sql: sql.into(), params }];
        Self {
            statements,
            is_transaction: false,
            format: Format::Objects,
            idempotency: None,
            principal: Principal::Admin,
            origin: Origin::Sent,
            who: None,
        }
    }

    /// For the logs.
    pub fn who(&self) -> String {
        match (&self.who, self.principal.caller()) {
            (Some(who), _) => who.to_string(),
            (None, Some(caller)) => caller.to_string(),
            (None, None) => "admin".into(),
        }
    }
}

/// A client's own name for a write, so that it may send it again: the first answer is kept and repeated.
#[derive(Clone, Debug)]
pub struct Idempotency {
    pub name: WriteName,
    /// A hash of the request: the same name with another request is a mistake.
    pub fingerprint: Vec<u8>,
}

impl Idempotency {
    pub const KEY_BYTES_MAX: usize = 255;
}

#[derive(Clone, Debug)]
pub enum WriteName {
    /// At most [`Idempotency::KEY_BYTES_MAX`] bytes; the face prefixes what separates callers. Answers are kept for a day.
    Key(String),
    /// One of a client that writes while it is away, and sends it again until it hears what came of it, be it weeks later.
    /// `client` begins with whose it is, and a slash.
    Mutation { client: Box<str>, number: i64, line: Arc<Line> },
}

/// Mutations that were sent together. They are carried out in their order: behind one that fails for now none is tried.
#[derive(Debug)]
pub struct Line {
    /// The client knows what came of all up to this one: it need not be kept any longer.
    pub acknowledged: i64,
    /// The first of those that failed for now.
    broken_at: AtomicI64,
}

impl Line {
    pub fn new(acknowledged: i64) -> Arc<Self> {
        Arc::new(Self { acknowledged, broken_at: AtomicI64::new(i64::MAX) })
    }

    /// Those before the break are not held up, though they may be tried again with the group that they were in.
    pub fn is_broken_before(&self, number: i64) -> bool {
        self.broken_at.load(Ordering::Acquire) < number
    }

    pub fn break_at(&self, number: i64) {
        self.broken_at.fetch_min(number, Ordering::AcqRel);
    }
}

/// What stands before a result in its envelope; behind it a brace.
pub const ENVELOPE: &[u8] = b"{\"result\":";

/// A finished request: the JSON of `result`, and its revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub body: Bytes,
    /// The body within `{"result":…}`, where it was written that way at once: a large result is not copied again.
    pub enveloped: Option<Bytes>,
    /// A write's own revision; for a read, one that is surely included.
    pub revision: Revision,
    /// Of its results, and those it changed.
    pub rows: u64,
    /// The answer is that of an earlier request with the same idempotency key.
    pub is_repeated: bool,
}
