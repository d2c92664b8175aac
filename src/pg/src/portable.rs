//! Settings under which values become text that is stored or compared, in whosever session.

use crate::guc::is_set_to;
use crate::switch_user::{as_owner, with_settings};
use pgrx::pg_sys;
use std::ffi::CStr;

/// What decides how PostgreSQL's own types are written. Text that is written so is read in the same way under any other order of
/// dates and style of intervals.
pub const PORTABLE: [(&CStr, &CStr); 6] = [
    (c"TimeZone", c"UTC"),
    (c"DateStyle", c"ISO"),
    (c"IntervalStyle", c"postgres"),
    (c"bytea_output", c"hex"),
    (c"extra_float_digits", c"1"),
    (c"lc_monetary", c"C"),
];

/// Runs `work` under settings that are the same for all sessions. Those that the session has anyway are not set, which takes longer
/// than to look at them.
pub fn with_portable_settings<T>(work: impl FnOnce() -> T) -> T {
    let others: Vec<_> = PORTABLE
        .iter()
        // The order of days and months, after a comma, counts for reading only.
        .filter(|(name, value)| !is_set_to(name, value))
        .filter_map(|(name, value)| Some((name.to_str().ok()?, value.to_str().ok()?)))
        .collect();
    if others.is_empty() { work() } else { with_settings(&others, work) }
}

/// Runs `work`, statements that read rows of a source for what is stored of them, as the source's owner.
pub fn as_source_owner<T>(owner: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    as_owner(owner, || with_portable_settings(work))
}
