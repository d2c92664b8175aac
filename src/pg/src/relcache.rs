//! Notifies sessions that a table has changed, with PostgreSQL's relation cache invalidations.

use pgrx::pg_sys;

/// Notifies all sessions of a change of the table when the transaction commits, and this session at once.
pub fn invalidate(table: pg_sys::Oid) {
    // SAFETY: the current statement has opened or locked the table.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(table) };
}

/// Registers a callback for the process's lifetime. It is called with each table that was invalidated, and with `None` if
/// notifications may have been lost. It must not raise.
pub fn on_change(callback: fn(Option<pg_sys::Oid>)) {
    let argument = pg_sys::Datum::from(callback as usize);
    // SAFETY: the callback lives as long as the process, and its argument is the function pointer itself.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), argument) };
}

unsafe extern "C-unwind" fn relation_changed(callback: pg_sys::Datum, table: pg_sys::Oid) {
    // SAFETY: `on_change` passed this function pointer.
    let callback: fn(Option<pg_sys::Oid>) = unsafe { std::mem::transmute(callback.value()) };
    callback((table != pg_sys::InvalidOid).then_some(table));
}
