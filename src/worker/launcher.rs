//! With preload: asks for a worker for each database when the server starts. One that finds no extension leaves at once.

use crate::pg::attempt::in_transaction;
use crate::pg::databases;
use crate::worker::slots;
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, SignalWakeFlags};
use pgrx::{log, pg_guard, pg_sys};

/// Postgres starts the launcher with the server where the library is preloaded, and not on a standby.
pub fn register_if_preloaded() {
    // SAFETY: plain reads of the server's state.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress && !pg_sys::IsBinaryUpgrade } {
        BackgroundWorkerBuilder::new("ragstone launcher")
            .set_type("ragstone launcher")
            .set_library("ragstone")
            .set_function("ragstone_launcher_main")
            .enable_spi_access()
            .set_restart_time(None)
            .load();
    }
}

/// The launcher's entry point.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ragstone_launcher_main(_argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGTERM);
    // No database: only catalogues that all share.
    BackgroundWorker::connect_worker_to_spi(None, None);
    match in_transaction(|| Ok(databases::connectable())) {
        Ok(found) => found.into_iter().for_each(slots::want),
        Err(error) => log!("ragstone launcher: {}", error.message),
    }
}
