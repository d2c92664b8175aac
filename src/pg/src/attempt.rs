//! Work that may fail without ending the surrounding statement, and work in a transaction of its own.

use crate::error::{Error, Result};
use crate::extension;
use crate::own_sqlstate::{SqlstateRecorder, take_next};
use pgrx::{PgTryBuilder, pg_sys};
use std::cell::Cell;
use std::panic::AssertUnwindSafe;

/// An error of work that was rolled back.
#[derive(Debug)]
pub struct FailedAttempt {
    /// Whether Postgres raised it, rather than Ragstone.
    pub raised: bool,
    /// The error.
    pub error: Error,
}

/// Runs `work` in a subtransaction, which is rolled back if it fails. A cancel of the statement or a termination of the session
/// is raised again, as it is meant for the whole statement.
pub fn in_subtransaction<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    match try_in_subtransaction(work) {
        Err(FailedAttempt { raised: true, error }) if error.ends_statement() => error.raise(),
        Err(failed) => Err(failed.error),
        Ok(done) => Ok(done),
    }
}

/// The same, but a cancel is returned like any other error.
pub fn try_in_subtransaction<T>(work: impl FnOnce() -> Result<T>) -> Result<T, FailedAttempt> {
    // SAFETY: the subtransaction is the current one.
    try_and_end(work, || unsafe { pg_sys::ReleaseCurrentSubTransaction() })
}

/// The same, but the subtransaction is rolled back in any case: only what `work` returns is left of it.
pub fn try_and_undo<T>(work: impl FnOnce() -> Result<T>) -> Result<T, FailedAttempt> {
    // SAFETY: the subtransaction is the current one.
    try_and_end(work, || unsafe { pg_sys::RollbackAndReleaseCurrentSubTransaction() })
}

/// Runs `work` in a subtransaction, which `end` ends if it succeeds, and which is rolled back if it fails.
fn try_and_end<T>(work: impl FnOnce() -> Result<T>, end: impl FnOnce()) -> Result<T, FailedAttempt> {
    // SAFETY: plain reads; what a subtransaction changes is put back after it, as PL/pgSQL does.
    let (context, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: begun here, and ended once on each way below.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
    }
    let outcome = catch_errors(|| {
        let done = work()?;
        end();
        Ok(done)
    });
    if outcome.is_err() {
        // SAFETY: as above.
        unsafe { pg_sys::RollbackAndReleaseCurrentSubTransaction() };
    }
    // SAFETY: both outlive the subtransaction.
    unsafe {
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
    }
    outcome
}

/// Runs `work` in a transaction of its own. For background workers, which are outside of transactions otherwise.
pub fn in_transaction<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let outcome = catch_errors(|| {
        // SAFETY: no transaction is open.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
        }
        extension::lock_against_drop();
        // SAFETY: the transaction is open.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
        let done = work()?;
        // SAFETY: the snapshot is the one that was pushed.
        unsafe {
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
        }
        Ok(done)
    });
    if outcome.is_err() {
        // SAFETY: ends whatever the failure has left open.
        unsafe { pg_sys::AbortCurrentTransaction() };
    }
    outcome.map_err(|failed| failed.error)
}

/// Runs `work` outside of any transaction, and returns an ERROR that Postgres raises as a value.
pub fn outside_transaction<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_errors(|| Ok(work()?)).map_err(|failed| failed.error)
}

impl From<Error> for FailedAttempt {
    fn from(error: Error) -> Self {
        Self { raised: false, error }
    }
}

fn catch_errors<T>(work: impl FnOnce() -> Result<T, FailedAttempt>) -> Result<T, FailedAttempt> {
    // SAFETY: a plain read; an ERROR may come from deep inside another context.
    let context = unsafe { pg_sys::CurrentMemoryContext };
    let sqlstate = Cell::new(0);
    let raised = AssertUnwindSafe(&sqlstate);
    PgTryBuilder::new(AssertUnwindSafe(|| {
        let _recorder = SqlstateRecorder::start(&sqlstate);
        work()
    }))
    .catch_others(move |cause| {
        // SAFETY: the context outlives the work.
        unsafe { pg_sys::MemoryContextSwitchTo(context) };
        let sqlstate = take_next().unwrap_or(raised.get());
        Err(FailedAttempt { raised: true, error: Error::from(cause).raised_with(sqlstate) })
    })
    .execute()
}
