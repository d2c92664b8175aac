//! Timestamps in microseconds since 1970. Postgres itself counts from 2000.

use pgrx::pg_sys;

/// From 1970-01-01 to 2000-01-01, in microseconds.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// The current time.
pub fn now() -> i64 {
    // SAFETY: a read of the clock.
    unsafe { pg_sys::GetCurrentTimestamp() + POSTGRES_EPOCH }
}

/// To Postgres's epoch, clamped to the range of the integer.
pub fn to_postgres(microseconds: i64) -> i64 {
    microseconds.saturating_sub(POSTGRES_EPOCH)
}

/// From Postgres's epoch; none for an infinite timestamp.
pub fn from_postgres(microseconds: i64) -> Option<i64> {
    if microseconds == i64::MIN { None } else { microseconds.checked_add(POSTGRES_EPOCH) }
}
