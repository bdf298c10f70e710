//! Keys as a caller whom policies bind sees and writes them: by statements over `kv` that go the way of any SQL of that
//! caller. A key that is hidden is as one that is not there; what is refused is refused in the same words either way.

use super::{Entry, KeyWrite, Page, TABLE, check_name, check_size, is_json, missing, past, sum};
use crate::access::policy::Action;
use crate::access::{Access, Role};
use crate::changes::change::Revision;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::limits::Limits;
use crate::sqlite::{Sqlite, Statement};
use crate::storage::execute::{self, Place, Rights};
use crate::value::{Params, Value, ValueRef};
use std::ops::ControlFlow;

const READ: &str = "SELECT * FROM kv WHERE key = ?1";
const LIST: &str = "SELECT * FROM kv WHERE key >= ?1 AND key > ?2 AND (?3 IS NULL OR key < ?3) ORDER BY key";
const INSERT: &str = "INSERT INTO kv (key, value) VALUES (?1, ?2)";
const INSERT_EXPIRING: &str = "INSERT INTO kv (key, value, expires) VALUES (?1, ?2, ?3)";
const UPDATE: &str = "UPDATE kv SET value = ?2 WHERE key = ?1";
const UPDATE_EXPIRING: &str = "UPDATE kv SET value = ?2, expires = ?3 WHERE key = ?1";
const DELETE: &str = "DELETE FROM kv WHERE key = ?1";

/// What the writer may have to run for a caller: views for it are made before the transaction begins.
pub const STATEMENTS: [&str; 6] = [READ, INSERT, INSERT_EXPIRING, UPDATE, UPDATE_EXPIRING, DELETE];

/// Whose keys, and where. The connection speaks for the caller already, bounded in time.
pub struct Bound<'a> {
    pub sqlite: &'a mut Sqlite,
    pub access: &'a Access,
    pub role: Role,
    pub place: Place<'a>,
}

/// A key that the caller sees.
struct Seen {
    entry: Entry,
    expires: Option<i64>,
}

/// When a key that is written will be gone.
#[derive(Clone, Copy)]
enum Ends {
    AsBefore,
    Never,
    At(i64),
}

