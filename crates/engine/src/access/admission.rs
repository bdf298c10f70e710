//! Which rows a caller's statement was admitted to, and which it then touched.
//!
//! [`super::translate`] gives every UPDATE and DELETE a condition that asks the policies and, for each row they let pass,
//! calls a function of ours; the capture compares that with the rows that really change. A row that changes without having
//! been admitted (by REPLACE, by a conflict, by a gap in the translation) ends the request.

use crate::sqlite::schema::Table;
use crate::value::Value;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The function's name; no caller can say it.
pub const FUNCTION: &str = "_tide_admit";

/// The rows of one statement's target, by the bytes of their keys.
#[derive(Debug, Default)]
pub struct Admissions(Mutex<HashSet<Box<[u8]>>>);

/// Keys in a form in which equal ones are equal.
pub fn name<'a>(key: impl Iterator<Item = rusqlite::types::ValueRef<'a>>) -> Box<[u8]> {
    let mut bytes = Vec::new();
    for value in key {
        use rusqlite::types::ValueRef as V;
        let mut write = |tag: u8, content: &[u8]| {
            bytes.push(tag);
            bytes.extend((content.len() as u64).to_le_bytes());
            bytes.extend(content);
        };
        match value {
            V::Null => write(0, &[]),
            V::Integer(value) => write(1, &value.to_le_bytes()),
            // A REAL column stores whole numbers as integers; to a unique key they are one.
            V::Real(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => write(1, &(value as i64).to_le_bytes()),
            V::Real(value) => write(2, &value.to_bits().to_le_bytes()),
            V::Text(text) => write(3, text),
            V::Blob(blob) => write(4, blob),
        }
    }
    bytes.into()
}

impl Admissions {
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub fn holds(&self, key: &[u8]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// Makes the function, of the key's columns, always true. Not to be used by anything in the schema.
    pub fn register(self: &Arc<Self>, connection: &Connection) -> rusqlite::Result<()> {
        let admissions = Arc::clone(self);
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
        connection.create_scalar_function(FUNCTION, -1, flags, move |arguments| {
            let key = name((0..arguments.len()).map(|index| arguments.get_raw(index)));
            admissions.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
            Ok(true)
        })
    }
}

/// A row that a statement changed by itself, not by a trigger or a cascade.
#[derive(Debug)]
pub struct Touched {
    pub table: Arc<Table>,
    pub change: Change,
}

#[derive(Debug)]
pub enum Change {
    /// A new row under this key.
    Made(Box<[Value]>),
    /// The row, now under this key, was another before; was it admitted?
    Changed {
        key: Box<[Value]>,
        is_admitted: bool,
    },
    Gone {
        is_admitted: bool,
    },
}
