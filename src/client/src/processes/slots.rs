//! The workers of all databases: the databases that have one, wait for one, or have to lose it.
//!
//! Without preload the extension has no shared memory, so each worker holds a lock on a file whose name contains its
//! database and its place. A database that waits for a worker has a file as well, its request. Every background process of
//! the extension serves the requests of all databases: at least once a second while it sleeps, and when it exits. The last
//! process stays until all requests are served.

use crate::processes::file_lock::{FileLock, files_with_prefix};
use crate::processes::job_registry;
use crate::processes::missing_slot::{self, Waiting};
use crate::processes::own_files;
use crate::processes::place::{Place, parse_worker_name};
use crate::processes::register;
use crate::processes::system::send_signal;
use crate::settings;
use crate::settings::paths;
use ragstone_pg::{databases, session};
use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Minimum time between two registrations by one session: a worker that was just registered has not taken its lock yet.
const REGISTRATION_INTERVAL: Duration = Duration::from_secs(1);

/// Interval at which a process serves requests.
const SERVICE_INTERVAL: Duration = Duration::from_secs(1);

thread_local! {
    /// The places for which this session has registered workers, with the time.
    static REGISTERED: RefCell<Vec<(Place, Instant)>> = const { RefCell::new(Vec::new()) };

    /// When this process last served requests at its interval.
    static SERVED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Starts the worker of a place in this database if it has none. If no worker may be started, requests one.
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

/// True if a worker that this session has registered may not have taken its lock yet.
fn is_starting(place: Place) -> bool {
    REGISTERED.with_borrow(|registered| {
        registered.iter().any(|(known, at)| *known == place && at.elapsed() < REGISTRATION_INTERVAL)
    })
}

/// Starts additional workers that index this database. The first worker calls this when the queue is long.
pub fn ensure_more(database: u32) {
    for place in (1..settings::sync_workers()).map(Place::Indexer) {
        if holder(database, place).is_none() && has_room(place) {
            register::register(database, place);
        }
    }
}

/// Wakes the worker that indexes this database, or requests one if it has exited.
pub fn wake_indexer() {
    wake(Place::FIRST_INDEXER);
}

/// Wakes the coordinator to look for jobs, or requests one if it has exited.
pub fn wake_for_jobs() {
    // The file is created before the coordinator wakes, and the coordinator removes it before it looks for jobs: no commit
    // is missed.
    let _ = own_files::open(&paths::submission(session::database()));
    wake(Place::Coordinator);
}

fn wake(place: Place) {
    if let Some(pid) = ensure_after_commit(place) {
        databases::set_latch(pid);
    }
}

/// True if jobs were submitted in a database since the last call.
pub fn take_submission(database: u32) -> bool {
    fs::remove_file(paths::submission(database)).is_ok()
}

/// Returns the process id of this database's worker in a place, or requests one if it has exited. Neither allocates
/// PostgreSQL memory nor raises, so that it may run after a commit.
pub fn ensure_after_commit(place: Place) -> Option<i32> {
    let database = session::database();
    let holder = holder(database, place);
    if holder.is_none() && !is_starting(place) {
        request_worker(database, place);
        serve_requests();
    }
    holder
}

/// True if this database has a coordinator.
pub fn has_coordinator() -> bool {
    holder(session::database(), Place::Coordinator).is_some()
}

/// True if `rag.max_sync_workers` permits another worker of the kind of `place`.
pub fn has_room(place: Place) -> bool {
    running(place) < settings::max_sync_workers() as usize
}

/// True if this process, a worker in `place`, is within the limit of `rag.max_sync_workers`. Several processes may have
/// started workers for the same room; those with the lowest process ids stay.
pub fn is_within_limit(place: Place) -> bool {
    let lower = holders(place).filter(|pid| *pid < session::pid()).count();
    lower < settings::max_sync_workers() as usize
}

/// True if another worker could start when the worker of `place` exits: a worker of the same kind is requested, or
/// PostgreSQL had no slot.
pub fn is_room_needed(place: Place) -> bool {
    due_requests().any(|(_, _, requested)| requested.is_like(place)) || missing_slot::is_noted_for(place)
}

/// The places that wait for a worker.
fn requests() -> impl Iterator<Item = (u32, Place)> {
    files_with_prefix("wanted-").filter_map(|name| parse_worker_name(&name))
}

/// The places that wait for a worker now, each with the time of its request.
fn due_requests() -> impl Iterator<Item = (SystemTime, u32, Place)> {
    let now = SystemTime::now();
    requests()
        .map(|(database, place)| (requested_at(&paths::worker_request(database, place)), database, place))
        .filter(move |(at, ..)| *at <= now)
}

/// When a worker was requested, or when a request that waits becomes due.
fn requested_at(request: &Path) -> SystemTime {
    request.metadata().and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Ends the workers of databases to which a session needs exclusive access, and removes the files of workers that have exited.
pub fn end_unwanted() {
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
}

/// Serves the requests, unless this process did so within [`SERVICE_INTERVAL`].
pub fn serve_requests_at_intervals() {
    let is_due = SERVED.get().is_none_or(|at| at.elapsed() >= SERVICE_INTERVAL);
    if is_due {
        SERVED.set(Some(Instant::now()));
        serve_requests();
    }
}

/// Starts workers for the places that wait, within the limits. Returns whether it has started any. Neither allocates
/// PostgreSQL memory nor raises.
pub fn serve_requests() -> bool {
    // The oldest request first: a worker that exits to make room requests its own return at once.
    let mut waiting: Vec<_> = due_requests().collect();
    if waiting.is_empty() {
        return false;
    }
    waiting.sort_by_key(|(at, ..)| *at);
    // Counted once: a worker that was just registered holds no lock yet.
    let limit = settings::max_sync_workers() as usize;
    let mut room =
        [Place::Coordinator, Place::FIRST_INDEXER].map(|kind| (kind, limit.saturating_sub(running(kind))));
    let mut has_started = false;
    for (at, database, place) in waiting {
        let left = room.iter_mut().find(|(kind, left)| kind.is_like(place) && *left > 0);
        if let Some((_, left)) = left
            && assign_worker(database, place, at)
        {
            *left -= 1;
            has_started = true;
        }
    }
    has_started
}

/// Serves the requests for a process that is about to exit. Returns whether it may exit: no request is left, or another
/// process is running or was started that will serve the rest.
pub fn hand_over_requests() -> bool {
    serve_requests() || is_any_other_alive() || requests().next().is_none()
}

/// True if another process serves requests: a worker of any database, or the supervisor.
fn is_any_other_alive() -> bool {
    let workers = files_with_prefix("worker-").filter_map(|name| parse_worker_name(&name));
    workers
        .map(|(database, place)| paths::worker_lock(database, place))
        .chain([paths::supervisor_lock()])
        .any(|path| FileLock::holder(&path).is_some_and(|pid| pid != session::pid()))
}

/// Starts a worker for a place that has waited since `requested_at`. Returns whether it has started one.
fn assign_worker(database: u32, place: Place, requested_at: SystemTime) -> bool {
    // The request is removed before the check for a worker, so that a request made meanwhile is kept for the next pass. A
    // worker that is running now sees all work queued until now, before it exits or just after. Of several processes, only
    // one removes the request.
    if !withdraw_request(database, place) || holder(database, place).is_some() {
        return false;
    }
    let is_started = register(database, place);
    // Without a slot the request keeps its turn.
    if !is_started && let Ok(file) = own_files::create_new(&paths::worker_request(database, place)) {
        let _ = file.set_modified(requested_at);
    }
    is_started
}

/// Starts a worker that takes over from this process while it exits. The request stays until the successor has begun, in
/// case the server is shutting down.
pub fn request_successor(database: u32, place: Place) {
    request_worker(database, place);
    if !is_any_other_alive() {
        register(database, place);
    }
}

/// Registers a worker and records a missing slot. The worker itself removes that record when it starts. Returns whether
/// there was a slot.
fn register(database: u32, place: Place) -> bool {
    let is_registered = register::register(database, place);
    if !is_registered {
        missing_slot::note(database, Waiting::Worker(place), true);
    }
    is_registered
}

fn start_or_wait(database: u32, place: Place) {
    if !has_room(place) || !register(database, place) {
        request_worker(database, place);
    }
}

/// Withdraws the request for a worker that has started: the worker sees all work queued until now. Returns whether there
/// was a request.
pub fn withdraw_request(database: u32, place: Place) -> bool {
    fs::remove_file(paths::worker_request(database, place)).is_ok()
}

/// Requests a worker, to be started as soon as the limits permit. An existing request keeps its turn; one that is not due
/// yet becomes due.
pub fn request_worker(database: u32, place: Place) {
    let path = paths::worker_request(database, place);
    let now = SystemTime::now();
    if own_files::create_new(&path).is_err()
        && requested_at(&path) > now
        && let Ok(file) = own_files::open(&path)
    {
        let _ = file.set_modified(now);
    }
}

/// Requests a worker for work that waits, to be started after `pause`. An existing request keeps its turn.
pub fn request_worker_after(database: u32, place: Place, pause: Duration) {
    if let Ok(file) = own_files::create_new(&paths::worker_request(database, place)) {
        let _ = file.set_modified(SystemTime::now() + pause);
    }
}

/// The number of running workers of the kind of `place`, in all databases.
pub fn running(place: Place) -> usize {
    holders(place).count()
}

/// The process ids of running workers of the kind of `place`, in all databases.
fn holders(place: Place) -> impl Iterator<Item = i32> {
    files_with_prefix("worker-")
        .filter_map(|name| parse_worker_name(&name))
        .filter(move |(_, found)| found.is_like(place))
        .filter_map(|(database, found)| holder(database, found))
}
