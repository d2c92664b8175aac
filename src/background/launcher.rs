//! With preload: asks for a worker for each database when the server starts. One that finds no extension leaves at once.

use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::log;
use ragstone_client::processes::slots;
use ragstone_client::processes::worker_process::background_worker_main;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::databases;

background_worker_main!(ragstone_launcher_main, run);

fn run(_argument: u64) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGTERM);
    // No database: only catalogues that all share.
    BackgroundWorker::connect_worker_to_spi(None, None);
    match in_transaction(|| Ok(databases::connectable())) {
        Ok(found) => found.into_iter().for_each(slots::request_worker),
        Err(error) => log!("ragstone launcher: {}", error.message),
    }
}
