//! Work that may fail without ending the surrounding statement, and work in its own transaction.

use crate::error::{Error, Result};
use crate::extension;
use crate::own_sqlstate::{SqlstateRecorder, take_next};
use crate::spi_scope::Entered;
use pgrx::{PgTryBuilder, pg_sys};
use std::cell::Cell;
use std::panic::AssertUnwindSafe;

/// An error of work that was rolled back.
#[derive(Debug)]
pub struct FailedAttempt {
    /// True if PostgreSQL raised the error, false if Ragstone returned it.
    pub raised: bool,
    /// The error.
    pub error: Error,
}

/// Runs `work` in a subtransaction, which is rolled back if `work` fails. A cancel of the statement or a termination of the
/// session is raised again, because it concerns the whole statement.
pub fn in_subtransaction<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    match try_in_subtransaction(work) {
        Err(FailedAttempt { raised: true, error }) if error.ends_statement() => error.raise(),
        Err(failed) => Err(failed.error),
        Ok(done) => Ok(done),
    }
}

/// Like [`in_subtransaction`], but returns a cancel like any other error.
pub fn try_in_subtransaction<T>(work: impl FnOnce() -> Result<T>) -> Result<T, FailedAttempt> {
    // SAFETY: the subtransaction is the current one.
    try_and_end(work, true, || unsafe { pg_sys::ReleaseCurrentSubTransaction() })
}

/// Like [`try_in_subtransaction`], but always rolls the subtransaction back: only the result of `work` remains.
pub fn try_and_undo<T>(work: impl FnOnce() -> Result<T>) -> Result<T, FailedAttempt> {
    // SAFETY: the subtransaction is the current one.
    try_and_end(work, false, || unsafe { pg_sys::RollbackAndReleaseCurrentSubTransaction() })
}

/// Runs `work` in a subtransaction, which `end` ends if it succeeds, and which is rolled back if it fails.
fn try_and_end<T>(
    work: impl FnOnce() -> Result<T>,
    keeps_rows: bool,
    end: impl FnOnce(),
) -> Result<T, FailedAttempt> {
    // SAFETY: plain reads; what a subtransaction changes is put back after it, as PL/pgSQL does.
    let (context, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: begun here, and ended once on each path below.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
    }
    let entered = Entered::subtransaction();
    let outcome = catch_errors(|| {
        let done = work()?;
        end();
        Ok(done)
    });
    if keeps_rows && outcome.is_ok() {
        entered.keep_rows();
    }
    drop(entered);
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

/// Runs `work` in its own transaction, for background workers, which otherwise run outside transactions.
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
        // SAFETY: ends everything that the failure has left open.
        unsafe { pg_sys::AbortCurrentTransaction() };
    }
    outcome.map_err(|failed| failed.error)
}

/// Runs `work` outside any transaction, and returns an ERROR that PostgreSQL raises as a value.
pub fn outside_transaction<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_errors(|| Ok(work()?)).map_err(|failed| failed.error)
}

impl From<Error> for FailedAttempt {
    fn from(error: Error) -> Self {
        Self { raised: false, error }
    }
}

fn catch_errors<T>(work: impl FnOnce() -> Result<T, FailedAttempt>) -> Result<T, FailedAttempt> {
    // SAFETY: a plain read; an ERROR may be raised in another memory context.
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
