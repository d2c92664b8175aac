//! Moments as microseconds since 1970, which the rest of the world counts from; Postgres counts from 2000.

use pgrx::pg_sys;

/// From 1970-01-01 to 2000-01-01, in microseconds.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// The moment in which this is called.
pub fn now() -> i64 {
    // SAFETY: a read of the clock.
    unsafe { pg_sys::GetCurrentTimestamp() + POSTGRES_EPOCH }
}

/// As Postgres counts; what is out of its range is its end or beginning.
pub fn to_postgres(microseconds: i64) -> i64 {
    microseconds.saturating_sub(POSTGRES_EPOCH)
}

/// From what Postgres counts; none for an infinite moment.
pub fn from_postgres(microseconds: i64) -> Option<i64> {
    if microseconds == i64::MIN { None } else { microseconds.checked_add(POSTGRES_EPOCH) }
}
