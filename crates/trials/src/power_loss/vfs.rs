//! The edge to SQLite in C: a VFS that opens files through the default unix one, hands every call on to it, and tells
//! [`Disk`] what was written, truncated, synced, created and deleted.
//!
//! Databases, WALs and rollback journals are wrapped; temporary files go to the unix VFS outright, since nothing looks
//! for them after a crash, and the shared memory of a WAL is the business of the unix VFS alone. A change and the note
//! of it happen under one lock, so a cut sees both or neither, in all files at once. Reads, locks and the waiting part
//! of a sync do not take it.
//!
//! Memory-mapped reading is off (io methods of version 2, `mmap_size` always 0), and so are chunked growth and every
//! promise of atomicity a device might make: the model knows none of them.

use super::disk::{Disk, FileId};
use super::model::Change;
use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};
use std::cell::Cell;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::{fs, io, ptr, slice};

static DISK: Mutex<Disk> = Mutex::new(Disk::new());

pub type Lock = &'static Mutex<Disk>;

fn disk() -> MutexGuard<'static, Disk> {
    DISK.lock().expect("a panic under this lock crosses into C and ends the process")
}

/// Registers the VFS, unless it is.
pub fn register(name: &'static CStr) -> Lock {
    let _one_at_a_time = disk();
    // SAFETY: the unix VFS exists on every platform this compiles for and lives as long as the process. The copy keeps
    // those of its methods that make no use of the VFS they are called on (all but xOpen, which is replaced), and is
    // leaked, since SQLite keeps the pointer.
    unsafe {
        if ffi::sqlite3_vfs_find(name.as_ptr()).is_null() {
            let unix = ffi::sqlite3_vfs_find(c"unix".as_ptr());
            assert!(!unix.is_null(), "SQLite was built without its unix VFS");
            let ours = Box::into_raw(Box::new(sqlite3_vfs {
                szOsFile: (*unix).szOsFile + size_of::<Wrapped>() as c_int,
                pNext: ptr::null_mut(),
                zName: name.as_ptr(),
                pAppData: unix.cast(),
                xOpen: Some(open),
                xDelete: Some(delete),
                ..*unix
            }));
            assert_eq!(ffi::sqlite3_vfs_register(ours, 0), ffi::SQLITE_OK, "the VFS registers");
        }
    }
    &DISK
}

/// An open file as SQLite sees it; the unix VFS's own file follows it in memory.
#[repr(C)]
struct Wrapped {
    base: sqlite3_file,
    id: FileId,
    /// The unix VFS syncs the directory along with the first sync of a journal it may have created.
    directory_sync_due: Cell<bool>,
}

/// The unix VFS's file behind ours.
///
/// # Safety
/// `file` was filled in by [`open`], or has the `szOsFile` bytes of our VFS.
unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: SQLite allocates szOsFile bytes, of which `Wrapped` takes the first and leaves the rest aligned.
    unsafe { file.cast::<Wrapped>().add(1).cast() }
}

/// Calls a method of the unix VFS's file behind ours.
macro_rules! on_real {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let real = real($file);
        let method = (*(*real).pMethods).$method.expect("the unix VFS has this method");
        method(real $(, $argument)*)
    }};
}

/// Methods that only pass on what they are given.
macro_rules! pass_on {
    ($($name:ident => $method:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        $(unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) $(-> $result)? {
            // SAFETY: SQLite calls this on a file `open` filled in; the rest is between it and the unix VFS.
            unsafe { on_real!(file, $method $(, $argument)*) }
        })*
    };
}

pass_on! {
    read => xRead(buffer: *mut c_void, count: c_int, at: sqlite3_int64) -> c_int;
    file_size => xFileSize(size: *mut sqlite3_int64) -> c_int;
    lock => xLock(level: c_int) -> c_int;
    unlock => xUnlock(level: c_int) -> c_int;
    check_reserved_lock => xCheckReservedLock(found: *mut c_int) -> c_int;
    sector_size => xSectorSize() -> c_int;
    shm_map => xShmMap(page: c_int, size: c_int, extend: c_int, mapped: *mut *mut c_void) -> c_int;
    shm_lock => xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier => xShmBarrier();
    shm_unmap => xShmUnmap(delete: c_int) -> c_int;
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

const JOURNALS: c_int = ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;
const WRAPPED: c_int = JOURNALS | ffi::SQLITE_OPEN_MAIN_DB;

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls this with our VFS, whose pAppData is the unix one, a NUL-terminated full path or null, and
    // szOsFile bytes of memory for the file. `name` itself is handed on, since more is stored behind its end.
    unsafe {
        let unix = (*vfs).pAppData.cast::<sqlite3_vfs>();
        let open_real = (*unix).xOpen.expect("the unix VFS opens files");
        if name.is_null() || flags & WRAPPED == 0 {
            return open_real(unix, name, file, flags, flags_out);
        }
        let path = path(name);
        let mut disk = disk();
        let before = fs::metadata(path).ok();
        let wrapped = file.cast::<Wrapped>();
        // No methods: SQLite does not close a file that failed to open.
        (*wrapped).base.pMethods = ptr::null();
        let result = open_real(unix, name, real(file), flags, flags_out);
        if result != ffi::SQLITE_OK {
            return result;
        }
        let Ok(id) = disk.opened(path, before, || contents(file)) else {
            on_real!(file, xClose);
            return ffi::SQLITE_CANTOPEN;
        };
        let creates_journal = flags & ffi::SQLITE_OPEN_CREATE != 0 && flags & JOURNALS != 0;
        wrapped.write(Wrapped {
            base: sqlite3_file { pMethods: &raw const METHODS },
            id,
            directory_sync_due: Cell::new(creates_journal),
        });
        ffi::SQLITE_OK
    }
}

