//! One prepared statement, straight on SQLite's C interface.
//!
//! rusqlite's own statement borrows its connection, cannot be kept in a cache beside it, and its cache cannot tell our
//! statements from a caller's of the same text. The lifetime here is kept by [`super::Sqlite`], the only maker.

use super::gate::Gate;
use crate::error::{self, Code, Error, Result};
use crate::value::{Params, Value, ValueRef};
use rusqlite::ffi;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;

/// Finalised when dropped. Only the thread that holds the connection may use it.
#[derive(Debug)]
pub struct Statement {
    raw: NonNull<ffi::sqlite3_stmt>,
    db: *mut ffi::sqlite3,
}

// SAFETY: the connection is opened with SQLITE_OPEN_NO_MUTEX and moves between threads as a whole, statements with it.
unsafe impl Send for Statement {}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: prepared by us, finalised once; the connection is still open (see `Sqlite`'s field order).
        unsafe { ffi::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

impl Statement {
    /// Compiles the first statement of `sql`; `None` if there is only white space.
    ///
    /// # Safety
    /// The statement must be dropped before the connection of `db` is closed.
    pub(super) unsafe fn prepare(db: *mut ffi::sqlite3, sql: &str, gate: &Gate) -> Result<Option<Self>> {
        let length = c_int::try_from(sql.len()).map_err(|_| Error::too_large("The SQL text is too long."))?;
        let mut raw = std::ptr::null_mut();
        gate.take_refusal();
        // SAFETY: `sql` is valid for `length` bytes and SQLite copies what it needs.
        let code = unsafe {
            let text: *const c_char = sql.as_ptr().cast();
            ffi::sqlite3_prepare_v3(
                db,
                text,
                length,
                ffi::SQLITE_PREPARE_PERSISTENT as _,
                &raw mut raw,
                std::ptr::null_mut(),
            )
        };
        if code != ffi::SQLITE_OK {
            if let Some(reason) = gate.take_refusal() {
                return Err(Error::forbidden(reason));
            }
            // SAFETY: `db` is open.
            return Err(unsafe { failure(db) });
        }
        Ok(NonNull::new(raw).map(|raw| Self { raw, db }))
    }

    /// The highest number of a parameter.
    pub fn parameter_count(&self) -> usize {
        // SAFETY: the statement is valid.
        usize::try_from(unsafe { ffi::sqlite3_bind_parameter_count(self.raw.as_ptr()) }).unwrap_or(0)
    }

    /// Binds all parameters; too few, too many or unknown names are the caller's error.
    pub fn bind(&mut self, params: &Params) -> Result<()> {
        let wanted = self.parameter_count();
        match params {
            Params::None if wanted == 0 => Ok(()),
            Params::None => Err(wrong_count(wanted, 0)),
            Params::Positional(values) => {
                if values.len() != wanted {
                    return Err(wrong_count(wanted, values.len()));
                }
                (1..).zip(values).try_for_each(|(index, value)| self.bind_at(index, value))
            }
            Params::Named(values) => self.bind_names(wanted, values),
        }
    }

    /// The same, and these values for the last parameters.
    pub fn bind_more(&mut self, params: &Params, more: &[Value]) -> Result<()> {
        let own = self.parameter_count().saturating_sub(more.len());
        match params {
            Params::None => {}
            Params::Positional(values) => {
                (1..).zip(values).try_for_each(|(index, value)| self.bind_at(index, value))?;
            }
            Params::Named(values) => self.bind_names(own, values)?,
        }
        (own as c_int + 1..).zip(more).try_for_each(|(index, value)| self.bind_at(index, value))
    }

    fn bind_names(&mut self, wanted: usize, values: &[(String, Value)]) -> Result<()> {
        let mut used = vec![false; values.len()];
        for index in 1..=wanted as c_int {
            // SAFETY: `index` is a parameter of this statement; the name lives as long as the statement.
            let name = unsafe {
                let name = ffi::sqlite3_bind_parameter_name(self.raw.as_ptr(), index);
                (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
            };
            let name = name.unwrap_or_else(|| format!("?{index}"));
            let found = values.iter().rposition(|(given, _)| *given == name || *given == name[1..]);
            let Some(found) = found else {
                return Err(Error::invalid(format!("The parameter {name} of the SQL has no value in \"params\".")));
            };
            used[found] = true;
            self.bind_at(index, &values[found].1)?;
        }
        match used.iter().position(|used| !used) {
            Some(unused) => Err(Error::invalid(format!(
                "\"params\" has a value for {:?}, which the SQL does not mention.",
                values[unused].0
            ))),
            None => Ok(()),
        }
    }

    fn bind_at(&mut self, index: c_int, value: &Value) -> Result<()> {
        let raw = self.raw.as_ptr();
        // SAFETY: the statement is valid; SQLITE_TRANSIENT makes SQLite copy text and blobs before the call returns.
        let code = unsafe {
            match value {
                Value::Null => ffi::sqlite3_bind_null(raw, index),
                Value::Integer(value) => ffi::sqlite3_bind_int64(raw, index, *value),
                Value::Real(value) => ffi::sqlite3_bind_double(raw, index, *value),
                Value::Text(bytes) => ffi::sqlite3_bind_text64(
                    raw,
                    index,
                    bytes.as_ptr().cast(),
                    bytes.len() as u64,
                    ffi::SQLITE_TRANSIENT(),
                    ffi::SQLITE_UTF8 as u8,
                ),
                Value::Blob(bytes) if bytes.is_empty() => ffi::sqlite3_bind_zeroblob(raw, index, 0),
                Value::Blob(bytes) => ffi::sqlite3_bind_blob64(
                    raw,
                    index,
                    bytes.as_ptr().cast(),
                    bytes.len() as u64,
                    ffi::SQLITE_TRANSIENT(),
                ),
            }
        };
        // SAFETY: `db` is open.
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(unsafe { failure(self.db) }) }
    }

    /// Moves to the next row; false at the end.
    pub fn step(&mut self) -> Result<bool> {
        // SAFETY: the statement is valid and used by one thread at a time.
        match unsafe { ffi::sqlite3_step(self.raw.as_ptr()) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            // SAFETY: `db` is open.
            _ => Err(unsafe { failure(self.db) }),
        }
    }

    /// Ends the run, lets go of the parameters and of the read lock.
    pub fn reset(&mut self) {
        // SAFETY: the statement is valid; the codes repeat what `step` has told.
        unsafe {
            ffi::sqlite3_reset(self.raw.as_ptr());
            ffi::sqlite3_clear_bindings(self.raw.as_ptr());
        }
    }

    /// True if it changes nothing in the file. BEGIN and ATTACH also say true: the gate refuses those.
    pub fn is_readonly(&self) -> bool {
        // SAFETY: the statement is valid.
        unsafe { ffi::sqlite3_stmt_readonly(self.raw.as_ptr()) != 0 }
    }

    pub fn is_explain(&self) -> bool {
        // SAFETY: the statement is valid.
        unsafe { ffi::sqlite3_stmt_isexplain(self.raw.as_ptr()) != 0 }
    }

    pub fn column_count(&self) -> usize {
        // SAFETY: the statement is valid.
        usize::try_from(unsafe { ffi::sqlite3_column_count(self.raw.as_ptr()) }).unwrap_or(0)
    }

    pub fn column_name(&self, column: usize) -> String {
        // SAFETY: SQLite answers null for a column out of range; the string is copied at once.
        unsafe { text(ffi::sqlite3_column_name(self.raw.as_ptr(), column as c_int)) }.unwrap_or_default()
    }

    /// The table and column a result column comes from, if it is one and not an expression; through views and
    /// sub-queries. Names as declared.
    pub fn column_origin(&self, column: usize) -> Option<(String, String)> {
        let column = column as c_int;
        // SAFETY: as in `column_name`.
        unsafe {
            let table = text(ffi::sqlite3_column_table_name(self.raw.as_ptr(), column))?;
            let origin = text(ffi::sqlite3_column_origin_name(self.raw.as_ptr(), column))?;
            Some((table, origin))
        }
    }

    /// A value of the current row, valid until the next step.
    pub fn column(&self, column: usize) -> ValueRef<'_> {
        // SAFETY: out of range gives NULL; the value lives until the next step, which needs `&mut self`. On a connection
        // without a mutex of its own every value counts as protected.
        unsafe { borrow(ffi::sqlite3_column_value(self.raw.as_ptr(), column as c_int)) }
    }
}

/// Reads a value by its own type, so that nothing is converted.
///
/// # Safety
/// `value` must be a live protected `sqlite3_value` that is not changed while the result is used.
pub(super) unsafe fn borrow<'a>(value: *mut ffi::sqlite3_value) -> ValueRef<'a> {
    // SAFETY: as the caller promises; the accessor for the value's own type converts nothing.
    unsafe {
        let bytes = |pointer: *const u8, length: c_int| {
            if pointer.is_null() { &[][..] } else { std::slice::from_raw_parts(pointer, length as usize) }
        };
        match ffi::sqlite3_value_type(value) {
            ffi::SQLITE_INTEGER => ValueRef::Integer(ffi::sqlite3_value_int64(value)),
            ffi::SQLITE_FLOAT => ValueRef::Real(ffi::sqlite3_value_double(value)),
            ffi::SQLITE_TEXT => {
                let text = ffi::sqlite3_value_text(value);
                ValueRef::Text(bytes(text, ffi::sqlite3_value_bytes(value)))
            }
            ffi::SQLITE_BLOB => {
                let blob = ffi::sqlite3_value_blob(value).cast();
                ValueRef::Blob(bytes(blob, ffi::sqlite3_value_bytes(value)))
            }
            _ => ValueRef::Null,
        }
    }
}

fn wrong_count(wanted: usize, given: usize) -> Error {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    Error::invalid(format!(
        "The SQL has {wanted} parameter{}, \"params\" has {given} value{}.",
        plural(wanted),
        plural(given)
    ))
}

/// # Safety
/// `pointer` must be null or a NUL-terminated string.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: as the caller promises.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

/// The connection's last failure, for the author of the SQL: SQLite's own words where the mistake is theirs.
///
/// # Safety
/// `db` must be open.
unsafe fn failure(db: *mut ffi::sqlite3) -> Error {
    // SAFETY: as the caller promises; the message is copied at once.
    let (extended, message) =
        unsafe { (ffi::sqlite3_extended_errcode(db), text(ffi::sqlite3_errmsg(db)).unwrap_or_default()) };
    let source = || rusqlite::Error::SqliteFailure(ffi::Error::new(extended), Some(message.clone()));
    match extended & 0xff {
        ffi::SQLITE_CONSTRAINT => {
            // SAFETY: as the caller promises.
            let column = unsafe { refused_columns(db, extended, &message) };
            let error = Error::conflict(message);
            match column {
                Some(column) => error.of_column(column),
                None => error,
            }
        }
        ffi::SQLITE_INTERRUPT => Error::timeout("The statement took longer than it may."),
        ffi::SQLITE_TOOBIG => Error::too_large(message),
        ffi::SQLITE_NOMEM => Error::unavailable(error::NO_MEMORY).caused_by(source()),
        ffi::SQLITE_FULL => Error::unavailable(error::DISK_FULL).caused_by(source()),
        ffi::SQLITE_IOERR => Error::unavailable(error::DISK_FAILED).caused_by(source()),
        ffi::SQLITE_READONLY => Error::unavailable(error::READ_ONLY).caused_by(source()),
        ffi::SQLITE_CANTOPEN => Error::unavailable(error::CANNOT_OPEN).caused_by(source()),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => Error::unavailable(error::LOCKED_BY_ANOTHER).caused_by(source()),
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => Error::new(
            Code::Unavailable,
            format!(
                "The database file is damaged ({message}). `tidebase doctor` says whether REINDEX mends it or a backup \
                 must be restored."
            ),
        )
        .caused_by(source()),
        ffi::SQLITE_AUTH => Error::forbidden(message),
        ffi::SQLITE_INTERNAL | ffi::SQLITE_MISUSE => Error::internal(message.clone()).caused_by(source()),
        _ => Error::invalid(message),
    }
}

/// The columns that SQLite's words about a constraint name: `… failed: t.a, t.b` or `… column t.a`.
///
/// # Safety
/// `db` must be open.
unsafe fn refused_columns(db: *mut ffi::sqlite3, extended: c_int, message: &str) -> Option<String> {
    let named = match extended {
        ffi::SQLITE_CONSTRAINT_NOTNULL
        | ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => message.split_once("failed: ")?.1,
        ffi::SQLITE_CONSTRAINT_DATATYPE => message.split_once(" column ")?.1,
        _ => return None,
    };
    // Names may have points in them: the right one is where both halves are of the schema.
    let column = |name: &str| {
        name.match_indices('.').find_map(|(point, _)| {
            let (table, column) = (CString::new(&name[..point]).ok()?, CString::new(&name[point + 1..]).ok()?);
            let nothing = std::ptr::null_mut::<c_int>;
            // SAFETY: `db` is open as the caller promises, the names live through the call, and null asks for nothing back.
            let code = unsafe {
                ffi::sqlite3_table_column_metadata(
                    db,
                    c"main".as_ptr(),
                    table.as_ptr(),
                    column.as_ptr(),
                    nothing().cast(),
                    nothing().cast(),
                    nothing().cast(),
                    nothing().cast(),
                    nothing().cast(),
                )
            };
            (code == ffi::SQLITE_OK).then(|| name[point + 1..].to_owned())
        })
    };
    let columns: Option<Vec<String>> = named.split(", ").map(column).collect();
    columns.map(|columns| columns.join(","))
}
