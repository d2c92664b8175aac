//! Time limits of a job: `statement_timeout` for each of its statements, as in a session of the submitter,
//! and `timeout_ms` for the whole job, including the time that models take to answer.

use ragstone_pg::error::{Error, Result};
use ragstone_pg::time_limit::{self, Canceller, within};
use std::cell::Cell;
use std::time::Duration;

/// Raises an error for a `timeout_ms` that is not positive.
pub fn check_timeout(timeout_ms: Option<i32>) -> Result<()> {
    match timeout_ms {
        Some(timeout_ms) if timeout_ms <= 0 => {
            Err(Error::bad_argument(format!("timeout_ms must be more than 0, but is {timeout_ms}"))
                .hint("Leave it out for a job without a time limit."))
        }
        _ => Ok(()),
    }
}

/// Runs a whole job, for at most `timeout_ms`.
///
/// # Errors
/// 57014 if it takes longer.
pub fn within_timeout(timeout_ms: Option<i32>, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let Some(timeout_ms) = timeout_ms else { return work() };
    let canceller = Cell::new(Canceller::Nobody);
    let limit = Duration::from_millis(timeout_ms.unsigned_abs().into());
    let done = within(limit, &canceller, work);
    explain(done, &canceller, || {
        Error::out_of_time(format!("the job took longer than its timeout_ms of {timeout_ms}"))
            .hint("Submit it again with a higher timeout_ms.")
    })
}

/// The `statement_timeout` of one statement of a job. PostgreSQL arms it only for statements from a client,
/// and a job's worker has no client.
pub struct StatementLimit {
    canceller: Cell<Canceller>,
    limit: Cell<Option<Duration>>,
}

impl StatementLimit {
    /// A limit for a statement that has not started.
    pub fn new() -> Self {
        Self { canceller: Cell::new(Canceller::Nobody), limit: Cell::new(None) }
    }

    /// Runs the statement, which is one transaction.
    pub fn run<T>(&self, statement: impl FnOnce() -> T) -> T {
        self.limit.set(time_limit::statement_timeout());
        match self.limit.get() {
            Some(limit) => within(limit, &self.canceller, statement),
            None => statement(),
        }
    }

    /// The result of the statement's transaction; if the limit ended it, the error names the limit.
    pub fn explain<T>(&self, done: Result<T>) -> Result<T> {
        explain(done, &self.canceller, || {
            let limit = self.limit.get().unwrap_or_default().as_millis();
            // The same message as PostgreSQL's own, so that programs recognise it.
            Error::out_of_time("canceling statement due to statement timeout")
                .detail(format!("statement_timeout of the job's role in this database is {limit} ms."))
                .hint("ALTER ROLE or ALTER DATABASE sets it; it does not count the time in which a job waits for a model.")
        })
    }
}

fn explain<T>(
    done: Result<T>,
    canceller: &Cell<Canceller>,
    out_of_time: impl FnOnce() -> Error,
) -> Result<T> {
    done.map_err(|error| match canceller.get() {
        Canceller::Limit if error.is_cancelled() => out_of_time(),
        _ => error,
    })
}
