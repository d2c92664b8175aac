//! The common parts of background worker processes: an exported entry point, a database connection, and a callback at exit.

use pgrx::{pg_guard, pg_sys};
use ragstone_pg::guc;
use ragstone_pg::major_version::WORKER_CONNECTION_FLAGS;
use ragstone_pg::portable::PORTABLE;
use std::ffi::CStr;

/// Settings that a database or the superuser's role may set for users, and that must not apply to a worker: they would make
/// its transactions fail, wait or end, or give them the privileges of another role.
const OWN_SETTINGS: [(&CStr, &CStr); 9] = [
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_deferrable", c"off"),
    (c"statement_timeout", c"0"),
    (c"lock_timeout", c"0"),
    (c"idle_in_transaction_session_timeout", c"0"),
    (c"transaction_timeout", c"0"),
    (c"session_replication_role", c"origin"),
    (c"role", c"none"),
];

/// Exports the entry point of a background worker under the C name `$symbol`, by which it is registered. `$main` gets the
/// worker's argument.
#[macro_export]
macro_rules! background_worker_main {
    ($symbol:ident, $main:path) => {
        #[doc = "The entry point of a background worker."]
        #[::pgrx::pg_guard]
        #[unsafe(no_mangle)]
        pub extern "C-unwind" fn $symbol(argument: ::pgrx::pg_sys::Datum) {
            $main(argument.value() as u64);
        }
    };
}

pub use background_worker_main;

/// Connects the process to a database as the bootstrap superuser. Call it once per process, before any access to the database.
pub fn connect(database: u32) {
    // PORTABLE is included because keys of rows that a comparison finds are written like keys that triggers find.
    OWN_SETTINGS.into_iter().chain(PORTABLE).for_each(|(name, value)| guc::pin(name, value));
    // SAFETY: called once, at the beginning of a worker's main function.
    unsafe {
        pg_sys::BackgroundWorkerInitializeConnectionByOid(pg_sys::Oid::from(database), pg_sys::InvalidOid, 0);
    }
}

/// Connects the process to a database as a role, which does not need LOGIN from PostgreSQL 17 on. Call it once per process,
/// before any access to the database.
pub fn connect_as(database: u32, role: u32) {
    let (database, role) = (pg_sys::Oid::from(database), pg_sys::Oid::from(role));
    // SAFETY: called once, at the beginning of a worker's main function.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(database, role, WORKER_CONNECTION_FLAGS) };
}

/// Registers `callback` to be called with the exit code when the process ends, while it still has access to shared memory.
pub fn before_exit(callback: fn(i32)) {
    let argument = pg_sys::Datum::from(callback as usize);
    // SAFETY: the callback lives as long as the process, and its argument is the function pointer itself.
    unsafe { pg_sys::before_shmem_exit(Some(process_exits), argument) };
}

#[pg_guard]
unsafe extern "C-unwind" fn process_exits(code: libc::c_int, callback: pg_sys::Datum) {
    // SAFETY: `before_exit` passed this function pointer.
    let callback: fn(i32) = unsafe { std::mem::transmute(callback.value()) };
    callback(code);
}
