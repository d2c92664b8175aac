//! Information about this process and the server that PostgreSQL keeps in variables of the process.

use pgrx::pg_sys;

/// OID of the session's database; 0 in a process without a database.
pub fn database() -> u32 {
    // SAFETY: a plain read of a variable that Postgres sets when the process connects.
    unsafe { pg_sys::MyDatabaseId.to_u32() }
}

/// OID of the current role, whose privileges apply.
pub fn current_role() -> pg_sys::Oid {
    // SAFETY: reads a variable of the process.
    unsafe { pg_sys::GetUserId() }
}

/// True if the current role is a superuser.
pub fn is_superuser() -> bool {
    // SAFETY: a look-up of the current role, which Postgres caches.
    unsafe { pg_sys::superuser() }
}

/// Process id of this process.
pub fn pid() -> i32 {
    // SAFETY: a plain read of a variable that is set when the process starts.
    unsafe { pg_sys::MyProcPid }
}

/// Time at which the current statement was received, in microseconds since 2000. It distinguishes statements of the session.
pub fn statement_start() -> i64 {
    // SAFETY: reads a variable of the process.
    unsafe { pg_sys::GetCurrentStatementStartTimestamp() }
}

/// True if the server is a standby, or has not finished its recovery.
pub fn is_standby() -> bool {
    // SAFETY: reads the server's shared memory.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// True if `pg_upgrade` runs the server; background workers must not be started then.
pub fn is_binary_upgrade() -> bool {
    // SAFETY: a plain read of a variable that is set when the server starts.
    unsafe { pg_sys::IsBinaryUpgrade }
}

/// True if the library is being loaded by `shared_preload_libraries`, the only time at which a static background worker can
/// be registered.
pub fn is_preloading() -> bool {
    // SAFETY: a plain read of a variable of the process.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}
