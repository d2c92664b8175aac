//! The worker of one job as a process: its entry point.
//!
//! It holds the lock of a file while it works. The kernel knows the holder of a file lock, so that a session can neither pretend
//! to be a job's worker nor prevent a job from having one.

use crate::jobs;
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::{log, pg_guard, pg_sys};
use ragstone_client::processes::file_lock::FileLock;
use ragstone_client::processes::job_registry::{self, Order};
use ragstone_client::processes::register::die_when_terminated;
use ragstone_client::settings::paths;
use ragstone_pg::major_version::WORKER_CONNECTION_FLAGS;
use std::fs;

/// The worker's entry point.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ragstone_job_main(_argument: pg_sys::Datum) {
    let Some(order) = Order::parse(BackgroundWorker::get_extra()) else { return };
    let path = paths::job_lock(order.database, order.job);
    let lock = match FileLock::take(&path) {
        Ok(Some(lock)) => lock,
        Ok(None) => return,
        Err(error) => {
            log!("ragstone job: could not lock \"{}\": {error}", path.display());
            return;
        }
    };
    job_registry::become_worker(&order);
    // The handler of SIGINT remains that of Postgres, which cancels the statement. That of pgrx would only set a flag.
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    die_when_terminated();
    let (database, role) = (pg_sys::Oid::from(order.database), pg_sys::Oid::from(order.role));
    // SAFETY: done once, before anything else touches the database.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(database, role, WORKER_CONNECTION_FLAGS) };
    jobs::run(&order);
    // Removed before the lock is released, so that another worker's file of this name is not removed.
    let _ = fs::remove_file(path);
    drop(lock);
}
