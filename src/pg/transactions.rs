//! Other sessions' transactions.

use pgrx::pg_sys;

/// Waits until a transaction that was seen to have committed has told everybody what it did to definitions. Its rows can be
/// seen before that: who reads at once may not know of a partition that it attached. Takes no time but in that moment.
pub fn wait_until_told(transaction: i64) {
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
