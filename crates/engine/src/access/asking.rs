//! `auth_uid()`, `auth_role()` and `auth_claim(path)`: what a statement may know of who asks.
//!
//! Each connection has a cell with the principal it speaks for. It is set before every run; a compiled statement serves
//! whoever stands in it. Another has the answers of many callers, for our own statements that ask for all of them at once.

use super::principal::Caller;
use crate::sqlite::tokens::{Token, tokens};
use crate::value::Value;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ToSqlOutput;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Who a connection speaks for now; nobody is the administrator.
#[derive(Debug, Default)]
pub struct Asking {
    caller: Mutex<Option<Arc<Caller>>>,
    answers: Mutex<Vec<Arc<[Value]>>>,
}

impl Asking {
    pub fn set(&self, caller: Option<Arc<Caller>>) {
        *self.caller.lock().unwrap_or_else(PoisonError::into_inner) = caller;
    }

    pub fn caller(&self) -> Option<Arc<Caller>> {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What many callers answer, for `_tide_answer(caller, question)`.
    pub fn set_answers(&self, answers: Vec<Arc<[Value]>>) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers;
    }

    fn answer(&self, caller: usize, question: usize) -> Value {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(caller).and_then(|its| its.get(question)).cloned().unwrap_or_default()
    }

    /// Makes the functions of a connection. They have no effect and are the same for the whole of a run, so indexes are
    /// used for them, and views and defaults of the schema may ask them.
    pub fn register(self: &Arc<Self>, connection: &Connection) -> rusqlite::Result<()> {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
        let asking = Arc::clone(self);
        connection.create_scalar_function("auth_uid", 0, flags, move |_| {
            Ok(asking.caller().and_then(|caller| caller.uid.clone()))
        })?;
        let asking = Arc::clone(self);
        connection.create_scalar_function("auth_role", 0, flags, move |_| {
            Ok(asking.caller().map_or("admin", |caller| caller.role.name()))
        })?;
        let asking = Arc::clone(self);
        connection.create_scalar_function("_tide_answer", 2, flags, move |arguments| {
            let (caller, question): (u32, u32) = (arguments.get(0)?, arguments.get(1)?);
            Ok(ToSqlOutput::Owned(asking.answer(caller as usize, question as usize).as_ref().try_into()?))
        })?;
        let asking = Arc::clone(self);
        connection.create_scalar_function("auth_claim", 1, flags, move |arguments| {
            // What is no text names no claim. It is no error, for that would tell of a row.
            let path = arguments.get_raw(0).as_str().ok().map(str::to_owned);
            let caller = asking.caller();
            let claim = caller.as_ref().zip(path).and_then(|(caller, path)| caller.claim(&path));
            let value = claim.map_or(Value::Null, value);
            Ok(ToSqlOutput::Owned(value.as_ref().try_into()?))
        })
    }
}

/// JSON's plain values as SQL's; arrays and objects as their JSON text.
pub fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Integer((*value).into()),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::Real(number.as_f64().unwrap_or_default()), Value::Integer)
        }
        Json::String(text) => Value::text(text),
        Json::Array(_) | Json::Object(_) => Value::text(json.to_string()),
    }
}

/// `auth.uid()` as SQLite writes it: `auth_uid()`.
pub fn spoken_functions(sql: &str) -> Cow<'_, str> {
    if !["auth", "AUTH", "Auth"].iter().any(|word| sql.contains(word)) {
        return Cow::Borrowed(sql);
    }
    let text: Vec<Token<'_>> = tokens(sql).collect();
    let mut spoken = String::with_capacity(sql.len());
    let mut copied = 0;
    for four in text.windows(4) {
        let is_call = four[0].is("auth")
            && four[1].is_punctuation(b'.')
            && ["uid", "role", "claim"].iter().any(|name| four[2].is(name))
            && four[3].is_punctuation(b'(');
        if is_call {
            spoken.push_str(&sql[copied..four[0].at]);
            spoken.push_str("auth_");
            copied = four[2].at;
        }
    }
    spoken.push_str(&sql[copied..]);
    Cow::Owned(spoken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_auth_are_written_as_sqlite_calls_them() {
        for (sql, expected) in [
            ("owner = auth.uid()", "owner = auth_uid()"),
            ("AUTH . Claim ('a.b')", "auth_Claim ('a.b')"),
            ("'auth.uid()' = auth.role ( )", "'auth.uid()' = auth_role ( )"),
            ("auth.other()", "auth.other()"),
            ("auth.uid", "auth.uid"),
        ] {
            assert_eq!(spoken_functions(sql), expected);
        }
    }
}
