//! What a process of ours shows of itself in `pg_stat_activity`.

use pgrx::pg_sys;
use std::ffi::CString;

/// The process works at this.
pub fn report(what: &str) {
    if let Ok(what) = CString::new(what) {
        // SAFETY: the string lives through the call, which copies it.
        unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, what.as_ptr()) };
    }
}

/// The process has nothing to do; what it counted is there for autovacuum.
pub fn report_idle() {
    // SAFETY: neither a string nor a transaction is needed.
    unsafe {
        pg_sys::pgstat_report_stat(true);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
}
