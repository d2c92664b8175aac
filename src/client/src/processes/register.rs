//! How a database's worker is registered, and how it handles SIGTERM.

use pgrx::bgworkers::{BackgroundWorkerBuilder, DynamicBackgroundWorkerLoadError};
use pgrx::pg_sys;
use ragstone_pg::major_version::pqsignal;

unsafe extern "C-unwind" {
    /// Postgres's own handler of SIGTERM: pgrx binds it as a Rust function, which is no signal handler.
    fn die(signal: libc::c_int);
}

/// Registers a worker for a slot of a database.
pub fn register(database: u32, place: i32) -> Result<(), DynamicBackgroundWorkerLoadError> {
    let argument = (u64::from(database) << 8) | place as u64;
    BackgroundWorkerBuilder::new("ragstone worker")
        .set_type("ragstone worker")
        .set_library("ragstone")
        .set_function("ragstone_worker_main")
        .set_argument(Some(pg_sys::Datum::from(argument)))
        .enable_spi_access()
        .set_restart_time(None)
        .load_dynamic()
        .map(|_| ())
}

/// Makes SIGTERM end the process at the next check for interrupts, inside SPI too. pgrx's own handler only sets a flag.
pub fn die_when_terminated() {
    // SAFETY: Postgres's own handler.
    unsafe { pqsignal(libc::SIGTERM, Some(die)) };
}
