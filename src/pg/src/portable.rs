//! Settings for converting values to text that is stored or compared, so that all sessions get the same text.

use crate::guc::is_set_to;
use crate::switch_user::{as_owner, with_settings};
use pgrx::pg_sys;
use std::ffi::CStr;

/// The settings that determine how PostgreSQL's own types are written. Text that is written with them reads the same under
/// any other DateStyle and IntervalStyle.
pub const PORTABLE: [(&CStr, &CStr); 6] = [
    (c"TimeZone", c"UTC"),
    (c"DateStyle", c"ISO"),
    (c"IntervalStyle", c"postgres"),
    (c"bytea_output", c"hex"),
    (c"extra_float_digits", c"1"),
    (c"lc_monetary", c"C"),
];

/// Runs `work` under settings that are the same for all sessions. Settings that the session already has are not set again,
/// because setting takes longer than reading.
pub fn with_portable_settings<T>(work: impl FnOnce() -> T) -> T {
    let others: Vec<_> = PORTABLE
        .iter()
        // The part after a comma, the order of days and months, affects only reading.
        .filter(|(name, value)| !is_set_to(name, value))
        .filter_map(|(name, value)| Some((name.to_str().ok()?, value.to_str().ok()?)))
        .collect();
    if others.is_empty() { work() } else { with_settings(&others, work) }
}

/// Runs `work`, statements that read rows of a source in order to store values from them, as the source's owner.
pub fn as_source_owner<T>(owner: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    as_owner(owner, || with_portable_settings(work))
}
