//! Reports on the log of agents: views over the roll-ups, and the functions that the views use.

use pgrx::{extension_sql_file, pg_extern};
use ragstone_core::log::histogram::Histogram;
use ragstone_core::log::pattern::pattern;
use ragstone_pg::bytes::Bytes;
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::text::Utf8;

#[pg_extern(immutable, parallel_safe, cost = 10)]
fn _histogram_add<'a>(state: Option<Bytes<'a>>, duration_ms: Option<f64>) -> Option<Vec<u8>> {
    let Some(duration) = duration_ms else { return state.map(|state| state.0.to_vec()) };
    let mut histogram = state.map(|state| or_raise(histogram(state))).unwrap_or_default();
    histogram.add(duration);
    Some(histogram.to_bytes())
}

#[pg_extern(immutable, parallel_safe, cost = 20)]
fn _histogram_merge<'a>(left: Option<Bytes<'a>>, right: Option<Bytes<'a>>) -> Option<Vec<u8>> {
    let (Some(left), Some(right)) = (left, right) else {
        return left.or(right).map(|only| only.0.to_vec());
    };
    let mut merged = or_raise(histogram(left));
    merged.merge(&or_raise(histogram(right)));
    Some(merged.to_bytes())
}

#[pg_extern(immutable, strict, parallel_safe, cost = 10)]
fn _quantile(durations: Bytes<'_>, part: f64) -> Option<f64> {
    or_raise(histogram(durations)).quantile(part)
}

#[pg_extern(immutable, strict, parallel_safe, cost = 20)]
fn _error_pattern(error: Utf8) -> Utf8 {
    Utf8(pattern(&error.0))
}

fn histogram(bytes: Bytes<'_>) -> Result<Histogram> {
    Histogram::from_bytes(bytes.0).ok_or_else(|| Error::bad_argument("malformed histogram of durations"))
}

extension_sql_file!(
    "../../sql/reports.sql",
    name = "reports",
    requires = ["runs", _histogram_add, _histogram_merge, _quantile, _error_pattern]
);
