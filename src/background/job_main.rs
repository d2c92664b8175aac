//! The entry point of the worker process of one job.
//!
//! The worker holds the lock of a file while it runs. The kernel knows the holder of a file lock, so no
//! session can pretend to be a job's worker or prevent a job from having one.

use crate::jobs;
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::log;
use ragstone_client::processes::file_lock::FileLock;
use ragstone_client::processes::job_registry::JobTicket;
use ragstone_client::processes::register::die_when_terminated;
use ragstone_client::processes::worker_process::{background_worker_main, connect_as};
use ragstone_pg::termination::end_quietly;
use std::fs;

background_worker_main!(ragstone_job_main, run);

fn run(_argument: u64) {
    end_quietly();
    let Some(ticket) = JobTicket::parse(BackgroundWorker::get_extra()) else { return };
    let path = ticket.lock();
    let lock = match FileLock::take(&path) {
        Ok(Some(lock)) => lock,
        Ok(None) => return,
        Err(error) => {
            log!("ragstone job: could not lock \"{}\": {error}", path.display());
            return;
        }
    };
    // PostgreSQL's own handler of SIGINT, which cancels the statement, stays in place. The handler of pgrx
    // would only set a flag.
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    die_when_terminated();
    connect_as(ticket.database, ticket.role);
    jobs::run(&ticket);
    // The file is removed before the lock is released; afterwards it might be another worker's file of the
    // same name.
    let _ = fs::remove_file(path);
    drop(lock);
}
