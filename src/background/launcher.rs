//! With `shared_preload_libraries`: requests a worker for each database when the server starts. A worker exits at once if its
//! database does not have the extension.

use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::{log, pg_guard, pg_sys};
use ragstone_client::processes::slots;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::databases;

/// The launcher's entry point.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ragstone_launcher_main(_argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGTERM);
    // Without a database, only shared catalogues can be read.
    BackgroundWorker::connect_worker_to_spi(None, None);
    match in_transaction(|| Ok(databases::connectable())) {
        Ok(found) => found.into_iter().for_each(slots::want),
        Err(error) => log!("ragstone launcher: {}", error.message),
    }
}
