//! A database's worker as a process: how it is registered, and its entry point.

use crate::background::exit::{Left, has_work_left};
use crate::background::sync_loop;
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::log;
use ragstone_client::processes::file_lock::FileLock;
use ragstone_client::processes::worker_process::{background_worker_main, before_exit, connect};
use ragstone_client::processes::{register, slots};
use ragstone_client::settings::paths;
use ragstone_pg::{databases, session};
use std::path::Path;
use std::time::{Duration, Instant};

/// A worker that leaves holds its lock no longer than this.
const LEAVING: Duration = Duration::from_secs(5);

/// Whether it has gone is looked so often.
const LOOK: Duration = Duration::from_millis(20);

background_worker_main!(ragstone_worker_main, run);

fn run(argument: u64) {
    let (database, place) = ((argument >> 8) as u32, (argument & 0xff) as i32);
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    let path = paths::worker_lock(database, place);
    let Some(mut lock) = take(&path) else { return };
    slots::become_worker();
    if place == 0 {
        slots::withdraw_request(database);
    }
    register::die_when_terminated();
    connect(database);
    if place == 0 {
        before_exit(request_successor);
    }
    loop {
        let left = sync_loop::run(database, place);
        drop(lock);
        // Who saw the lock held until now has started nobody else for what he noted.
        let done = |left| left == Left::ForGood || left != Left::Unfinished && !has_work_left(database);
        if place > 0 || done(left) {
            return;
        }
        if left != Left::Idle {
            return slots::request_worker(database);
        }
        lock = match FileLock::take(&path) {
            Ok(Some(lock)) => lock,
            _ => return,
        };
    }
}

/// The lock of a place. One that is held may be that of a worker that leaves, and does not see any more what this one was asked for.
fn take(path: &Path) -> Option<FileLock> {
    let until = Instant::now() + LEAVING;
    loop {
        match FileLock::take(path) {
            Ok(None) if Instant::now() < until => {}
            Ok(lock) => return lock,
            Err(error) => {
                log!("ragstone worker: could not lock \"{}\": {error}", path.display());
                return None;
            }
        }
        if !BackgroundWorker::wait_latch(Some(LOOK)) {
            return None;
        }
    }
}

/// Where a worker is ended by others there may be something left, which nobody else would know of. Whoever wants the database
/// for himself wants no other worker, either.
fn request_successor(code: i32) {
    let database = session::database();
    if code != 0 && !databases::is_wanted_exclusively(database) {
        slots::request_worker(database);
    }
}
