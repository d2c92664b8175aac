//! The session's transaction, and those of other sessions.

use pgrx::pg_sys;
use std::ffi::c_void;

/// No running transaction has a number that is lower than the next one by more than this: Postgres prevents it.
const MAX_TRANSACTION_AGE: u64 = 1 << 31;

/// Waits until a committed transaction's cache invalidations have been sent. Its rows are visible before that: a session that reads
/// at once may not know of a partition that the transaction attached. Returns at once if it was not committed just now.
///
/// The number in a restored row is one of another server, and may be higher than any number of this server.
pub fn wait_for_invalidation(transaction: i64) {
    let age = next().checked_sub(transaction as u64);
    if !age.is_some_and(|age| (1..MAX_TRANSACTION_AGE).contains(&age)) {
        return;
    }
    let number = pg_sys::TransactionId::from(transaction as u32);
    // SAFETY: takes and releases the lock that a transaction releases last; waiting can be cancelled.
    unsafe {
        pg_sys::XactLockTableWait(
            number,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            pg_sys::XLTW_Oper::XLTW_None,
        );
    }
}

/// The number of the current (sub)transaction, which is assigned if it has none.
pub fn current() -> u64 {
    // SAFETY: raises where a transaction must not write.
    unsafe { pg_sys::GetCurrentFullTransactionId() }.value
}

/// The number that the server assigns next, in any database.
pub fn next() -> u64 {
    // SAFETY: a plain read of the server's state.
    unsafe { pg_sys::ReadNextFullTransactionId() }.value
}

/// Whether the transaction may write: not if it is read-only, on a standby, or in parallel mode.
pub fn may_write() -> bool {
    // SAFETY: plain reads of the session's state.
    unsafe { !pg_sys::XactReadOnly && !pg_sys::RecoveryInProgress() && !pg_sys::IsInParallelMode() }
}

/// The number of the current top-level transaction.
pub fn top() -> u64 {
    // SAFETY: raises where a transaction must not write.
    unsafe { pg_sys::GetTopFullTransactionId() }.value
}

/// The number of the current (sub)transaction, by which its fate can be checked later. None if it may not write, so that there is
/// nothing to be rolled back.
pub fn current_if_writable() -> Option<u64> {
    may_write().then(current)
}

/// Runs `work`, which takes numbers from sequences and writes nothing else, also in a read-only transaction.
pub fn allowing_writes<T>(work: impl FnOnce() -> T) -> T {
    let _before = LiftedReadOnly::lift();
    work()
}

/// Whether the transaction was read-only before; restored when dropped.
struct LiftedReadOnly(bool);

impl LiftedReadOnly {
    fn lift() -> Self {
        // SAFETY: a variable of this session's. What cannot be written on a standby cannot be after this, either.
        unsafe {
            let before = Self(pg_sys::XactReadOnly);
            pg_sys::XactReadOnly &= pg_sys::RecoveryInProgress();
            before
        }
    }
}

impl Drop for LiftedReadOnly {
    fn drop(&mut self) {
        // SAFETY: restores what was read in `lift`.
        unsafe { pg_sys::XactReadOnly = self.0 };
    }
}

/// Whether a number is that of the current transaction, or of a subtransaction of it that was not rolled back.
pub fn is_own(number: u64) -> bool {
    let number = pg_sys::TransactionId::from(number as u32);
    // SAFETY: a look into the session's own state.
    unsafe { pg_sys::TransactionIdIsCurrentTransactionId(number) }
}

/// Registers a callback for the process's lifetime. It is called whenever a transaction or subtransaction of this session ends
/// without a commit. It must not raise.
pub fn on_abort(callback: fn()) {
    let argument = callback as *mut c_void;
    // SAFETY: both callbacks live as long as the process, and get the function's own pointer.
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

/// How a subtransaction has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubtransactionEnd {
    /// What it did is now done by the subtransaction of this number.
    Released(u32),
    /// What it did is undone.
    RolledBack,
}

/// Registers a callback for the process's lifetime. It is called with the number of each subtransaction that ends. It must not raise.
pub fn on_subtransaction_end(callback: fn(u32, SubtransactionEnd)) {
    // SAFETY: the callback lives as long as the process, and gets the function's own pointer.
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
    // SAFETY: the pointer is the one that `on_subtransaction_end` was given.
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
    // SAFETY: the pointer is the one that `on_abort` was given.
    let callback: fn() = unsafe { std::mem::transmute(callback) };
    callback();
}

/// Whether all statements of the transaction see the database as its first one did: REPEATABLE READ and SERIALIZABLE.
pub fn keeps_one_snapshot() -> bool {
    // SAFETY: a variable of this backend, which is read in its only thread.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32 }
}
