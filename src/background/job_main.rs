//! The worker of one job as a process: its entry point.
//!
//! It holds the lock of a file while it works. The kernel knows the holder of a file lock, so that a session can neither pretend
//! to be a job's worker nor prevent a job from having one.

use crate::jobs;
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::log;
use ragstone_client::processes::file_lock::FileLock;
use ragstone_client::processes::job_registry::JobTicket;
use ragstone_client::processes::register::die_when_terminated;
use ragstone_client::processes::worker_process::{background_worker_main, connect_as};
use ragstone_client::settings::paths;
use ragstone_pg::termination::end_quietly;
use std::fs;

background_worker_main!(ragstone_job_main, run);

fn run(_argument: u64) {
    end_quietly();
    let Some(ticket) = JobTicket::parse(BackgroundWorker::get_extra()) else { return };
    let path = paths::job_lock(ticket.database, ticket.job);
    let lock = match FileLock::take(&path) {
        Ok(Some(lock)) => lock,
        Ok(None) => return,
        Err(error) => {
            log!("ragstone job: could not lock \"{}\": {error}", path.display());
            return;
        }
    };
    // The handler of SIGINT remains that of Postgres, which cancels the statement. That of pgrx would only set a flag.
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    die_when_terminated();
    connect_as(ticket.database, ticket.role);
    jobs::run(&ticket);
    // Removed before the lock is released, so that another worker's file of this name is not removed.
    let _ = fs::remove_file(path);
    drop(lock);
}
