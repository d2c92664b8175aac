//! A database's worker as a process: how it is registered, and its entry point.

use crate::pg::installation;
use crate::sync::worker::{self, has_mail_left};
use crate::worker::lock::FileLock;
use crate::worker::slots;
use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, DynamicBackgroundWorkerLoadError, SignalWakeFlags,
};
#[cfg(not(feature = "pg18"))]
use pgrx::pg_sys::pqsignal;
#[cfg(feature = "pg18")]
use pgrx::pg_sys::pqsignal_be as pqsignal;
use pgrx::{log, pg_guard, pg_sys};

unsafe extern "C-unwind" {
    /// Postgres's own handler of SIGTERM: pgrx binds it as a Rust function, which is no signal handler.
    fn die(signal: libc::c_int);
}

/// Registers a worker for a place in a database.
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

/// The worker's entry point.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ragstone_worker_main(argument: pg_sys::Datum) {
    let (database, place) = ((argument.value() >> 8) as u32, (argument.value() & 0xff) as i32);
    let path = installation::worker_lock(database, place);
    let mut lock = match FileLock::take(&path) {
        Ok(Some(lock)) => lock,
        Ok(None) => return,
        Err(error) => {
            log!("ragstone worker: could not lock \"{}\": {error}", path.display());
            return;
        }
    };
    slots::become_worker();
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    die_when_terminated();
    // SAFETY: done once, before anything else touches the database.
    unsafe {
        pg_sys::BackgroundWorkerInitializeConnectionByOid(pg_sys::Oid::from(database), pg_sys::InvalidOid, 0)
    };
    while worker::run(database, place) {
        drop(lock);
        // Who saw the lock held until now has started nobody else for his call or step.
        if place > 0 || !has_mail_left(database) {
            return;
        }
        lock = match FileLock::take(&path) {
            Ok(Some(lock)) => lock,
            _ => return,
        };
    }
}

/// SIGTERM ends the process at the next check for interrupts, inside SPI too: pgrx's own handler only sets a flag.
pub fn die_when_terminated() {
    // SAFETY: Postgres's own handler.
    unsafe { pqsignal(libc::SIGTERM, Some(die)) };
}
