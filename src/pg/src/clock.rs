//! Timestamps in microseconds since 1970. Postgres itself counts from 2000.

use pgrx::pg_sys;

/// From 1970-01-01 to 2000-01-01, in microseconds.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// The current time.
pub fn now() -> i64 {
    // SAFETY: a read of the clock.
    unsafe { pg_sys::GetCurrentTimestamp() + POSTGRES_EPOCH }
}

/// When the current transaction began.
pub fn transaction_start() -> i64 {
    // SAFETY: a read of the transaction's state.
    unsafe { pg_sys::GetCurrentTransactionStartTimestamp() + POSTGRES_EPOCH }
}

/// What timestamps reach from and to, in microseconds since 2000: MIN_TIMESTAMP and END_TIMESTAMP of PostgreSQL's
/// `datatype/timestamp.h`. A table that held another number could not be read or dumped any more.
const RANGE: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// To Postgres's epoch, clamped to the range of timestamps.
pub fn to_postgres(microseconds: i64) -> i64 {
    microseconds.saturating_sub(POSTGRES_EPOCH).clamp(RANGE.start, RANGE.end - 1)
}

/// From Postgres's epoch; none for an infinite timestamp.
pub fn from_postgres(microseconds: i64) -> Option<i64> {
    if microseconds == i64::MIN { None } else { microseconds.checked_add(POSTGRES_EPOCH) }
}
