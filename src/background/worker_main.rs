//! A database's workers as processes: entry points, locks and successors.

use crate::background::exit::{ExitReason, has_work_left};
use crate::background::{coordinator_loop, sync_loop};
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::log;
use ragstone_client::processes::file_lock::FileLock;
use ragstone_client::processes::missing_slot::{self, Waiting};
use ragstone_client::processes::place::Place;
use ragstone_client::processes::register::die_when_terminated;
use ragstone_client::processes::slots;
use ragstone_client::processes::worker_process::{background_worker_main, before_exit, connect};
use ragstone_client::settings::paths;
use ragstone_pg::termination::{end_quietly, is_told_to_end};
use ragstone_pg::{databases, wait};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Maximum wait for the lock of a worker that is exiting.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(5);

/// When a worker that left its slot to another database, because all of its work waits, is started again.
const RETURN_TIME: Duration = Duration::from_secs(30);

/// Interval between two tries to take the lock.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The lock of this worker's place. [`request_successor`] releases it as well.
static LOCK: Mutex<Option<FileLock>> = Mutex::new(None);

/// OID of the database and the place that this worker was started for.
static STARTED_FOR: OnceLock<(u32, Place)> = OnceLock::new();

/// True once the worker is connected to its database.
static IS_CONNECTED: AtomicBool = AtomicBool::new(false);

background_worker_main!(ragstone_worker_main, run_indexer);
background_worker_main!(ragstone_coordinator_main, run_coordinator);

fn run_indexer(argument: u64) {
    run((argument >> 8) as u32, Place::Indexer((argument & 0xff) as i32));
}

fn run_coordinator(argument: u64) {
    run(argument as u32, Place::Coordinator);
}

fn run(database: u32, place: Place) {
    end_quietly();
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    die_when_terminated();
    let path = paths::worker_lock(database, place);
    let Some(lock) = take(&path) else { return };
    keep(Some(lock));
    if !slots::is_within_limit(place) {
        keep(None);
        if place.is_requested() {
            slots::request_worker(database, place);
        }
        return;
    }
    if place.is_requested() {
        // From here on this process is responsible for the request that it was started for.
        let _ = STARTED_FOR.set((database, place));
        before_exit(request_successor);
        slots::withdraw_request(database, place);
        missing_slot::note(database, Waiting::Worker(place), false);
    }
    connect(database);
    IS_CONNECTED.store(true, Ordering::Relaxed);
    loop {
        let reason = match place {
            Place::Coordinator => coordinator_loop::run(database),
            Place::Indexer(_) => sync_loop::run(database, place),
        };
        keep(None);
        // A session that queued work while this worker held the lock has not requested another worker.
        let is_done = reason == ExitReason::NotWanted
            || !matches!(reason, ExitReason::Unfinished | ExitReason::Waiting)
                && !has_work_left(database, place);
        let is_requested = place.is_requested();
        // The request must exist before another process may conclude that it is the last one and look for
        // requests.
        if is_requested && !is_done && reason != ExitReason::Idle {
            match reason {
                ExitReason::Waiting => slots::request_worker_after(database, place, RETURN_TIME),
                _ => slots::request_worker(database, place),
            }
        }
        let may_leave = slots::hand_over_requests();
        if !is_requested
            || reason == ExitReason::NotWanted
            || may_leave && (is_done || reason != ExitReason::Idle)
        {
            return;
        }
        // Work is left, or no other process would serve the requests.
        match FileLock::take(&path) {
            Ok(Some(lock)) => keep(Some(lock)),
            _ => return,
        }
        slots::withdraw_request(database, place);
    }
}

/// Keeps a lock until the process exits or the next call, and releases the lock kept before.
fn keep(lock: Option<FileLock>) {
    *LOCK.lock().unwrap_or_else(PoisonError::into_inner) = lock;
}

/// Takes the lock of a worker's place. If another worker holds it, this function waits: that worker may be
/// exiting and may have missed the work for which this one was started.
fn take(path: &Path) -> Option<FileLock> {
    let until = Instant::now() + MAX_LOCK_WAIT;
    loop {
        match FileLock::take(path) {
            Ok(None) if Instant::now() < until => {}
            Ok(lock) => return lock,
            Err(error) => {
                log!("ragstone worker: could not lock \"{}\": {error}", path.display());
                return None;
            }
        }
        wait::for_latch(LOCK_POLL_INTERVAL);
    }
}

/// Requests another worker if this one is terminated, because work may be left that no other process knows
/// of, unless a command needs exclusive use of the database. A request is dropped if the database has a
/// worker, so this worker releases its lock first.
fn request_successor(code: i32) {
    keep(None);
    let Some((database, place)) = STARTED_FOR.get().copied() else { return };
    if code == 0 {
        return;
    }
    // If the database no longer exists, no other worker could connect either.
    if !IS_CONNECTED.load(Ordering::Relaxed) && !is_told_to_end() {
        slots::serve_requests();
    } else if databases::is_wanted_exclusively(database) {
        missing_slot::note(database, Waiting::Job, false);
        slots::serve_requests();
    } else {
        slots::request_successor(database, place);
    }
}
