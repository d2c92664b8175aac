//! A database's worker as a process: how it is registered, and its entry point.

use crate::background::exit::{Left, has_work_left};
use crate::background::sync_loop;
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::{log, pg_guard, pg_sys};
use ragstone_client::processes::file_lock::FileLock;
use ragstone_client::processes::{register, slots};
use ragstone_client::settings::paths;
use ragstone_pg::databases;
use std::path::Path;
use std::time::{Duration, Instant};

/// A worker that leaves holds its lock no longer than this.
const LEAVING: Duration = Duration::from_secs(5);

/// Whether it has gone is looked so often.
const LOOK: Duration = Duration::from_millis(20);

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
            pg_sys::before_shmem_exit(Some(ask_for_another), pg_sys::Datum::from(database));
        }
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
            return slots::want(database);
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
#[pg_guard]
unsafe extern "C-unwind" fn ask_for_another(code: libc::c_int, database: pg_sys::Datum) {
    let database = database.value() as u32;
    if code != 0 && !databases::is_wanted_exclusively(database) {
        slots::want(database);
    }
}
