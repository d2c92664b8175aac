//! The session's transaction, and the transactions of other sessions.

use pgrx::pg_sys;
use std::ffi::c_void;

/// No running transaction has a number lower than the next one by more than this: PostgreSQL prevents it.
const MAX_TRANSACTION_AGE: u64 = 1 << 31;

/// Waits until a committed transaction's cache invalidations have been sent. Its rows are visible earlier: a session that
/// reads at once may not see a partition that the transaction attached. Returns at once for an older transaction.
///
/// A number in a restored row belongs to another server, and may be higher than any number of this server.
pub fn wait_for_invalidation(transaction: i64) {
    let age = next().checked_sub(transaction as u64);
    if !age.is_some_and(|age| (1..MAX_TRANSACTION_AGE).contains(&age)) {
        return;
    }
    let number = pg_sys::TransactionId::from(transaction as u32);
    // SAFETY: takes and releases the lock that a transaction releases last; the wait can be cancelled.
    unsafe {
        pg_sys::XactLockTableWait(
            number,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            pg_sys::XLTW_Oper::XLTW_None,
        );
    }
}

/// The number of the current (sub)transaction; assigns one if it has none.
pub fn current() -> u64 {
    // SAFETY: raises an ERROR if the transaction must not write.
    unsafe { pg_sys::GetCurrentFullTransactionId() }.value
}

/// The number that the server will assign next, in any database.
pub fn next() -> u64 {
    // SAFETY: a plain read of the server's state.
    unsafe { pg_sys::ReadNextFullTransactionId() }.value
}

/// True if the transaction may write: not if it is read-only, on a standby, or in parallel mode.
pub fn may_write() -> bool {
    // SAFETY: plain reads of the session's state.
    unsafe { !pg_sys::XactReadOnly && !pg_sys::RecoveryInProgress() && !pg_sys::IsInParallelMode() }
}

/// The number of the current top-level transaction.
pub fn top() -> u64 {
    // SAFETY: raises an ERROR if the transaction must not write.
    unsafe { pg_sys::GetTopFullTransactionId() }.value
}

/// The number of the current (sub)transaction, by which its outcome can be checked later. `None` if it may not write, so
/// that there is nothing to be rolled back.
pub fn current_if_writable() -> Option<u64> {
    may_write().then(current)
}

/// Runs `work`, which only takes numbers from sequences, even in a read-only transaction.
pub fn allowing_writes<T>(work: impl FnOnce() -> T) -> T {
    let _before = LiftedReadOnly::lift();
    work()
}

/// The former read-only state of the transaction; restored when dropped.
struct LiftedReadOnly(bool);

impl LiftedReadOnly {
    fn lift() -> Self {
        // SAFETY: a variable of this session. On a standby, writing stays impossible.
        unsafe {
            let before = Self(pg_sys::XactReadOnly);
            pg_sys::XactReadOnly &= pg_sys::RecoveryInProgress();
            before
        }
    }
}

impl Drop for LiftedReadOnly {
    fn drop(&mut self) {
        // SAFETY: restores the value that `lift` read.
        unsafe { pg_sys::XactReadOnly = self.0 };
    }
}

/// True if a number belongs to the current transaction, or to one of its subtransactions that was not rolled back.
pub fn is_own(number: u64) -> bool {
    let number = pg_sys::TransactionId::from(number as u32);
    // SAFETY: reads the session's own state.
    unsafe { pg_sys::TransactionIdIsCurrentTransactionId(number) }
}

/// Registers a callback for the process's lifetime. It is called whenever a transaction or subtransaction of this session
/// ends without a commit. It must not raise.
pub fn on_abort(callback: fn()) {
    let argument = callback as *mut c_void;
    // SAFETY: both callbacks live as long as the process, and their argument is the function pointer itself.
    unsafe {
        pg_sys::RegisterXactCallback(Some(transaction_ends), argument);
        pg_sys::RegisterSubXactCallback(Some(subtransaction_ends), argument);
    }
}

/// The number of the current subtransaction within its transaction; 1 for the transaction itself.
pub fn current_subtransaction() -> u32 {
    // SAFETY: reads the session's own state.
    unsafe { pg_sys::GetCurrentSubTransactionId() }
}

/// The outcome of a subtransaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubtransactionEnd {
    /// Its changes now belong to the subtransaction with this number.
    Released(u32),
    /// Its changes are undone.
    RolledBack,
}

/// Registers a callback for the process's lifetime. It is called with the number of each subtransaction that ends. It must not raise.
pub fn on_subtransaction_end(callback: fn(u32, SubtransactionEnd)) {
    // SAFETY: the callback lives as long as the process, and its argument is the function pointer itself.
    unsafe { pg_sys::RegisterSubXactCallback(Some(subtransaction_has_ended), callback as *mut c_void) };
}

unsafe extern "C-unwind" fn subtransaction_has_ended(
    event: pg_sys::SubXactEvent::Type,
    own: pg_sys::SubTransactionId,
    parent: pg_sys::SubTransactionId,
    callback: *mut c_void,
) {
    use pg_sys::SubXactEvent::{SUBXACT_EVENT_ABORT_SUB, SUBXACT_EVENT_COMMIT_SUB};
    let end = match event {
        SUBXACT_EVENT_COMMIT_SUB => SubtransactionEnd::Released(parent),
        SUBXACT_EVENT_ABORT_SUB => SubtransactionEnd::RolledBack,
        _ => return,
    };
    // SAFETY: `on_subtransaction_end` passed this function pointer.
    let callback: fn(u32, SubtransactionEnd) = unsafe { std::mem::transmute(callback) };
    callback(own, end);
}

unsafe extern "C-unwind" fn transaction_ends(event: pg_sys::XactEvent::Type, callback: *mut c_void) {
    use pg_sys::XactEvent::{XACT_EVENT_ABORT, XACT_EVENT_PREPARE};
    if matches!(event, XACT_EVENT_ABORT | XACT_EVENT_PREPARE) {
        call(callback);
    }
}

unsafe extern "C-unwind" fn subtransaction_ends(
    event: pg_sys::SubXactEvent::Type,
    _own: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    callback: *mut c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        call(callback);
    }
}

fn call(callback: *mut c_void) {
    // SAFETY: `on_abort` passed this function pointer.
    let callback: fn() = unsafe { std::mem::transmute(callback) };
    callback();
}

/// True if all statements of the transaction use the first one's snapshot: REPEATABLE READ and SERIALIZABLE.
pub fn keeps_one_snapshot() -> bool {
    // SAFETY: a variable of this backend, which is read in its only thread.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32 }
}
