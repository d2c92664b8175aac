//! Timestamps in microseconds since 1970. PostgreSQL's own timestamps count from 2000.

use pgrx::pg_sys;
use std::ffi::CString;
use std::ptr::null_mut;

/// From 1970-01-01 to 2000-01-01, in microseconds.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// The current time.
pub fn now() -> i64 {
    // SAFETY: a read of the clock.
    unsafe { pg_sys::GetCurrentTimestamp() + POSTGRES_EPOCH }
}

/// The start of the current transaction.
pub fn transaction_start() -> i64 {
    // SAFETY: a read of the transaction's state.
    unsafe { pg_sys::GetCurrentTransactionStartTimestamp() + POSTGRES_EPOCH }
}

/// The range of timestamps, in microseconds since 2000: MIN_TIMESTAMP and END_TIMESTAMP in PostgreSQL's
/// `datatype/timestamp.h`. A table with a value outside it could no longer be read or dumped.
const RANGE: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// Converts to PostgreSQL's epoch, and clamps to the range of timestamps.
pub fn to_postgres(microseconds: i64) -> i64 {
    microseconds.saturating_sub(POSTGRES_EPOCH).clamp(RANGE.start, RANGE.end - 1)
}

/// Converts from PostgreSQL's epoch; `None` for an infinite timestamp.
pub fn from_postgres(microseconds: i64) -> Option<i64> {
    if microseconds == i64::MIN { None } else { microseconds.checked_add(POSTGRES_EPOCH) }
}

/// A time zone by its name in the server's database of zones.
#[derive(Clone, Copy)]
pub struct TimeZone(*mut pg_sys::pg_tz);

impl TimeZone {
    /// The zone of this name, such as `Europe/Berlin`; `None` if the server knows none.
    pub fn named(name: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        // SAFETY: the name is a terminated string. PostgreSQL keeps each zone that it has loaded until the process ends.
        let zone = unsafe { pg_sys::pg_tzset(name.as_ptr()) };
        (!zone.is_null()).then_some(Self(zone))
    }

    /// Microseconds since 1970 in UTC at this time of a clock of the zone. Of the two times that the clock shows twice, and
    /// of those that it skips, it is the one that PostgreSQL takes.
    pub fn utc(self, local: i64) -> i64 {
        let (mut time, mut fraction) = (pg_sys::pg_tm::default(), 0);
        // SAFETY: both values outlive the calls, and the zone lives as long as the process. Without a pointer to an offset,
        // the time is not converted.
        let west = unsafe {
            let moment = to_postgres(local);
            if pg_sys::timestamp2tm(moment, null_mut(), &mut time, &mut fraction, null_mut(), null_mut()) != 0
            {
                return local;
            }
            pg_sys::DetermineTimeZoneOffset(&mut time, self.0)
        };
        local.saturating_add(i64::from(west) * 1_000_000)
    }
}
