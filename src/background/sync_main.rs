//! A database's worker as a process: its entry point, its lock and its successor.

use crate::background::exit::{ExitReason, has_work_left};
use crate::background::sync_loop;
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::{log, pg_guard, pg_sys};
use ragstone_client::processes::file_lock::FileLock;
use ragstone_client::processes::{register, slots};
use ragstone_client::settings::paths;
use ragstone_pg::databases;
use std::path::Path;
use std::time::{Duration, Instant};

/// Maximum wait for the lock of a worker that is exiting.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(5);

/// How often the lock is tried meanwhile.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The worker's entry point.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ragstone_worker_main(argument: pg_sys::Datum) {
    let (database, place) = ((argument.value() >> 8) as u32, (argument.value() & 0xff) as i32);
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    let path = paths::worker_lock(database, place);
    let Some(mut lock) = take(&path) else { return };
    slots::become_worker();
    if place == 0 {
        slots::is_given(database);
    }
    register::die_when_terminated();
    // SAFETY: done once, before anything else touches the database. The callback lives as long as the process.
    unsafe {
        pg_sys::BackgroundWorkerInitializeConnectionByOid(pg_sys::Oid::from(database), pg_sys::InvalidOid, 0);
        if place == 0 {
            pg_sys::before_shmem_exit(Some(request_successor), pg_sys::Datum::from(database));
        }
    }
    loop {
        let reason = sync_loop::run(database, place);
        drop(lock);
        // A session that queued work while the lock was held has not requested another worker.
        let is_done =
            reason == ExitReason::NotWanted || reason != ExitReason::Unfinished && !has_work_left(database);
        if place > 0 || is_done {
            return;
        }
        if reason != ExitReason::Idle {
            return slots::want(database);
        }
        lock = match FileLock::take(&path) {
            Ok(Some(lock)) => lock,
            _ => return,
        };
    }
}

/// Takes the lock of a worker's place. If it is held, its holder may be exiting and no longer see the work that this worker was started
/// for.
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
        if !BackgroundWorker::wait_latch(Some(LOCK_POLL_INTERVAL)) {
            return None;
        }
    }
}

/// Requests another worker if this one is terminated, since work may be left that no other process knows of; unless a command needs
/// the database without other connections.
#[pg_guard]
unsafe extern "C-unwind" fn request_successor(code: libc::c_int, database: pg_sys::Datum) {
    let database = database.value() as u32;
    if code != 0 && !databases::is_wanted_exclusively(database) {
        slots::want(database);
    }
}
