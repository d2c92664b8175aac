//! Other sessions' transactions.

use pgrx::pg_sys;

/// A number that is so much lower than the next one is of no transaction that runs: Postgres does not let them grow so old.
const MOST_BEHIND: u64 = 1 << 31;

/// Waits until a transaction that was seen to have committed has told everybody what it did to definitions. Its rows can be
/// seen before that: who reads at once may not know of a partition that it attached. Takes no time but in that moment.
///
/// A restored row has its number from another server, where it may have been higher than any is here.
pub fn wait_until_told(transaction: i64) {
    // SAFETY: a plain read of the server's state.
    let next = unsafe { pg_sys::ReadNextFullTransactionId() }.value;
    let behind = next.checked_sub(transaction as u64);
    if !behind.is_some_and(|behind| (1..MOST_BEHIND).contains(&behind)) {
        return;
    }
    let number = pg_sys::TransactionId::from(transaction as u32);
    // SAFETY: takes the lock that a transaction gives back last, and gives it back; waiting can be cancelled.
    unsafe {
        pg_sys::XactLockTableWait(
            number,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            pg_sys::XLTW_Oper::XLTW_None,
        );
    }
}
