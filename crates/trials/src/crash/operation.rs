//! What the writers ask for: one request each, what it does to the writer's state, and what is sent.

use super::state::{Entry, State, digest, key_name};
use super::violation;
use crate::random::Random;
use anyhow::Result;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

/// Past it a writer removes more than it adds, so that pages are freed and used again.
const ENTRIES_MAX: usize = 36;
const KEYS: usize = 3;

#[derive(Clone)]
pub enum Operation {
    /// New entries. Several come in a transaction that counts as well.
    Insert {
        first: i64,
        bodies: Vec<Arc<str>>,
    },
    Rewrite {
        id: i64,
        body: Arc<str>,
    },
    Remove {
        ids: Vec<i64>,
    },
    /// Adds to the counter and to the total of all: done twice, it shows.
    Count,
    SetKey {
        key: usize,
    },
    RemoveKey {
        key: usize,
    },
    /// A message to a topic that keeps it.
    Say,
    /// A new entry, and then one whose id is taken: must be refused as a whole.
    Refused {
        new: i64,
        taken: i64,
        ends_transaction: bool,
    },
}

/// One request of one writer.
#[derive(Clone, Debug)]
pub struct Planned {
    pub writer: usize,
    /// Its number among the writer's requests; never used again.
    pub seq: i64,
    pub operation: Operation,
    /// It is sent with an Idempotency-Key.
    pub is_keyed: bool,
    /// The writer's head once it is done.
    pub head: i64,
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Request {
    Sql { statements: Vec<(String, Vec<Value>)>, is_transaction: bool },
    SetKey { name: String, value: String },
    RemoveKey { name: String },
    Say { data: String },
}

/// How it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub is_refused: bool,
    pub revision: Option<i64>,
    /// It is the answer of an earlier request with the same Idempotency-Key.
    pub is_repeated: bool,
}

impl Planned {
    /// The next request of a writer whose requests so far will have led to `state`.
    pub fn draw(random: &mut Random, writer: usize, seq: i64, next_id: &mut i64, state: &State) -> Self {
        let operation = operation(random, writer, seq, next_id, state);
        let is_keyed = !matches!(operation, Operation::Say) && random.percent(40);
        let head = state.head + i64::from(operation.changes_rows());
        Self { writer, seq, operation, is_keyed, head }
    }

    pub fn key(&self) -> Option<String> {
        self.is_keyed.then(|| format!("writer {} request {}", self.writer, self.seq))
    }

    pub fn apply(&self, state: &mut State) {
        state.head += i64::from(self.operation.changes_rows());
        match &self.operation {
            Operation::Insert { first, bodies } => {
                for (part, body) in (0..).zip(bodies) {
                    let entry =
                        Entry { seq: self.seq, part, version: 0, length: body.len() as i64, digest: digest(body) };
                    state.entries.insert(first + part, entry);
                }
                state.counter += i64::from(bodies.len() > 1);
            }
            Operation::Rewrite { id, body } => {
                let entry = state.entries.entry(*id).or_default();
                entry.version += 1;
                (entry.length, entry.digest) = (body.len() as i64, digest(body));
            }
            Operation::Remove { ids } => state.entries.retain(|id, _| !ids.contains(id)),
            Operation::Count => state.counter += 1,
            Operation::SetKey { key } => {
                state.keys.insert(*key, self.seq);
            }
            Operation::RemoveKey { key } => {
                state.keys.remove(key);
            }
            Operation::Say => {
                state.messages.insert(self.seq);
            }
            Operation::Refused { .. } => {}
        }
    }

    /// Is it the answer that the request deserves?
    pub fn expects(&self, outcome: Outcome) -> Result<()> {
        if self.operation.is_refused() != outcome.is_refused {
            let what = if outcome.is_refused { "refused" } else { "done" };
            return Err(violation!("{self:?} was {what}"));
        }
        if self.operation.changes_rows() && outcome.revision.is_none() {
            return Err(violation!("{self:?} was answered without a revision"));
        }
        Ok(())
    }

