//! If the library is in `shared_preload_libraries`: requests the workers of each database when the server
//! starts. A worker exits at once if its database does not have the extension.

use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::log;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::slots;
use ragstone_client::processes::worker_process::background_worker_main;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::databases;

background_worker_main!(ragstone_launcher_main, run);

fn run(_argument: u64) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGTERM);
    // A process without a database can read the shared catalogues only.
    BackgroundWorker::connect_worker_to_spi(None, None);
    match in_transaction(|| Ok(databases::connectable())) {
        Ok(found) => {
            for database in found {
                slots::request_worker(database, Place::FIRST_INDEXER);
                slots::request_worker(database, Place::Coordinator);
            }
            slots::serve_requests();
        }
        Err(error) => log!("ragstone launcher: {}", error.message),
    }
}
