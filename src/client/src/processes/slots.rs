//! The workers of all databases: which database has one, which waits for one, and which has to lose it.
//!
//! The extension has no shared memory without preload, so each worker holds a lock on a file whose name contains its database and
//! its place.

use crate::processes::file_lock::{FileLock, files_with_prefix};
use crate::processes::job_registry;
use crate::processes::missing_slot::{self, Waiting};
use crate::processes::own_files;
use crate::processes::place::{Place, parse_worker_name};
use crate::processes::register;
use crate::processes::supervisor;
use crate::processes::system::send_signal;
use crate::settings;
use crate::settings::paths;
use pgrx::bgworkers::DynamicBackgroundWorkerLoadError;
use ragstone_pg::{databases, session};
use std::cell::RefCell;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

/// Minimum time between two registrations by one session: a worker that was just registered has not taken its lock yet.
const REGISTRATION_INTERVAL: Duration = Duration::from_secs(1);

thread_local! {
    /// The places that this session has registered workers for, and when.
    static REGISTERED: RefCell<Vec<(Place, Instant)>> = const { RefCell::new(Vec::new()) };
}

/// Starts the worker of a place in this database if it has none. If no worker may be started, one is requested from the supervisor.
pub fn ensure(place: Place) {
    let database = session::database();
    if session::is_standby() || session::is_binary_upgrade() || is_starting(place) {
        return;
    }
    if holder(database, place).is_some() {
        return;
    }
    REGISTERED.with_borrow_mut(|registered| {
        registered.retain(|(known, _)| *known != place);
        registered.push((place, Instant::now()));
    });
    start_or_wait(database, place);
}

fn holder(database: u32, place: Place) -> Option<i32> {
    FileLock::holder(&paths::worker_lock(database, place))
}

/// Whether a worker that this session has registered may not have taken its lock yet.
fn is_starting(place: Place) -> bool {
    REGISTERED.with_borrow(|registered| {
        registered.iter().any(|(known, at)| *known == place && at.elapsed() < REGISTRATION_INTERVAL)
    })
}

/// Starts additional workers that index this database. Called by the first of them when the queue is long.
pub fn ensure_more(database: u32) {
    for place in (1..settings::sync_workers()).map(Place::Indexer) {
        if holder(database, place).is_none() && has_room(place) {
            let _ = register::register(database, place);
        }
    }
}

/// Wakes the worker that indexes this database, or requests one if it has exited.
pub fn wake_indexer() {
    wake(Place::FIRST_INDEXER);
}

/// Has the coordinator look for jobs, or requests one if it has exited.
pub fn wake_for_jobs() {
    // The file is there before the coordinator wakes, and it removes the file before it looks: a commit is never missed.
    let _ = own_files::open(&paths::submission(session::database()));
    wake(Place::Coordinator);
}

fn wake(place: Place) {
    if let Some(pid) = ensure_after_commit(place) {
        databases::set_latch(pid);
    }
}

/// Whether jobs were submitted in a database since this was last asked.
pub fn take_submission(database: u32) -> bool {
    fs::remove_file(paths::submission(database)).is_ok()
}

/// Returns the process id of this database's worker in a place, or requests one if it has exited. Does not allocate Postgres's
/// memory and does not raise, so that it may run after a commit.
pub fn ensure_after_commit(place: Place) -> Option<i32> {
    let database = session::database();
    let holder = holder(database, place);
    if holder.is_none() && !is_starting(place) {
        request_worker(database, place);
    }
    holder
}

/// Whether this database has a coordinator.
pub fn has_coordinator() -> bool {
    holder(session::database(), Place::Coordinator).is_some()
}

/// Whether there is room for another worker of the kind of `place` in `rag.max_sync_workers`.
pub fn has_room(place: Place) -> bool {
    running(place) < settings::max_sync_workers() as usize
}

/// Whether another worker can start when that of `place` exits: one of the same kind is requested, or Postgres has had no slot.
pub fn is_room_needed(place: Place) -> bool {
    requests().any(|(_, requested)| requested.is_like(place)) || missing_slot::is_noted_for(place)
}

/// The places that wait for a worker.
fn requests() -> impl Iterator<Item = (u32, Place)> {
    files_with_prefix("wanted-").filter_map(|name| parse_worker_name(&name))
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
    // The oldest first: a worker that makes room for another one asks to come back at once.
    let requested_at = |(database, place): &(u32, Place)| {
        let file = paths::worker_request(*database, *place).metadata();
        file.and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let mut waiting: Vec<_> = requests().collect();
    waiting.sort_by_key(requested_at);
    for (database, place) in waiting {
        if has_room(place) {
            assign_worker(database, place);
        }
    }
}

/// Starts a worker for a place that waits.
fn assign_worker(database: u32, place: Place) {
    // Remove the request before checking for a worker, so that a request made meanwhile is kept for the next pass. A worker that
    // runs now sees all work queued until now, before it exits or just after.
    withdraw_request(database, place);
    if holder(database, place).is_none() && register(database, place).is_err() {
        request_worker(database, place);
    }
}

/// Registers a worker. It notes itself that a slot is not missing any more.
fn register(database: u32, place: Place) -> Result<(), DynamicBackgroundWorkerLoadError> {
    register::register(database, place)
        .inspect_err(|_| missing_slot::note(database, Waiting::Worker(place), true))
}

fn start_or_wait(database: u32, place: Place) {
    if !has_room(place) || register(database, place).is_err() {
        request_worker(database, place);
        // The supervisor assigns freed slots; start it even if no engine has run yet.
        if FileLock::holder(&paths::supervisor_lock()).is_none() {
            let _ = supervisor::register();
        }
    }
}

/// Withdraws the request for a worker when it has started: it sees all work queued until now.
pub fn withdraw_request(database: u32, place: Place) {
    let _ = fs::remove_file(paths::worker_request(database, place));
}

/// Asks the supervisor for a worker, as soon as there is room for one. An older request keeps its turn.
pub fn request_worker(database: u32, place: Place) {
    let _ = own_files::create_new(&paths::worker_request(database, place));
}

/// The number of running workers of the kind of `place`, in all databases.
pub fn running(place: Place) -> usize {
    files_with_prefix("worker-")
        .filter_map(|name| parse_worker_name(&name))
        .filter(|(database, found)| found.is_like(place) && holder(*database, *found).is_some())
        .count()
}
