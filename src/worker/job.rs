//! The worker of one job as a process: how it is registered, found, interrupted and sent away, and its entry point.
//!
//! It holds the lock of a file as long as it works. Who holds it is known by the kernel, so that no session can pretend to
//! be a job's worker, or keep a job from having one.

use crate::jobs;
use crate::pg::installation;
use crate::pg::major_version::WORKER_CONNECTION_FLAGS;
use crate::worker::database::die_when_terminated;
use crate::worker::lock::FileLock;
use crate::worker::slots;
use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BackgroundWorkerStatus, DynamicBackgroundWorker,
    SignalWakeFlags,
};
use pgrx::{log, pg_guard, pg_sys};
use std::cell::Cell;
use std::fs;

thread_local! {
    /// The job of this process. It must not ask about its own lock, since asking would give the lock back.
    static OWN: Cell<Option<(u32, i64)>> = const { Cell::new(None) };
}

/// What a worker is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// OID of the database.
    pub database: u32,
    /// OID of the role.
    pub role: u32,
    /// Number of the job.
    pub job: i64,
}

impl Order {
    fn text(&self) -> String {
        format!("{} {} {}", self.database, self.role, self.job)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let order = Self {
            database: words.next()?.parse().ok()?,
            role: words.next()?.parse().ok()?,
            job: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(order)
    }
}

/// A worker that was asked for.
pub struct Starting(DynamicBackgroundWorker);

impl Starting {
    /// Whether it has gone, or never came.
    pub fn has_ended(&self) -> bool {
        matches!(self.0.pid(), Err(BackgroundWorkerStatus::Stopped | BackgroundWorkerStatus::PostmasterDied))
    }
}

/// Asks for a worker; nothing where no slot is free. Whoever asks is woken when it comes and when it goes. Not in a
/// transaction, which would end the life of what is given.
pub fn register(order: &Order) -> Option<Starting> {
    // SAFETY: plain reads of the server's state.
    let (upgrading, own_pid) = unsafe { (pg_sys::IsBinaryUpgrade, pg_sys::MyProcPid) };
    if upgrading {
        return None;
    }
    let builder = BackgroundWorkerBuilder::new("ragstone job")
        .set_type("ragstone job")
        .set_library("ragstone")
        .set_function("ragstone_job_main")
        .set_extra(&order.text())
        .set_notify_pid(own_pid)
        .enable_spi_access()
        .set_restart_time(None);
    builder.load_dynamic().ok().map(Starting)
}

/// The process that works on a job.
pub fn holder(database: u32, job: i64) -> Option<i32> {
    if OWN.get() == Some((database, job)) {
        // SAFETY: a plain read.
        return Some(unsafe { pg_sys::MyProcPid });
    }
    FileLock::holder(&installation::job_lock(database, job))
}

/// Cancels the statement of a process, if that is the one that works on the job.
pub fn interrupt(database: u32, job: i64, pid: Option<i32>) -> bool {
    let holder = holder(database, job).filter(|holder| Some(*holder) == pid);
    // SAFETY: a signal to the process that holds the lock at this moment.
    holder.is_some_and(|pid| unsafe { libc::kill(pid, libc::SIGINT) } == 0)
}

/// Workers of jobs of all databases that run.
pub fn running() -> usize {
    all().filter(|(database, job)| holder(*database, *job).is_some()).count()
}

/// Ends the workers of a database, which leave their jobs as they are.
pub fn send_away(database: u32) {
    for (_, job) in all().filter(|(of, _)| *of == database) {
        if let Some(pid) = holder(database, job) {
            // SAFETY: as above.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
    }
}

/// Databases and jobs of which there are files.
pub fn all() -> impl Iterator<Item = (u32, i64)> {
    slots::files("job-").filter_map(|name| {
        let (database, job) = name.split_once('-')?;
        Some((database.parse().ok()?, job.parse().ok()?))
    })
}

/// The worker's entry point.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ragstone_job_main(_argument: pg_sys::Datum) {
    let Some(order) = Order::parse(BackgroundWorker::get_extra()) else { return };
    let path = installation::job_lock(order.database, order.job);
    let lock = match FileLock::take(&path) {
        Ok(Some(lock)) => lock,
        Ok(None) => return,
        Err(error) => {
            log!("ragstone job: could not lock \"{}\": {error}", path.display());
            return;
        }
    };
    OWN.set(Some((order.database, order.job)));
    // SIGINT is Postgres's own, which cancels the statement: the flags that pgrx would set instead are read by nobody.
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    die_when_terminated();
    let (database, role) = (pg_sys::Oid::from(order.database), pg_sys::Oid::from(order.role));
    // SAFETY: done once, before anything else touches the database.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(database, role, WORKER_CONNECTION_FLAGS) };
    jobs::run(&order);
    // Before the lock is given back: another worker's file of this name is another file.
    let _ = fs::remove_file(path);
    drop(lock);
}
