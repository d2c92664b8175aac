//! What `pg_stat_activity` shows about a background worker.

use pgrx::pg_sys;
use std::ffi::CString;

/// Shows the process as active, with a description of its work.
pub fn report(what: &str) {
    if let Ok(what) = CString::new(what) {
        // SAFETY: the string lives through the call, which copies it.
        unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, what.as_ptr()) };
    }
}

/// Reports the process's table statistics, at most once a second. Otherwise autovacuum would not see what a worker has
/// written until the worker is idle. Must not be called in a transaction.
pub fn report_statistics() {
    // SAFETY: no transaction is open, and no argument is a pointer.
    unsafe { pg_sys::pgstat_report_stat(false) };
}

/// Shows the process as idle, and reports its table statistics.
pub fn report_idle() {
    // SAFETY: neither a string nor a transaction is needed.
    unsafe {
        pg_sys::pgstat_report_stat(true);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
}
