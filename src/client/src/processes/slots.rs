//! The workers of all databases: which database has one, which waits for one, and which has to lose it.
//!
//! The extension has no shared memory without preload, so each worker holds a lock on a file whose name contains its database.

use crate::processes::file_lock::{FileLock, files_with_prefix, parse_worker_name};
use crate::processes::job_registry;
use crate::processes::missing_slot;
use crate::processes::register;
use crate::processes::supervisor;
use crate::processes::system::send_signal;
use crate::settings;
use crate::settings::paths;
use pgrx::bgworkers::DynamicBackgroundWorkerLoadError;
use ragstone_pg::{databases, session};
use std::cell::Cell;
use std::fs;
use std::time::{Duration, Instant};

/// Minimum time between two registrations by one session: a worker that was just registered has not taken its lock yet.
const REGISTRATION_INTERVAL: Duration = Duration::from_secs(1);

thread_local! {
    static REGISTERED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Starts a worker for this database if it has none. If no worker may be started, one is requested from the supervisor.
pub fn ensure() {
    let database = session::database();
    if session::is_standby() || session::is_binary_upgrade() || is_starting() {
        return;
    }
    if FileLock::holder(&paths::worker_lock(database, 0)).is_some() {
        return;
    }
    REGISTERED.set(Some(Instant::now()));
    start_or_wait(database);
}

/// Whether a worker that this session has registered may not have taken its lock yet.
fn is_starting() -> bool {
    REGISTERED.get().is_some_and(|at| at.elapsed() < REGISTRATION_INTERVAL)
}

/// Starts additional workers for this database. Called by its first worker when the queue is long.
pub fn ensure_more(database: u32) {
    for place in 1..settings::sync_workers() {
        let held = FileLock::holder(&paths::worker_lock(database, place)).is_some();
        if !held && has_room() {
            let _ = register::register(database, place);
        }
    }
}

/// Wakes this database's worker; requests one if it has exited. `has_jobs` says whether it is to look for jobs.
pub fn wake(has_jobs: bool) {
    // The file is there before the worker wakes, and the worker removes it before it looks: a commit is never missed.
    if has_jobs {
        let _ = fs::write(paths::submission(session::database()), "");
    }
    if let Some(pid) = ensure_after_commit() {
        databases::set_latch(pid);
    }
}

/// Whether jobs were submitted in a database since this was last asked.
pub fn take_submission(database: u32) -> bool {
    fs::remove_file(paths::submission(database)).is_ok()
}

/// Returns the process id of this database's worker, or requests one if it has exited. Does not allocate Postgres's memory and
/// does not raise, so that it may run after a commit.
pub fn ensure_after_commit() -> Option<i32> {
    let database = session::database();
    let holder = FileLock::holder(&paths::worker_lock(database, 0));
    if holder.is_none() && !is_starting() {
        request_worker(database);
    }
    holder
}

/// Whether this database has a worker.
pub fn has_worker() -> bool {
    FileLock::holder(&paths::worker_lock(session::database(), 0)).is_some()
}

/// Whether there is room for another worker in `rag.max_sync_workers`.
pub fn has_room() -> bool {
    running() < settings::max_sync_workers() as usize
}

/// Whether a database waits for a worker.
pub fn has_requests() -> bool {
    files_with_prefix("wanted-").next().is_some()
}

/// The supervisor's part: ends the workers of databases that a session needs exclusively, and starts workers for the databases
/// that wait.
pub fn run_due() {
    for (database, place) in files_with_prefix("worker-").filter_map(|name| parse_worker_name(&name)) {
        let path = paths::worker_lock(database, place);
        match FileLock::holder(&path) {
            Some(pid) if databases::is_wanted_exclusively(database) => {
                send_signal(pid, libc::SIGTERM);
            }
            Some(_) => {}
            None => FileLock::remove_if_free(&path),
        }
    }
    for ticket in job_registry::known_jobs() {
        match job_registry::holder(&ticket) {
            Some(_) if databases::is_wanted_exclusively(ticket.database) => {
                job_registry::terminate_workers(ticket.database)
            }
            Some(_) => {}
            None => FileLock::remove_if_free(&ticket.lock()),
        }
    }
    for database in files_with_prefix("wanted-").filter_map(|name| name.parse().ok()) {
        if has_room() {
            assign_worker(database);
        }
    }
}

/// Starts a worker for a database that waits.
fn assign_worker(database: u32) {
    // Remove the request before checking for a worker, so that a request made meanwhile is kept for the next pass. A worker that
    // runs now sees all work queued until now, before it exits or just after.
    let _ = fs::remove_file(paths::worker_request(database));
    let held = FileLock::holder(&paths::worker_lock(database, 0)).is_some();
    if !held && register_first(database).is_err() {
        request_worker(database);
    }
}

/// Registers the first worker of a database. That worker looks itself whether a slot is still missing.
fn register_first(database: u32) -> Result<(), DynamicBackgroundWorkerLoadError> {
    register::register(database, 0)
        .inspect_err(|_| missing_slot::note(database, true, "a database waits for its worker"))
}

fn start_or_wait(database: u32) {
    if !has_room() || register_first(database).is_err() {
        request_worker(database);
        // The supervisor assigns freed slots; start it even if no engine has run yet.
        if FileLock::holder(&paths::supervisor_lock()).is_none() {
            let _ = supervisor::register();
        }
    }
}

/// Withdraws a database's request, when its worker has started: it sees all work queued until now.
pub fn withdraw_request(database: u32) {
    let _ = fs::remove_file(paths::worker_request(database));
}

/// Asks the supervisor for a worker, as soon as there is room for one.
pub fn request_worker(database: u32) {
    let _ = fs::write(paths::worker_request(database), "");
}

/// The number of running workers of all databases.
pub fn running() -> usize {
    files_with_prefix("worker-")
        .filter_map(|name| parse_worker_name(&name))
        .filter(|(database, place)| FileLock::holder(&paths::worker_lock(*database, *place)).is_some())
        .count()
}
