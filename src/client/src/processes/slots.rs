//! The workers of all databases: who has one, who waits for one, who has to go.
//!
//! Without preload there is no shared memory of ours; each worker holds the lock of a file instead, whose name says for
//! which database it works.

use crate::processes::file_lock::{FileLock, files_with_prefix, parse_worker_name};
use crate::processes::job_registry;
use crate::processes::register;
use crate::processes::supervisor;
use crate::processes::system::send_signal;
use crate::settings;
use crate::settings::paths;
use ragstone_pg::{databases, session};
use std::cell::Cell;
use std::fs;
use std::time::{Duration, Instant};

/// A session registers a worker at most so often: one that was just registered has not taken its place yet.
const REGISTRATION_INTERVAL: Duration = Duration::from_secs(1);

thread_local! {
    static REGISTERED: Cell<Option<Instant>> = const { Cell::new(None) };

    /// A worker must not ask about its own lock, since asking would give the lock back.
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// This process is a worker.
pub fn become_worker() {
    IS_WORKER.set(true);
}

/// Sees to it that this database has a worker, as far as there is room for one.
pub fn ensure() {
    let database = session::database();
    if session::is_standby() || session::is_binary_upgrade() || IS_WORKER.get() || is_starting() {
        return;
    }
    if FileLock::holder(&paths::worker_lock(database, 0)).is_some() {
        return;
    }
    REGISTERED.set(Some(Instant::now()));
    start_or_wait(database);
}

/// Whether a worker that this session has registered may not have taken its place yet.
fn is_starting() -> bool {
    REGISTERED.get().is_some_and(|at| at.elapsed() < REGISTRATION_INTERVAL)
}

/// Sets more workers on this database. For its first worker, when there is much to do.
pub fn ensure_more(database: u32) {
    for place in 1..settings::sync_workers() {
        let held = FileLock::holder(&paths::worker_lock(database, place)).is_some();
        if !held && running() < settings::max_sync_workers() as usize {
            let _ = register::register(database, place);
        }
    }
}

/// Wakes this database's worker. Where it has left meanwhile another one comes.
pub fn wake() {
    if let Some(pid) = ensure_after_commit() {
        databases::set_latch(pid);
    }
}

/// Sees to it that another worker comes where this database's has left, and gives the one that has not. Allocates nothing of
/// Postgres's, and raises nothing.
pub fn ensure_after_commit() -> Option<i32> {
    if IS_WORKER.get() {
        return None;
    }
    let database = session::database();
    let holder = FileLock::holder(&paths::worker_lock(database, 0));
    if holder.is_none() && !is_starting() {
        request_worker(database);
    }
    holder
}

/// Whether another database waits for a worker.
pub fn has_requests() -> bool {
    files_with_prefix("wanted-").next().is_some()
}

/// The supervisor's part: sends workers away from databases that somebody wants for himself, and starts workers for
/// those that wait.
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
    for (database, job) in job_registry::known_jobs() {
        match job_registry::holder(database, job) {
            Some(_) if databases::is_wanted_exclusively(database) => {
                job_registry::terminate_workers(database)
            }
            Some(_) => {}
            None => FileLock::remove_if_free(&paths::job_lock(database, job)),
        }
    }
    for database in files_with_prefix("wanted-").filter_map(|name| name.parse().ok()) {
        if running() < settings::max_sync_workers() as usize {
            assign_worker(database);
        }
    }
}

/// Gives a database that waits a worker.
fn assign_worker(database: u32) {
    // Before it is looked who works there: who asks after this moment is heard the next time. A worker that is there now sees
    // what was noted until now, before it leaves or just after.
    let _ = fs::remove_file(paths::worker_request(database));
    let held = FileLock::holder(&paths::worker_lock(database, 0)).is_some();
    if !held && register::register(database, 0).is_err() {
        request_worker(database);
    }
}

fn start_or_wait(database: u32) {
    let room = running() < settings::max_sync_workers() as usize;
    if !room || register::register(database, 0).is_err() {
        request_worker(database);
        // Whoever gives out what becomes free. An engine need not have been used yet.
        if FileLock::holder(&paths::supervisor_lock()).is_none() {
            let _ = supervisor::register();
        }
    }
}

/// A database that waited has a worker, who sees what was noted until now.
pub fn withdraw_request(database: u32) {
    let _ = fs::remove_file(paths::worker_request(database));
}

/// Asks the supervisor for a worker, as soon as there is room for one.
pub fn request_worker(database: u32) {
    let _ = fs::write(paths::worker_request(database), "");
}

/// Workers of all databases that run.
pub fn running() -> usize {
    files_with_prefix("worker-")
        .filter_map(|name| parse_worker_name(&name))
        .filter(|(database, place)| FileLock::holder(&paths::worker_lock(*database, *place)).is_some())
        .count()
}
