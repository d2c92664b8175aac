//! The worker of one job as a process: how it is registered, found, interrupted and sent away, and its entry point.
//!
//! It holds the lock of a file as long as it works. Who holds it is known by the kernel, so that no session can pretend to
//! be a job's worker, or keep a job from having one.

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
    // SIGINT is Postgres's own, which cancels the statement: the flags that pgrx would set instead are read by nobody.
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    die_when_terminated();
    let (database, role) = (pg_sys::Oid::from(order.database), pg_sys::Oid::from(order.role));
    // SAFETY: done once, before anything else touches the database.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(database, role, WORKER_CONNECTION_FLAGS) };
    jobs::run(&order);
    // Before the lock is given back: another worker's file of this name is another file.
    let _ = fs::remove_file(path);
    drop(lock);
}