impl Bound<'_> {
    /// One key; `None` if it is not there, or hidden.
    ///
    /// # Errors
    /// `forbidden` if no policy shows any key to the role.
    pub fn get(&mut self, key: &str) -> Result<Option<Entry>> {
        if !self.sees_keys() {
            return Err(closed());
        }
        Ok(self.look(key)?.map(|seen| seen.entry))
    }

    /// One page of the keys that are seen, as [`super::list`].
    pub fn list(&mut self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        if !self.sees_keys() {
            return Err(closed());
        }
        let values = [
            Value::text(prefix),
            Value::text(after.unwrap_or_default()),
            past(prefix).map_or(Value::Null, Value::text),
        ];
        let mut page = Page::default();
        let mut bytes = 0;
        let listed = self.run(LIST, values.into(), &mut |row| {
            let Some(Seen { entry, .. }) = seen(row).filter(|seen| seen.entry.key.starts_with(prefix)) else {
                return ControlFlow::Continue(());
            };
            if !page.has_place(limit, bytes) {
                page.has_more = true;
                return ControlFlow::Break(());
            }
            bytes += entry.key.len() + entry.value.len();
            page.entries.push(entry);
            ControlFlow::Continue(())
        });
        match listed {
            Ok(_) => Ok(page),
            Err(error) if is_passing(&error) => Err(error),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Runs a write; the answer's JSON.
    ///
    /// # Errors
    /// `forbidden` in the same words for whatever policies refuse, and for a hidden key that is in the way.
    pub fn write(&mut self, write: &KeyWrite, limits: &Limits, revision: Revision) -> Result<Vec<u8>> {
        match write {
            KeyWrite::Set { key, value, ttl_ms, if_revision } => {
                check_size(key, value, limits)?;
                let known = self.look(key)?;
                check_revision(known.as_ref(), key, *if_revision)?;
                let has_end = known.as_ref().is_some_and(|seen| seen.expires.is_some());
                let ends = match ttl_ms {
                    Some(ttl) => Ends::At(clock::now_ms().saturating_add(*ttl)),
                    None if has_end => Ends::Never,
                    None => Ends::AsBefore,
                };
                self.put(key, value, known.is_some(), ends)?;
                Ok(told(key, value, revision))
            }
            KeyWrite::Increment { key, by } => {
                check_name(key, limits)?;
                let known = self.look(key)?;
                let value = known.as_ref().map_or("0", |seen| &seen.entry.value);
                let value = sum(key, value, by)?;
                check_size(key, &value, limits)?;
                self.put(key, &value, known.is_some(), Ends::AsBefore)?;
                Ok(told(key, &value, revision))
            }
            KeyWrite::Delete { key, if_revision } => {
                let known = self.look(key)?;
                check_revision(known.as_ref(), key, *if_revision)?;
                if known.is_none() {
                    return Err(missing(key));
                }
                let deleted = self.change(key, DELETE, vec![Value::text(key)])?;
                if deleted == 0 {
                    return Err(refused(key));
                }
                Ok(super::deleted(key, revision))
            }
            KeyWrite::Expire | KeyWrite::MakeTable => Err(closed()),
        }
    }

    fn put(&mut self, key: &str, value: &str, is_there: bool, ends: Ends) -> Result<()> {
        let mut values = vec![Value::text(key), Value::text(value)];
        // A column that need not be set need not be granted.
        let (insert, update) = match ends {
            Ends::AsBefore => (INSERT, UPDATE),
            Ends::Never | Ends::At(_) => (INSERT_EXPIRING, UPDATE_EXPIRING),
        };
        match ends {
            Ends::AsBefore => {}
            Ends::Never => values.push(Value::Null),
            Ends::At(time_ms) => values.push(Value::Integer(time_ms)),
        }
        let sql = if is_there { update } else { insert };
        if self.change(key, sql, values)? == 0 { Err(refused(key)) } else { Ok(()) }
    }

    /// How many rows were changed.
    fn change(&mut self, key: &str, sql: &str, values: Vec<Value>) -> Result<u64> {
        if self.place_of_keys().is_none() {
            return Err(refused(key));
        }
        self.run(sql, values, &mut |_| ControlFlow::Continue(())).map_err(|error| match error.code {
            Code::Forbidden | Code::Unsupported => refused(key),
            // The key is there and hidden: not to be told from one that may not be written.
            Code::Conflict if error.message.starts_with("UNIQUE constraint failed: kv.key") => refused(key),
            Code::Conflict if error.message.contains("json_valid") => super::no_json(),
            Code::Invalid => {
                tracing::warn!(%error, "a policy on keys failed: the write is refused");
                refused(key)
            }
            _ => error,
        })
    }

    /// The key, if the caller sees it. What a policy fails on is not seen.
    fn look(&mut self, key: &str) -> Result<Option<Seen>> {
        if !self.sees_keys() {
            return Ok(None);
        }
        let mut found = None;
        let looked = self.run(READ, vec![Value::text(key)], &mut |row| {
            found = seen(row);
            ControlFlow::Break(())
        });
        match looked {
            Ok(_) => Ok(found),
            Err(error) if is_passing(&error) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "a policy on keys failed: the key is hidden");
                Ok(None)
            }
        }
    }

    fn run(
        &mut self,
        sql: &str,
        values: Vec<Value>,
        row: &mut dyn FnMut(&Statement) -> ControlFlow<()>,
    ) -> Result<u64> {
        let rights = Rights { access: self.access, role: self.role };
        execute::run_rows(self.sqlite, sql, &Params::Positional(values), Some(rights), self.place, row)
    }

    fn place_of_keys(&self) -> Option<()> {
        super::is_ready(&self.access.schema).then_some(())
    }

    /// Does any policy show keys, and their values?
    fn sees_keys(&self) -> bool {
        let shows =
            |column| self.access.policies_for(TABLE, Action::Select, self.role).any(|policy| policy.grants(column));
        self.place_of_keys().is_some() && shows("key") && shows("value")
    }
}

/// No policy opens them; or there are none yet.
pub fn closed() -> Error {
    Error::forbidden("No keys are open to you.")
}

fn refused(key: &str) -> Error {
    Error::forbidden(format!("No policy lets you write the key {key:?} like this."))
}

fn failed(error: &Error) -> Error {
    tracing::warn!(%error, "a policy on keys failed: nothing is listed");
    closed()
}

/// Is it over later, and tells of no key?
fn is_passing(error: &Error) -> bool {
    matches!(error.code, Code::Timeout | Code::Unavailable | Code::TooLarge | Code::Internal)
}

fn told(key: &str, value: &str, revision: Revision) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + key.len() + 48);
    Entry { key: key.into(), value: value.into(), revision: Some(revision) }.write(&mut out);
    out
}

fn check_revision(known: Option<&Seen>, key: &str, wanted: Option<Revision>) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    match known {
        Some(Seen { entry: Entry { revision: None, .. }, .. }) => Err(Error::forbidden(
            "No policy shows you at which revision this key stands, so if_revision cannot be asked.",
        )),
        Some(Seen { entry: Entry { revision: Some(stands_at), .. }, .. }) => super::compare(key, *stands_at, wanted),
        None => super::compare(key, 0, wanted),
    }
}

/// The row as a key, by the names of the columns that are shown. One without JSON is none.
fn seen(row: &Statement) -> Option<Seen> {
    let column = |name: &str| {
        let index = (0..row.column_count()).find(|&index| row.column_name(index).eq_ignore_ascii_case(name))?;
        Some(row.column(index))
    };
    let text = |name: &str| match column(name)? {
        ValueRef::Text(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    };
    let number = |name: &str| match column(name)? {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    };
    let entry = Entry { key: text("key")?, value: text("value")?, revision: number("revision") };
    is_json(entry.value.as_bytes()).then(|| Seen { entry, expires: number("expires") })
}
