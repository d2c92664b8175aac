//! The end of a background worker on request. PostgreSQL ends every process in the same way, with a FATAL message and exit
//! code 1, which the postmaster logs as well. In a session, this tells the client why it lost the connection; a worker has
//! no client.

use crate::sqlstate::{is_admin_shutdown, is_termination};
use pgrx::{pg_guard, pg_sys};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// True if the process ends because it was terminated, or its database was dropped.
static IS_TERMINATED: AtomicBool = AtomicBool::new(false);

/// True if the cause was a signal.
static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// The hook that another library has set.
static NEXT_HOOK: OnceLock<pg_sys::emit_log_hook_type> = OnceLock::new();

/// Makes this process end without a message and with exit code 0 when it is terminated, or when its database was dropped
/// before it could connect. The open transaction is rolled back as usual. Call it at the beginning of a worker's main function.
pub fn end_quietly() {
    // SAFETY: the hook and callback of this process, which live as long as it does.
    unsafe {
        if NEXT_HOOK.set(pg_sys::emit_log_hook).is_ok() {
            pg_sys::emit_log_hook = Some(hide_termination);
            pg_sys::on_proc_exit(Some(process_exits), pg_sys::Datum::null());
        }
    }
}

/// True if this process ends because of a signal. For code that runs at its exit.
pub fn is_told_to_end() -> bool {
    IS_TOLD.load(Ordering::Relaxed)
}

unsafe extern "C-unwind" fn hide_termination(error: *mut pg_sys::ErrorData) {
    // SAFETY: PostgreSQL passes the error that it is about to log, and lets a hook suppress the log entry.
    unsafe {
        if (*error).elevel == pg_sys::FATAL as i32 && is_termination((*error).sqlerrcode) {
            (*error).output_to_server = false;
            IS_TERMINATED.store(true, Ordering::Relaxed);
            IS_TOLD.store(is_admin_shutdown((*error).sqlerrcode), Ordering::Relaxed);
        }
        if let Some(Some(next)) = NEXT_HOOK.get() {
            next(error);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn process_exits(_code: libc::c_int, _argument: pg_sys::Datum) {
    if IS_TERMINATED.load(Ordering::Relaxed) {
        // SAFETY: a callback may exit with another code: PostgreSQL continues with the callbacks that have not been called yet.
        unsafe { pg_sys::proc_exit(0) };
    }
}
