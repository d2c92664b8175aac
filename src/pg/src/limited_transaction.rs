//! Transactions of a background worker in which users can hold it up: by a lock of theirs, or by their code, which runs where their
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

/// Time after which a worker looks whether it waits in a circle. Sooner than sessions do: the one that looks is the one that gives up,
/// and a worker tries again.
const DEADLOCK_TIMEOUT: Duration = Duration::from_millis(100);

/// Maximum time of a transaction with [`Limits::LocksAndTime`]. Postgres arms `statement_timeout` for what a client sends, and a
/// worker has no client.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// What is limited in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// The wait for each lock, and the time that the transaction takes.
    LocksAndTime,
    /// The same, with so much time for work of a known size, but never less than [`TIMEOUT`].
    LocksAndLongTime(Duration),
    /// The wait for each lock. For what takes the longer the larger a table is: index builds and comparisons of all rows.
    Locks,
}

/// Runs `work` in a transaction of its own, with a search path that contains no schema of a user.
///
/// # Errors
/// 55P03 if a lock was not free in time, 57014 if the transaction took too long: see [`Blame::Blocked`](crate::blame::Blame).
pub fn in_limited_transaction<T>(limits: Limits, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let transaction = || {
        in_transaction(|| {
            // Until the transaction has ended, for constraint triggers that are deferred.
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
                .hint("Look at triggers, index expressions, policies and casts of the collection's tables.")
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
