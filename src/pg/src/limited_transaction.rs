//! Transactions of a background worker that users can hold up: by their locks, or by their code, which runs when their
//! tables are read and written (triggers, index expressions, policies, casts).

use crate::attempt::in_transaction;
use crate::error::{Error, Result};
use crate::own_tables::with_safe_search_path;
use crate::switch_user::set_local;
use crate::time_limit::{Canceller, within};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Maximum wait for a lock.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Time after which a waiting worker checks for a deadlock. It is shorter than that of sessions: the process that finds a
/// deadlock fails, and a worker retries.
const DEADLOCK_TIMEOUT: Duration = Duration::from_millis(100);

/// Time limit of a transaction with [`Limits::LocksAndTime`]. PostgreSQL arms `statement_timeout` only for statements of
/// clients, and a worker has no client.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The limits of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// Limits the wait for each lock, and the duration of the transaction to [`TIMEOUT`].
    LocksAndTime,
    /// Like `LocksAndTime`, with this time limit for work of a known size, but at least [`TIMEOUT`].
    LocksAndLongTime(Duration),
    /// Limits the wait for each lock, for work whose duration depends on the size of a table: index builds and comparisons
    /// of all rows.
    Locks,
}

/// Runs `work` in its own transaction, with a search path without schemas of users.
///
/// # Errors
/// 55P03 if a lock was not available in time, 57014 if the transaction took too long: see
/// [`Blame::Blocked`](crate::blame::Blame).
pub fn in_limited_transaction<T>(limits: Limits, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let transaction = || {
        in_transaction(|| {
            // Set until the end of the transaction, for deferred constraint triggers.
            set_local("lock_timeout", &format!("{}ms", LOCK_TIMEOUT.as_millis()))?;
            set_local("deadlock_timeout", &format!("{}ms", DEADLOCK_TIMEOUT.as_millis()))?;
            with_safe_search_path(work)
        })
    };
    let (begin, canceller) = (Instant::now(), Cell::new(Canceller::Nobody));
    let limit = match limits {
        Limits::LocksAndTime => Some(TIMEOUT),
        Limits::LocksAndLongTime(time) => Some(time.max(TIMEOUT)),
        Limits::Locks => None,
    };
    let done = match limit {
        Some(limit) => within(limit, &canceller, transaction),
        None => transaction(),
    };
    let explain = |error: Error| match (canceller.get(), limit) {
        (Canceller::Limit, Some(limit)) if error.is_cancelled() => {
            Error::out_of_time(format!("the transaction took longer than {limit:?}"))
                .hint("Check the triggers, index expressions, policies and casts of the collection's tables.")
        }
        _ if error.is_lock_not_available() && error.hint.is_empty() => {
            error.hint("Another session holds a lock; pg_locks shows it.")
        }
        _ => error,
    };
    done.map_err(|error| {
        let held_up_ms = u32::try_from(begin.elapsed().as_millis()).unwrap_or(u32::MAX);
        Error { held_up_ms, ..explain(error) }
    })
}
