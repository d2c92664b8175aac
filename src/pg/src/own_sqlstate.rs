//! SQLSTATEs outside PostgreSQL's list, such as those that a user's function raises (`RAISE … USING ERRCODE = 'RG001'`).
//!
//! pgrx knows only the codes of that list, and turns every other code that passes through Rust into XX000. PostgreSQL calls the
//! functions on its error context stack while it raises an error: one of them records the original code, another one puts it in
//! the place of XX000.

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

/// Classes of notices (00), warnings (01) and missing data (02).
const SUCCESS_CLASSES: [i32; 3] = [0, 1 << 6, 2 << 6];

/// A number that is not a SQLSTATE; pgrx turns it into XX000.
const UNLISTED: i32 = i32::MAX;

/// The code for the error that Rust is about to raise; 0 if there is none.
static NEXT: AtomicI32 = AtomicI32::new(0);

/// A callback on the error context stack, from the time when the error is chosen until PostgreSQL raises it.
static mut REPLACER: pg_sys::ErrorContextCallback = pg_sys::ErrorContextCallback {
    previous: std::ptr::null_mut(),
    callback: Some(replace),
    arg: std::ptr::null_mut(),
};

/// The packed code, if PostgreSQL's list does not contain it.
pub(crate) fn unlisted(sqlstate: i32) -> Option<i32> {
    (PgSqlErrorCode::from(sqlstate) as i32 != sqlstate).then_some(sqlstate)
}

/// Runs `work`. If PostgreSQL raises an error in it, the error keeps its SQLSTATE when Rust raises it again.
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

/// Gives this SQLSTATE, instead of XX000, to the error that is raised next. Until then only unwinding may happen.
pub(crate) fn give_next(sqlstate: i32) {
    NEXT.store(sqlstate, Ordering::Relaxed);
    // SAFETY: both are variables of this process. The structure is on the stack at most once: code that catches an error
    // restores the stack.
    unsafe {
        let replacer = &raw mut REPLACER;
        if pg_sys::error_context_stack != replacer {
            (*replacer).previous = pg_sys::error_context_stack;
            pg_sys::error_context_stack = replacer;
        }
    }
}

/// Removes and returns the code for an error that was caught before PostgreSQL raised it.
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
    /// Linked into PostgreSQL's error context stack.
    callback: Box<pg_sys::ErrorContextCallback>,
    _recorded: PhantomData<&'a Cell<i32>>,
}

impl<'a> SqlstateRecorder<'a> {
    pub(crate) fn start(recorded: &'a Cell<i32>) -> Self {
        // SAFETY: the callback is removed from the stack before it and its target are dropped.
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
        // SAFETY: every callback pushed after this one was removed before, or is the replacer of an error that was caught.
        unsafe { pg_sys::error_context_stack = self.callback.previous };
    }
}

/// Called while an error or a notice is raised.
unsafe extern "C-unwind" fn record(recorded: *mut c_void) {
    // SAFETY: the argument is the cell of a live SqlstateRecorder; the code is that of the error in progress.
    unsafe {
        let sqlstate = pg_sys::geterrcode();
        if !SUCCESS_CLASSES.contains(&(sqlstate & CLASS_MASK)) {
            (*recorded.cast::<Cell<i32>>()).set(sqlstate);
        }
    }
}
