//! Transaction control in procedures, which pgrx lacks.

use crate::error::{Error, Result};
use pgrx::pg_sys;

/// Returns an error if a call may not end its transaction: in a transaction block, or in a function.
///
/// # Safety
/// `fcinfo` must belong to a CALL in progress.
pub(crate) unsafe fn check_may_commit(fcinfo: pg_sys::FunctionCallInfo, what: &str) -> Result<()> {
    // SAFETY: CALL passes a CallContext node as the call's context.
    let atomic = unsafe {
        let context = (*fcinfo).context;
        let call = !context.is_null() && (*context).type_ == pg_sys::NodeTag::T_CallContext;
        !call || (*context.cast::<pg_sys::CallContext>()).atomic
    };
    if atomic {
        return Err(Error::active_transaction(format!(
            "{what} cannot run inside a transaction block or a function"
        ))
        .hint("CALL it outside a transaction block, or poll with rag.job_pieces."));
    }
    // SAFETY: a plain read of the transaction's state.
    if unsafe { pg_sys::GetTopTransactionIdIfAny() } != pg_sys::InvalidTransactionId {
        return Err(Error::wrong_state(format!("{what} would commit what the transaction has written"))
            .hint("COMMIT first."));
    }
    Ok(())
}

/// Commits the transaction and begins another one, which has no snapshot. Call it only after
/// [`FunctionCall::check_may_commit`](crate::function::FunctionCall::check_may_commit).
pub fn commit() {
    // SAFETY: the connection is closed again; an ERROR in between closes it, too.
    unsafe {
        pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as i32);
        pg_sys::SPI_commit();
        pg_sys::SPI_start_transaction();
        pg_sys::SPI_finish();
    }
}

/// Runs `work` with a new snapshot: after transaction control, a procedure has none.
pub fn with_snapshot<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the popped snapshot is the one that was pushed; an ERROR pops it with its transaction.
    unsafe {
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let done = work();
        pg_sys::PopActiveSnapshot();
        done
    }
}
