//! Reports on the log of agents: views over the roll-ups, and the functions that the views use.

use pgrx::{extension_sql_file, pg_extern};
use ragstone_core::log::histogram::Histogram;
use ragstone_core::log::pattern::pattern;
use ragstone_pg::bytes::Bytes;
use ragstone_pg::text::Utf8;

/// Adds a duration to a histogram. A value that is not a valid histogram, which a restore may bring, is
/// returned unchanged, so that an error in one group does not make a whole report fail.
#[pg_extern(immutable, parallel_safe, cost = 10)]
fn _histogram_add<'a>(state: Option<Bytes<'a>>, duration_ms: Option<f64>) -> Option<Vec<u8>> {
    let bytes = state.map(|state| state.0.to_vec());
    let Some(duration) = duration_ms else { return bytes };
    let Some(mut histogram) =
        bytes.as_deref().map_or_else(|| Some(Histogram::default()), Histogram::from_bytes)
    else {
        return bytes;
    };
    histogram.add(duration);
    Some(histogram.to_bytes())
}

#[pg_extern(immutable, parallel_safe, cost = 20)]
fn _histogram_merge<'a>(left: Option<Bytes<'a>>, right: Option<Bytes<'a>>) -> Option<Vec<u8>> {
    let (Some(left), Some(right)) = (left, right) else {
        return left.or(right).map(|only| only.0.to_vec());
    };
    match (Histogram::from_bytes(left.0), Histogram::from_bytes(right.0)) {
        (Some(mut merged), Some(other)) => {
            merged.merge(&other);
            Some(merged.to_bytes())
        }
        (None, _) => Some(left.0.to_vec()),
        (_, None) => Some(right.0.to_vec()),
    }
}

#[pg_extern(immutable, strict, parallel_safe, cost = 10)]
fn _quantile(durations: Bytes<'_>, part: f64) -> Option<f64> {
    Histogram::from_bytes(durations.0)?.quantile(part)
}

#[pg_extern(immutable, strict, parallel_safe, cost = 20)]
fn _error_pattern(error: Utf8) -> Utf8 {
    Utf8(pattern(&error.0))
}

extension_sql_file!(
    "../../sql/reports.sql",
    name = "reports",
    requires = ["runs", _histogram_add, _histogram_merge, _quantile, _error_pattern]
);
