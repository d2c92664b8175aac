//! Work that may fail without ending the statement around it, and work that is a transaction of its own.

use crate::pg::error::{Error, Outcome};
use pgrx::{PgTryBuilder, pg_sys};
use std::panic::AssertUnwindSafe;

/// Work that came to nothing.
#[derive(Debug)]
pub struct Failed {
    /// Whether Postgres raised it, and not we.
    pub raised: bool,
    /// Why.
    pub error: Error,
}

/// Does `work` in a subtransaction: where it fails, nothing is left of it. Who cancels the statement or ends the session
/// means the whole of it, so those errors go on.
pub fn in_subtransaction<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    match try_in_subtransaction(work) {
        Err(Failed { raised: true, error }) if error.ends_statement() => error.raise(),
        Err(failed) => Err(failed.error),
        Ok(done) => Ok(done),
    }
}

/// The same, where the caller says what a cancel means.
pub fn try_in_subtransaction<T>(work: impl FnOnce() -> Outcome<T>) -> Result<T, Failed> {
    // SAFETY: plain reads; what a subtransaction changes is put back after it, as PL/pgSQL does.
    let (context, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: begun here, and ended once on each way below.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
    }
    let outcome = caught(|| {
        let done = work()?;
        // SAFETY: as above.
        unsafe { pg_sys::ReleaseCurrentSubTransaction() };
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

/// Makes the current subtransaction read-only. Nothing in it can undo that; its end does.
pub fn become_read_only() {
    // SAFETY: each subtransaction puts back what it found when it began, and below the top level Postgres refuses to set it
    // to read-write.
    unsafe { pg_sys::XactReadOnly = true };
}

/// Does `work` in a transaction of its own. For background workers, which have none.
pub fn in_transaction<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let outcome = caught(|| {
        // SAFETY: no transaction is open.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
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

/// Does `work` outside of any transaction; an ERROR that Postgres raises comes back as a value.
pub fn outside_transaction<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    caught(|| Ok(work()?)).map_err(|failed| failed.error)
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { raised: false, error }
    }
}

fn caught<T>(work: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
    // SAFETY: a plain read; an ERROR may come from deep inside another context.
    let context = unsafe { pg_sys::CurrentMemoryContext };
    PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_others(move |cause| {
            // SAFETY: the context outlives the work.
            unsafe { pg_sys::MemoryContextSwitchTo(context) };
            Err(Failed { raised: true, error: Error::from(cause) })
        })
        .execute()
}
