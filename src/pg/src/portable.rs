//! Values as text that is the same in every session. Keys of changed rows are noted as text, and found again by it.

use crate::switch_user::with_settings;

/// The settings on which the text of a value depends, and what they are here.
pub const SETTINGS: [(&str, &str); 6] = [
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
];

/// Runs `work`, in which values become the same text whatever the settings of the session are.
pub fn with_portable_text<T>(work: impl FnOnce() -> T) -> T {
    with_settings(&SETTINGS, work)
}
