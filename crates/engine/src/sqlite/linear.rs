//! SQLite's `instr`, `replace`, `trim`, `ltrim`, `rtrim` and `unhex` of two arguments, in time that grows as what they are given.
//!
//! SQLite's own compare each place of the one with all of the other, within a single step that no budget interrupts: `instr` of
//! 2 MB in 4 MB held the writer for 99 s. These give the same for all values, errors included, so indexes and generated columns
//! that were written with the others stay valid. [`search`] and [`trim`] say what they do; here is the edge. Functions that cannot
//! be made linear are not open to callers (`access/functions`).

mod search;
mod trim;

use rusqlite::{Connection, ffi};
use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use trim::Ends;

struct Function {
    name: &'static CStr,
    arguments: c_int,
    run: fn(&Call<'_>) -> Outcome,
}

static FUNCTIONS: [Function; 6] = [
    Function { name: c"instr", arguments: 2, run: instr },
    Function { name: c"replace", arguments: 3, run: replace },
    Function { name: c"trim", arguments: 2, run: |call| trim(call, Ends::Both) },
    Function { name: c"ltrim", arguments: 2, run: |call| trim(call, Ends::Left) },
    Function { name: c"rtrim", arguments: 2, run: |call| trim(call, Ends::Right) },
    Function { name: c"unhex", arguments: 2, run: unhex },
];

/// Why there is no result; `None` if there is one, NULL where none was set.
type Outcome = Option<Failure>;

enum Failure {
    TooBig,
    NoMemory,
}

/// From now on the connection's statements call ours.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    // As SQLite's own: an index may be of them, and a schema that is not trusted may call them.
    let flags = ffi::SQLITE_UTF8 | ffi::SQLITE_DETERMINISTIC | ffi::SQLITE_INNOCUOUS;
    for function in &FUNCTIONS {
        let itself: *const Function = function;
        // SAFETY: the connection is open; the name and the function's entry are static, and `call` only reads the entry.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                connection.handle(),
                function.name.as_ptr(),
                function.arguments,
                flags,
                itself.cast_mut().cast(),
                Some(call),
                None,
                None,
                None,
            )
        };
        if code != ffi::SQLITE_OK {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        }
    }
    Ok(())
}

fn instr(call: &Call<'_>) -> Outcome {
    let kinds = [call.kind(0), call.kind(1)];
    if kinds.contains(&ffi::SQLITE_NULL) {
        return None;
    }
    if call.length(1) == 0 {
        return call.answer_integer(1);
    }
    let blobs = kinds.iter().filter(|kind| **kind == ffi::SQLITE_BLOB).count();
    let found = match blobs {
        2 => Some(search::byte(call.blob(0), call.blob(1))),
        0 => call.text(0).zip(call.text(1)).map(|(text, part)| search::character(text, part)),
        // Read as a text, a BLOB is one from then on, for whoever reads the register next: so copies are read.
        _ => match (Copied::of(call, 0), Copied::of(call, 1)) {
            (Some(text), Some(part)) => text.text().zip(part.text()).map(|(text, part)| search::character(text, part)),
            _ => None,
        },
    };
    match found {
        Some(place) => call.answer_integer(place),
        None => Some(Failure::NoMemory),
    }
}

fn replace(call: &Call<'_>) -> Outcome {
    let (text, part) = (call.text(0)?, call.text(1)?);
    if part.first().is_none_or(|first| *first == 0) {
        return call.answer_text(text);
    }
    let by = call.text(2)?;
    // SQLite's own wants a byte more than the text has.
    if text.len() >= call.bytes_max {
        return Some(Failure::TooBig);
    }
    match search::replaced(text, part, by, call.bytes_max) {
        Some(replaced) => call.answer_text(&replaced),
        None => Some(Failure::TooBig),
    }
}

fn trim(call: &Call<'_>, ends: Ends) -> Outcome {
    if call.kind(0) == ffi::SQLITE_NULL {
        return None;
    }
    let (text, set) = (call.text(0)?, call.text(1)?);
    match trim::Set::of(set, call.bytes_max) {
        Some(set) => call.answer_text(set.trim(text, ends)),
        None => Some(Failure::TooBig),
    }
}

fn unhex(call: &Call<'_>) -> Outcome {
    let (text, between) = (call.text(0), call.text(1));
    call.answer_blob(&search::unhex(text?, between?)?)
}

/// One call by SQLite: what it gave, and where the result goes.
struct Call<'a> {
    context: *mut ffi::sqlite3_context,
    values: &'a [*mut ffi::sqlite3_value],
    /// Bytes that a value may have.
    bytes_max: usize,
}

