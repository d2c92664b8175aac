//! Registers a database's workers, and sets their SIGTERM handler.

use crate::processes::place::Place;
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::pg_sys;
use ragstone_pg::major_version::pqsignal;

unsafe extern "C-unwind" {
    /// PostgreSQL's own SIGTERM handler: pgrx binds it as a Rust function, which cannot be a signal handler.
    fn die(signal: libc::c_int);
}

/// Registers a worker for a place of a database. Returns whether PostgreSQL had a slot for it. Neither allocates PostgreSQL
/// memory nor raises: it requests no handle, which would be allocated.
pub fn register(database: u32, place: Place) -> bool {
    let (name, function, argument) = match place {
        Place::Coordinator => ("ragstone coordinator", "ragstone_coordinator_main", u64::from(database)),
        Place::Indexer(number) => {
            ("ragstone worker", "ragstone_worker_main", (u64::from(database) << 8) | number as u64)
        }
    };
    let builder = BackgroundWorkerBuilder::new(name)
        .set_type(name)
        .set_library("ragstone")
        .set_function(function)
        .set_argument(Some(pg_sys::Datum::from(argument)))
        .enable_spi_access()
        .set_restart_time(None);
    let mut worker = pg_sys::BackgroundWorker::from(&builder);
    // SAFETY: PostgreSQL copies the structure, and no handle is requested.
    unsafe { pg_sys::RegisterDynamicBackgroundWorker(&raw mut worker, std::ptr::null_mut()) }
}

/// Makes SIGTERM end the process at the next check for interrupts, including those within SPI. pgrx's own handler only sets
/// a flag.
pub fn die_when_terminated() {
    // SAFETY: Postgres's own handler.
    unsafe { pqsignal(libc::SIGTERM, Some(die)) };
}
