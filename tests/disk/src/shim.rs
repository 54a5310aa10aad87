//! SQLite's own file system with four functions of files, and one of folders, done through ours, which
//! do the same and note it.

use std::{
    collections::HashMap,
    ffi::{CStr, c_char, c_int, c_void},
    path::PathBuf,
    ptr,
    sync::{Mutex, Once, OnceLock, PoisonError},
};

use libsqlite3_sys::{
    SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE, SQLITE_OK, sqlite3_file, sqlite3_int64, sqlite3_io_methods,
    sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register,
};

use crate::trace::{self, Fault, Op};

/// SQLite's own functions of an open file, and the file.
#[derive(Clone)]
struct Tracked {
    own: Methods,
    path: PathBuf,
}

#[derive(Clone, Copy)]
struct Methods(&'static sqlite3_io_methods);

// SAFETY: SQLite's tables of functions are constants.
unsafe impl Send for Methods {}

/// Open files that are recorded, by their address.
static OPEN: Mutex<Option<HashMap<usize, Tracked>>> = Mutex::new(None);
/// SQLite's own file system.
static BELOW: OnceLock<usize> = OnceLock::new();
static INSTALL: Once = Once::new();

fn with_open<T>(act: impl FnOnce(&mut HashMap<usize, Tracked>) -> T) -> T {
    act(OPEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// Puts this in front of SQLite's own file system, once in a process. Files outside of the recorded folder
/// are SQLite's alone.
pub(crate) fn install() {
    INSTALL.call_once(|| {
        // SAFETY: the default file system is a constant of SQLite's; the copy lives for ever.
        let registered = unsafe {
            let below = sqlite3_vfs_find(ptr::null());
            BELOW.set(below as usize).expect("installed once");
            let mut own: sqlite3_vfs = ptr::read(below);
            own.zName = c"recording".as_ptr();
            own.pNext = ptr::null_mut();
            own.xOpen = Some(open);
            own.xDelete = Some(delete);
            sqlite3_vfs_register(Box::into_raw(Box::new(own)), 1)
        };
        assert_eq!(registered, SQLITE_OK, "SQLite takes no further file system");
    });
}

fn below() -> *mut sqlite3_vfs {
    *BELOW.get().expect("installed") as *mut sqlite3_vfs
}

/// A file's name as SQLite gives it.
unsafe fn path(name: *const c_char) -> Option<PathBuf> {
    // SAFETY: SQLite's names end with a zero, and live as long as the call.
    let name = if name.is_null() { return None } else { unsafe { CStr::from_ptr(name) } };
    name.to_str().ok().map(PathBuf::from).filter(|path| trace::is_recorded(path))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: everything is handed on as it came; `file` was filled in where the answer is SQLITE_OK.
    unsafe {
        let opened = (*below()).xOpen.expect("a file system opens")(below(), name, file, flags, out);
        if let (SQLITE_OK, Some(path)) = (opened, path(name)) {
            let own = Methods(&*(*file).pMethods);
            with_open(|open| open.insert(file as usize, Tracked { own, path }));
            let mut ours = *own.0;
            ours.xClose = Some(close);
            ours.xWrite = Some(write);
            ours.xTruncate = Some(truncate);
            ours.xSync = Some(sync);
            // A few files in a test's life: their tables are let live.
            (*file).pMethods = Box::leak(Box::new(ours));
        }
        opened
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: everything is handed on as it came.
    unsafe {
        let path = path(name);
        trace::while_done(path.map(|path| Op::Delete { path }), || {
            (*below()).xDelete.expect("a file system deletes")(below(), name, sync_folder)
        })
    }
}

fn tracked(file: *mut sqlite3_file) -> Tracked {
    with_open(|open| open.get(&(file as usize)).cloned()).expect("only recorded files come here")
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let Tracked { own, .. } = tracked(file);
    with_open(|open| open.remove(&(file as usize)));
    // SAFETY: the function that SQLite itself had put there, for the same file.
    unsafe { own.0.xClose.expect("files close")(file) }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    offset: sqlite3_int64,
) -> c_int {
    if trace::fails_at(Fault::Write) {
        return SQLITE_IOERR_WRITE;
    }
    let Tracked { own, path } = tracked(file);
    let length = usize::try_from(count).expect("no negative length");
    // SAFETY: SQLite gives `count` readable bytes.
    let data = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) }.to_vec();
    let offset_of = u64::try_from(offset).expect("no negative offset");
    trace::while_done(Some(Op::Write { path, offset: offset_of, data }), || {
        // SAFETY: the function that SQLite itself had put there, for the same file.
        unsafe { own.0.xWrite.expect("files are written")(file, bytes, count, offset) }
    })
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    let Tracked { own, path } = tracked(file);
    let length = u64::try_from(size).expect("no negative size");
    trace::while_done(Some(Op::Truncate { path, length }), || {
        // SAFETY: the function that SQLite itself had put there, for the same file.
        unsafe { own.0.xTruncate.expect("files are cut")(file, size) }
    })
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    if trace::fails_at(Fault::Sync) {
        return SQLITE_IOERR_FSYNC;
    }
    trace::hang();
    let Tracked { own, path } = tracked(file);
    trace::while_done(Some(Op::Sync { path }), || {
        // SAFETY: the function that SQLite itself had put there, for the same file.
        unsafe { own.0.xSync.expect("files are synced")(file, flags) }
    })
}
