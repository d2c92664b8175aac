//! The worker of one job as a process: how it is registered, found, interrupted and sent away, and its entry point.
//!
//! It holds the lock of a file as long as it works. Who holds it is known by the kernel, so that no session can pretend to
//! be a job's worker, or keep a job from having one.

use crate::jobs;
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::log;
use ragstone_client::processes::file_lock::FileLock;
use ragstone_client::processes::job_registry::{self, JobTicket};
use ragstone_client::processes::register::die_when_terminated;
use ragstone_client::processes::worker_process::{background_worker_main, connect_as};
use ragstone_client::settings::paths;
use std::fs;

background_worker_main!(ragstone_job_main, run);

fn run(_argument: u64) {
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
    job_registry::become_worker(&ticket);
    // SIGINT is Postgres's own, which cancels the statement: the flags that pgrx would set instead are read by nobody.
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    die_when_terminated();
    connect_as(ticket.database, ticket.role);
    jobs::run(&ticket);
    // Before the lock is given back: another worker's file of this name is another file.
    let _ = fs::remove_file(path);
    drop(lock);
}