/// # Safety
/// `name` is NUL-terminated and outlives the result.
unsafe fn path<'a>(name: *const c_char) -> &'a Path {
    // SAFETY: as the caller promises.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

/// All bytes of the open file, read through SQLite's own handle.
///
/// # Safety
/// The unix VFS's file behind `file` is open.
unsafe fn contents(file: *mut sqlite3_file) -> io::Result<Vec<u8>> {
    const READ_BYTES: usize = 1 << 20;
    let mut size = 0;
    // SAFETY: the file is open, `size` and the chunks are writable for as long as the calls last.
    unsafe {
        let mut result = on_real!(file, xFileSize, &raw mut size);
        let mut bytes = vec![0; size as usize];
        for (number, chunk) in bytes.chunks_mut(READ_BYTES).enumerate() {
            if result == ffi::SQLITE_OK {
                let at = (number * READ_BYTES) as sqlite3_int64;
                result = on_real!(file, xRead, chunk.as_mut_ptr().cast(), chunk.len() as c_int, at);
            }
        }
        if result == ffi::SQLITE_OK { Ok(bytes) } else { Err(io::Error::other(format!("SQLite error {result}"))) }
    }
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    // SAFETY: SQLite calls this with our VFS, whose pAppData is the unix one, and a NUL-terminated path.
    unsafe {
        let unix = (*vfs).pAppData.cast::<sqlite3_vfs>();
        let mut disk = disk();
        let result = (*unix).xDelete.expect("the unix VFS deletes files")(unix, name, sync_directory);
        if result == ffi::SQLITE_OK {
            disk.deleted(path(name), sync_directory & 1 != 0);
        }
        result
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite calls this once on a file `open` filled in; `Wrapped` holds nothing that needs dropping.
    unsafe {
        let result = on_real!(file, xClose);
        disk().closed((*file.cast::<Wrapped>()).id);
        result
    }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, buffer: *const c_void, count: c_int, at: sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls this on a file `open` filled in, with `count` readable bytes.
    unsafe {
        let mut disk = disk();
        let result = on_real!(file, xWrite, buffer, count, at);
        if result == ffi::SQLITE_OK {
            let bytes = slice::from_raw_parts(buffer.cast::<u8>(), count as usize);
            disk.changed((*file.cast::<Wrapped>()).id, Change::Write { at: at as u64, bytes: bytes.into() });
        }
        result
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls this on a file `open` filled in.
    unsafe {
        let mut disk = disk();
        let result = on_real!(file, xTruncate, length);
        if result == ffi::SQLITE_OK {
            disk.changed((*file.cast::<Wrapped>()).id, Change::Truncate(length as u64));
        }
        result
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite calls this on a file `open` filled in, one call at a time per file.
    unsafe {
        let wrapped = file.cast::<Wrapped>();
        let id = (*wrapped).id;
        let covered = disk().syncing(id);
        let result = on_real!(file, xSync, flags);
        if result == ffi::SQLITE_OK {
            disk().synced(id, covered, (*wrapped).directory_sync_due.replace(false));
        }
        result
    }
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    match operation {
        ffi::SQLITE_FCNTL_MMAP_SIZE => {
            // SAFETY: the argument of this operation is a pointer to a 64-bit integer.
            unsafe { argument.cast::<sqlite3_int64>().write(0) };
            ffi::SQLITE_OK
        }
        ffi::SQLITE_FCNTL_SIZE_HINT | ffi::SQLITE_FCNTL_CHUNK_SIZE => ffi::SQLITE_OK,
        // SAFETY: SQLite calls this on a file `open` filled in; the argument is between it and the unix VFS.
        _ => unsafe { on_real!(file, xFileControl, operation, argument) },
    }
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite calls this on a file `open` filled in.
    let real = unsafe { on_real!(file, xDeviceCharacteristics) };
    real & (ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ)
}