impl<'a> Call<'a> {
    fn kind(&self, argument: usize) -> c_int {
        // SAFETY: SQLite's values live while it calls.
        unsafe { ffi::sqlite3_value_type(self.values[argument]) }
    }

    /// Bytes, of a number those of its text.
    fn length(&self, argument: usize) -> usize {
        // SAFETY: as in `kind`.
        usize::try_from(unsafe { ffi::sqlite3_value_bytes(self.values[argument]) }).unwrap_or(0)
    }

    /// As SQLite writes the value; `None` for NULL, or without memory.
    fn text(&self, argument: usize) -> Option<&'a [u8]> {
        // SAFETY: as in `kind`; each argument is a value of its own, so reading one does not move another.
        unsafe { text(self.values[argument]) }
    }

    fn blob(&self, argument: usize) -> &'a [u8] {
        // SAFETY: as in `text`; an empty BLOB may have no address.
        unsafe {
            let blob: *const u8 = ffi::sqlite3_value_blob(self.values[argument]).cast();
            if blob.is_null() { &[] } else { std::slice::from_raw_parts(blob, self.length(argument)) }
        }
    }

    fn answer_integer(&self, value: usize) -> Outcome {
        // SAFETY: the context is SQLite's, for this call. No value is long enough for a place past 31 bits.
        unsafe { ffi::sqlite3_result_int64(self.context, value as i64) };
        None
    }

    fn answer_text(&self, bytes: &[u8]) -> Outcome {
        // SAFETY: as above; SQLite copies the bytes, and says itself what is too big.
        unsafe {
            ffi::sqlite3_result_text(
                self.context,
                bytes.as_ptr().cast(),
                bytes.len() as c_int,
                ffi::SQLITE_TRANSIENT(),
            );
        }
        None
    }

    fn answer_blob(&self, bytes: &[u8]) -> Outcome {
        // SAFETY: as above.
        unsafe {
            ffi::sqlite3_result_blob(
                self.context,
                bytes.as_ptr().cast(),
                bytes.len() as c_int,
                ffi::SQLITE_TRANSIENT(),
            );
        }
        None
    }
}

/// A copy of an argument, let go when dropped.
struct Copied<'a> {
    value: NonNull<ffi::sqlite3_value>,
    lives: PhantomData<&'a ()>,
}

impl Copied<'_> {
    fn of(call: &Call<'_>, argument: usize) -> Option<Self> {
        // SAFETY: the value lives while SQLite calls; the copy is ours.
        let value = NonNull::new(unsafe { ffi::sqlite3_value_dup(call.values[argument]) })?;
        Some(Self { value, lives: PhantomData })
    }

    fn text(&self) -> Option<&[u8]> {
        // SAFETY: the copy lives as long as what is given.
        unsafe { text(self.value.as_ptr()) }
    }
}

impl Drop for Copied<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `sqlite3_value_dup`, freed once.
        unsafe { ffi::sqlite3_value_free(self.value.as_ptr()) };
    }
}

/// # Safety
/// The value must live, and be read as nothing else, while the result is used.
unsafe fn text<'a>(value: *mut ffi::sqlite3_value) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises; the length is asked for after the text, when it is that of the text.
    unsafe {
        let text = ffi::sqlite3_value_text(value);
        let length = usize::try_from(ffi::sqlite3_value_bytes(value)).unwrap_or(0);
        (!text.is_null()).then(|| std::slice::from_raw_parts(text, length))
    }
}

unsafe extern "C" fn call(context: *mut ffi::sqlite3_context, count: c_int, values: *mut *mut ffi::sqlite3_value) {
    // SAFETY: SQLite passes what `register` gave, `count` values (as many as the entry says) and a context for the result.
    let (function, call) = unsafe {
        let function: *const c_void = ffi::sqlite3_user_data(context);
        let bytes_max = ffi::sqlite3_limit(ffi::sqlite3_context_db_handle(context), ffi::SQLITE_LIMIT_LENGTH, -1);
        let values = std::slice::from_raw_parts(values.cast_const(), usize::try_from(count).unwrap_or(0));
        (&*function.cast::<Function>(), Call { context, values, bytes_max: usize::try_from(bytes_max).unwrap_or(0) })
    };
    // A panic must not unwind through SQLite's C frames.
    let outcome = catch_unwind(AssertUnwindSafe(|| (function.run)(&call)));
    // SAFETY: as above.
    unsafe {
        match outcome {
            Ok(None) => {}
            Ok(Some(Failure::TooBig)) => ffi::sqlite3_result_error_toobig(context),
            Ok(Some(Failure::NoMemory)) => ffi::sqlite3_result_error_nomem(context),
            Err(_) => ffi::sqlite3_result_error_code(context, ffi::SQLITE_INTERNAL),
        }
    }
}

#[cfg(test)]
mod tests;