    pub fn request(&self) -> Request {
        let writer = self.writer;
        let mark = || json!({ "writer": writer, "seq": self.seq }).to_string();
        let transaction = |statements| Request::Sql { statements, is_transaction: true };
        let alone = |statement| Request::Sql { statements: vec![statement], is_transaction: false };
        let head = || ("UPDATE heads SET head = head + 1 WHERE writer = ?".to_owned(), vec![json!(writer)]);
        let count = || {
            let own = ("UPDATE heads SET counter = counter + 1 WHERE writer = ?".to_owned(), vec![json!(writer)]);
            [own, ("UPDATE totals SET value = value + 1".to_owned(), vec![])]
        };
        match &self.operation {
            Operation::Insert { first, bodies } if bodies.len() == 1 => {
                alone(self.entry("INSERT", *first, 0, &bodies[0]))
            }
            Operation::Insert { first, bodies } => {
                let entries = (0..).zip(bodies).map(|(part, body)| self.entry("INSERT", first + part, part, body));
                transaction(entries.chain(count()).collect())
            }
            // Several statements in one text, the values written out.
            Operation::Rewrite { id, body } => alone((
                format!(
                    "UPDATE entries SET body = '{body}', version = version + 1 WHERE id = {id}; \
                     UPDATE heads SET head = head + 1 WHERE writer = {writer}"
                ),
                vec![],
            )),
            Operation::Remove { ids } => {
                let remove = |id: &i64| ("DELETE FROM entries WHERE id = ?".to_owned(), vec![json!(id)]);
                transaction(ids.iter().map(remove).chain([head()]).collect())
            }
            Operation::Count => transaction([head()].into_iter().chain(count()).collect()),
            Operation::SetKey { key } => Request::SetKey { name: key_name(writer, *key), value: mark() },
            Operation::RemoveKey { key } => Request::RemoveKey { name: key_name(writer, *key) },
            Operation::Say => Request::Say { data: mark() },
            Operation::Refused { new, taken, ends_transaction } => {
                let insert = if *ends_transaction { "INSERT OR ROLLBACK" } else { "INSERT" };
                let new = self.entry("INSERT", *new, 0, "refused");
                transaction(
                    [new].into_iter().chain(count()).chain([self.entry(insert, *taken, 1, "refused")]).collect(),
                )
            }
        }
    }

    fn entry(&self, insert: &str, id: i64, part: i64, body: &str) -> (String, Vec<Value>) {
        let sql = format!("{insert} INTO entries (id, writer, seq, part, body) VALUES (?, ?, ?, ?, ?)");
        (sql, vec![json!(id), json!(self.writer), json!(self.seq), json!(part), json!(body)])
    }
}

impl fmt::Debug for Operation {
    /// Bodies by their length: they say nothing that the numbers do not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insert { first, bodies } => {
                let lengths: Vec<usize> = bodies.iter().map(|body| body.len()).collect();
                write!(f, "Insert from {first}, bytes {lengths:?}")
            }
            Self::Rewrite { id, body } => write!(f, "Rewrite {id}, bytes {}", body.len()),
            Self::Remove { ids } => write!(f, "Remove {ids:?}"),
            Self::Count => write!(f, "Count"),
            Self::SetKey { key } => write!(f, "SetKey {key}"),
            Self::RemoveKey { key } => write!(f, "RemoveKey {key}"),
            Self::Say => write!(f, "Say"),
            Self::Refused { new, taken, ends_transaction } => {
                let how = if *ends_transaction { " or rollback" } else { "" };
                write!(f, "Refused: insert {new}, then{how} {taken}, which is there")
            }
        }
    }
}

impl Operation {
    /// All but these change a row, and so have a revision of their own.
    pub fn changes_rows(&self) -> bool {
        !matches!(self, Self::Say | Self::Refused { .. })
    }

    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

fn operation(random: &mut Random, writer: usize, seq: i64, next_id: &mut i64, state: &State) -> Operation {
    let mut new_ids = |count: usize| {
        *next_id += count as i64;
        writer as i64 * 1_000_000_000 + *next_id - count as i64
    };
    let ids: Vec<i64> = state.entries.keys().copied().collect();
    if ids.len() > ENTRIES_MAX {
        return Operation::Remove { ids: random.some_of(&ids) };
    }
    match random.weighted(&[34, 14, 12, 16, 10, 3, 7, 4]) {
        1 if !ids.is_empty() => Operation::Rewrite { id: *random.pick(&ids), body: body(random, writer, seq, 0) },
        2 if !ids.is_empty() => Operation::Remove { ids: ids.into_iter().filter(|_| random.percent(15)).collect() },
        3 => Operation::Count,
        4 => Operation::SetKey { key: random.below(KEYS) },
        5 if !state.keys.is_empty() => {
            Operation::RemoveKey { key: *random.pick(&state.keys.keys().copied().collect::<Vec<_>>()) }
        }
        6 => Operation::Say,
        7 if !ids.is_empty() => {
            Operation::Refused { new: new_ids(1), taken: *random.pick(&ids), ends_transaction: random.percent(40) }
        }
        _ => {
            let count = if random.percent(50) { 1 } else { random.between(2, 6) };
            let bodies = (0..count).map(|part| body(random, writer, seq, part)).collect();
            Operation::Insert { first: new_ids(count), bodies }
        }
    }
}

/// Mostly short; now and then more than a page holds.
fn body(random: &mut Random, writer: usize, seq: i64, part: usize) -> Arc<str> {
    let length = match random.below(20) {
        0 => 9000,
        1..4 => 1500,
        _ => 40 + random.below(300),
    };
    let mark = format!("writer {writer} request {seq} part {part} of {}; ", random.below(1_000_000));
    mark.repeat(length / mark.len() + 1).into()
}
