//! SQLSTATEs that are not in Postgres's own list, as a user's function raises them (`RAISE … USING ERRCODE = 'RG001'`).
//!
//! pgrx knows the codes of that list only, and makes XX000 of every other one that passes through Rust. Postgres calls the functions
//! on its stack of error contexts while an error is raised: there the code is read, and put in the place of pgrx's.

use pgrx::pg_sys::panic::CaughtError;
use pgrx::{PgSqlErrorCode, pg_sys};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicI32, Ordering};

unsafe extern "C-unwind" {
    fn errcode(sqlstate: c_int) -> c_int;
}

/// The first two characters of a SQLSTATE, six bits each.
const CLASS_MASK: i32 = 0xfff;

/// Notices (00), warnings (01), and where there are no data (02).
const SUCCESS_CLASSES: [i32; 3] = [0, 1 << 6, 2 << 6];

/// A number that is no SQLSTATE, of which pgrx makes XX000.
const UNLISTED: i32 = i32::MAX;

/// The code of the error that Rust is about to raise; 0 for none.
static NEXT: AtomicI32 = AtomicI32::new(0);

/// On the stack of error contexts from the moment at which the error is on its way until Postgres raises it.
static mut REPLACER: pg_sys::ErrorContextCallback = pg_sys::ErrorContextCallback {
    previous: std::ptr::null_mut(),
    callback: Some(replace),
    arg: std::ptr::null_mut(),
};

/// The packed code, if Postgres's list does not have it.
pub(crate) fn unlisted(sqlstate: i32) -> Option<i32> {
    (PgSqlErrorCode::from(sqlstate) as i32 != sqlstate).then_some(sqlstate)
}

/// Runs `work`, and gives its errors that Postgres raises their own code when Rust raises them again.
pub(crate) fn keep_sqlstate<T>(work: impl FnOnce() -> T) -> T {
    let sqlstate = Cell::new(0);
    let done = {
        let _recorder = SqlstateRecorder::start(&sqlstate);
        catch_unwind(AssertUnwindSafe(work))
    };
    done.unwrap_or_else(|payload| {
        if let Some(CaughtError::PostgresError(_)) = payload.downcast_ref::<CaughtError>() {
            unlisted(sqlstate.get()).into_iter().for_each(give_next);
        }
        resume_unwind(payload)
    })
}

/// Gives the error that is raised next, on the way to which nothing but unwinding happens, this code instead of XX000.
pub(crate) fn give_next(sqlstate: i32) {
    NEXT.store(sqlstate, Ordering::Relaxed);
    // SAFETY: both are variables of this process. The structure is on the stack once: code that catches an error restores the stack.
    unsafe {
        let replacer = &raw mut REPLACER;
        if pg_sys::error_context_stack != replacer {
            (*replacer).previous = pg_sys::error_context_stack;
            pg_sys::error_context_stack = replacer;
        }
    }
}

/// The code that an error was given which has been caught before Postgres raised it.
pub(crate) fn take_next() -> Option<i32> {
    Some(NEXT.swap(0, Ordering::Relaxed)).filter(|sqlstate| *sqlstate != 0)
}

/// Called while the error is raised.
unsafe extern "C-unwind" fn replace(_argument: *mut c_void) {
    let Some(sqlstate) = take_next() else { return };
    let internal_error = PgSqlErrorCode::from(UNLISTED) as i32;
    // SAFETY: an error is in progress.
    unsafe {
        if pg_sys::geterrcode() == internal_error {
            errcode(sqlstate);
        }
    }
}

/// Records the SQLSTATE of each error when it is raised.
pub(crate) struct SqlstateRecorder<'a> {
    /// Linked into Postgres's stack of error contexts.
    callback: Box<pg_sys::ErrorContextCallback>,
    _recorded: PhantomData<&'a Cell<i32>>,
}

impl<'a> SqlstateRecorder<'a> {
    pub(crate) fn start(recorded: &'a Cell<i32>) -> Self {
        // SAFETY: the callback is taken off the stack before it and what it writes to are gone.
        unsafe {
            let mut callback = Box::new(pg_sys::ErrorContextCallback {
                previous: pg_sys::error_context_stack,
                callback: Some(record),
                arg: std::ptr::from_ref(recorded).cast_mut().cast(),
            });
            pg_sys::error_context_stack = &raw mut *callback;
            Self { callback, _recorded: PhantomData }
        }
    }
}

impl Drop for SqlstateRecorder<'_> {
    fn drop(&mut self) {
        // SAFETY: what was pushed after this one has been taken off before, or is the replacer of an error that was caught.
        unsafe { pg_sys::error_context_stack = self.callback.previous };
    }
}

/// Called while an error or a notice is raised.
unsafe extern "C-unwind" fn record(recorded: *mut c_void) {
    // SAFETY: the argument is the cell of a SqlstateRecorder that lives; the code is that of the error in progress.
    unsafe {
        let sqlstate = pg_sys::geterrcode();
        if !SUCCESS_CLASSES.contains(&(sqlstate & CLASS_MASK)) {
            (*recorded.cast::<Cell<i32>>()).set(sqlstate);
        }
    }
}
