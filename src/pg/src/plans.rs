//! Plans that do not depend on statistics. While a worker fills a table, its statistics may still be those of an empty
//! table, and the planner would choose a sequential scan each time.

use crate::switch_user::with_settings;

/// Runs `work`, whose statements find their rows through an index.
pub fn by_index<T>(work: impl FnOnce() -> T) -> T {
    with_settings(&[("enable_seqscan", "off")], work)
}

/// Runs `work`, whose statements read the first rows in the order of an index.
pub fn in_index_order<T>(work: impl FnOnce() -> T) -> T {
    with_settings(&[("enable_seqscan", "off"), ("enable_bitmapscan", "off"), ("enable_sort", "off")], work)
}
