//! Catches a statement that looks at the clock, whatever way it takes there.
//!
//! The authorizer names the function (`datetime`), not its arguments: `datetime(?1)` is a pure function until someone
//! binds `'now'`. But SQLite itself asks its VFS for the time, so a VFS that is the default one in everything but
//! the clock can say exactly whether a statement read it. Live queries are evaluated on such connections.

use rusqlite::ffi;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_int};
use std::sync::OnceLock;

thread_local! {
    static LOOKED: Cell<bool> = const { Cell::new(false) };
}

/// Did SQLite ask for the time on this thread since the last call of this function?
pub fn was_read() -> bool {
    LOOKED.take()
}

static BASE: OnceLock<unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *mut ffi::sqlite3_int64) -> c_int> = OnceLock::new();

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, time: *mut ffi::sqlite3_int64) -> c_int {
    LOOKED.set(true);
    match BASE.get() {
        // SAFETY: the arguments are SQLite's own, passed on to the function this one stands for.
        Some(base) => unsafe { base(vfs, time) },
        None => ffi::SQLITE_ERROR,
    }
}

/// Registers the VFS once per process and gives its name.
///
/// # Panics
/// If SQLite has no default VFS with a clock, which no supported build lacks.
pub fn vfs() -> &'static CStr {
    static NAME: OnceLock<CString> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = CString::new("tidebase-clock").expect("a literal without NUL");
        // SAFETY: `sqlite3_vfs_find(NULL)` gives the default VFS, valid for the life of the process. The copy shares its
        // methods and `pAppData`, which is all they use of it; it is leaked, as SQLite keeps the pointer for ever.
        unsafe {
            let default = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!default.is_null(), "SQLite has a default VFS");
            let mut copy = Box::new(*default);
            BASE.get_or_init(|| copy.xCurrentTimeInt64.expect("VFS version 2 has a clock"));
            copy.xCurrentTimeInt64 = Some(current_time);
            copy.zName = name.as_ptr();
            copy.pNext = std::ptr::null_mut();
            let code = ffi::sqlite3_vfs_register(Box::into_raw(copy), 0);
            assert_eq!(code, ffi::SQLITE_OK, "a VFS can be registered");
        }
        name
    })
}
