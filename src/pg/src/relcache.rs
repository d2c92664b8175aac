//! Telling sessions that a table has changed in a way that they care for, by Postgres's own messages about definitions.

use pgrx::pg_sys;

/// Tells all sessions, when the transaction commits, and this one soon, that the table has changed.
pub fn invalidate(table: pg_sys::Oid) {
    // SAFETY: the table is open or locked by the statement that is under way.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(table) };
}

/// Has `callback` called with each table that this session is relation_changed of, and with none where it may have missed some. It must not
/// raise, and is called as long as the process lives.
pub fn on_change(callback: fn(Option<pg_sys::Oid>)) {
    let argument = pg_sys::Datum::from(callback as usize);
    // SAFETY: the callback lives as long as the process, and gets the function's own pointer.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), argument) };
}

unsafe extern "C-unwind" fn relation_changed(callback: pg_sys::Datum, table: pg_sys::Oid) {
    // SAFETY: the pointer is the one that `on_change` was given.
    let callback: fn(Option<pg_sys::Oid>) = unsafe { std::mem::transmute(callback.value()) };
    callback((table != pg_sys::InvalidOid).then_some(table));
}
