//! SQLite's preupdate hook, by our own declarations.
//!
//! rusqlite's feature of that name turns on bindgen and so wants libclang at build time. The functions are in the
//! library all the same (`-DSQLITE_ENABLE_PREUPDATE_HOOK` in `.cargo/config.toml`). Never use the session extension on
//! a connection with this hook: it takes the hook's context for its own and crashes.

use super::statement::borrow;
use crate::value::ValueRef;
use rusqlite::{Connection, ffi};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Callback = unsafe extern "C" fn(*mut c_void, *mut ffi::sqlite3, c_int, *const c_char, *const c_char, i64, i64);

unsafe extern "C" {
    fn sqlite3_preupdate_hook(db: *mut ffi::sqlite3, callback: Option<Callback>, context: *mut c_void) -> *mut c_void;
    fn sqlite3_preupdate_depth(db: *mut ffi::sqlite3) -> c_int;
    fn sqlite3_preupdate_count(db: *mut ffi::sqlite3) -> c_int;
    fn sqlite3_preupdate_old(db: *mut ffi::sqlite3, column: c_int, value: *mut *mut ffi::sqlite3_value) -> c_int;
    fn sqlite3_preupdate_new(db: *mut ffi::sqlite3, column: c_int, value: *mut *mut ffi::sqlite3_value) -> c_int;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Insert,
    Update,
    Delete,
}

/// One row about to be changed. Lives only inside the hook.
pub struct Touch<'a> {
    pub operation: Operation,
    pub table: &'a str,
    /// Meaningless for a WITHOUT ROWID table.
    pub rowid_before: i64,
    pub rowid_after: i64,
    db: *mut ffi::sqlite3,
    lives: PhantomData<&'a ()>,
}

impl Touch<'_> {
    /// Is it the statement itself that changes the row, and not a trigger or a cascade?
    pub fn is_direct(&self) -> bool {
        // SAFETY: `db` is the connection whose hook is running.
        unsafe { sqlite3_preupdate_depth(self.db) == 0 }
    }

    /// How many columns the row has as stored, virtual generated ones among them or not as SQLite sees fit.
    pub fn columns(&self) -> usize {
        // SAFETY: `db` is the connection whose hook is running.
        usize::try_from(unsafe { sqlite3_preupdate_count(self.db) }).unwrap_or(0)
    }

    /// The value before the change; `None` for an insert or a virtual generated column.
    pub fn value_before(&self, column: usize) -> Option<ValueRef<'_>> {
        if self.operation == Operation::Insert {
            return None;
        }
        self.value(column, sqlite3_preupdate_old)
    }

    /// The value after the change; `None` for a delete or a virtual generated column.
    pub fn value_after(&self, column: usize) -> Option<ValueRef<'_>> {
        if self.operation == Operation::Delete {
            return None;
        }
        self.value(column, sqlite3_preupdate_new)
    }

    fn value(
        &self,
        column: usize,
        read: unsafe extern "C" fn(*mut ffi::sqlite3, c_int, *mut *mut ffi::sqlite3_value) -> c_int,
    ) -> Option<ValueRef<'_>> {
        let mut value = std::ptr::null_mut();
        // SAFETY: we are inside the hook of `db`; SQLite owns the value until the hook returns, as does our borrow.
        unsafe {
            if read(self.db, column as c_int, &raw mut value) != ffi::SQLITE_OK || value.is_null() {
                return None;
            }
            Some(borrow(value))
        }
    }
}

type Observer = Box<dyn FnMut(&Touch<'_>)>;

/// Keeps the observer alive; dropping it takes the hook away. Must be dropped before the connection is.
pub struct Hook {
    db: *mut ffi::sqlite3,
    observer: *mut Observer,
}

/// Calls `observer` for every row this connection is about to change, undone work included.
pub fn observe(connection: &Connection, observer: impl FnMut(&Touch<'_>) + 'static) -> Hook {
    let observer: *mut Observer = Box::into_raw(Box::new(Box::new(observer)));
    // SAFETY: the handle is open, and `Hook` unregisters before it frees the observer.
    unsafe {
        let db = connection.handle();
        sqlite3_preupdate_hook(db, Some(call), observer.cast());
        Hook { db, observer }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // SAFETY: registered by `observe`, not yet freed, and the connection is still open by the type's contract.
        unsafe {
            sqlite3_preupdate_hook(self.db, None, std::ptr::null_mut());
            drop(Box::from_raw(self.observer));
        }
    }
}

unsafe extern "C" fn call(
    observer: *mut c_void,
    db: *mut ffi::sqlite3,
    operation: c_int,
    _database: *const c_char,
    table: *const c_char,
    rowid_before: i64,
    rowid_after: i64,
) {
    // SAFETY: SQLite passes the context registered by `observe` and a NUL-terminated table name.
    let (observer, table) = unsafe { (&mut *observer.cast::<Observer>(), CStr::from_ptr(table)) };
    let operation = match operation {
        ffi::SQLITE_INSERT => Operation::Insert,
        ffi::SQLITE_DELETE => Operation::Delete,
        _ => Operation::Update,
    };
    let table = table.to_str().unwrap_or_default();
    let touch = Touch { operation, table, rowid_before, rowid_after, db, lives: PhantomData };
    // A panic must not unwind through SQLite's C frames; the writer finds the capture broken and says so.
    if catch_unwind(AssertUnwindSafe(|| observer(&touch))).is_err() {
        tracing::error!(table, "the change capture panicked");
    }
}
