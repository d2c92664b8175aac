//! The workers of jobs: how one is registered, found, interrupted and sent away.
//!
//! It holds the lock of a file as long as it works. Who holds it is known by the kernel, so that no session can pretend to
//! be a job's worker, or keep a job from having one.

use crate::processes::file_lock::{FileLock, files_with_prefix};
use crate::processes::system::send_signal;
use crate::settings::paths;
use pgrx::bgworkers::{BackgroundWorkerBuilder, BackgroundWorkerStatus, DynamicBackgroundWorker};
use ragstone_pg::session;
use std::cell::Cell;

thread_local! {
    /// The job of this process. It must not ask about its own lock, since asking would give the lock back.
    static OWN: Cell<Option<(u32, i64)>> = const { Cell::new(None) };
}

/// This process works on a job from now on.
pub fn become_worker(ticket: &JobTicket) {
    OWN.set(Some((ticket.database, ticket.job)));
}

/// What a worker is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobTicket {
    /// OID of the database.
    pub database: u32,
    /// OID of the role.
    pub role: u32,
    /// Number of the job.
    pub job: i64,
}

impl JobTicket {
    fn to_text(self) -> String {
        format!("{} {} {}", self.database, self.role, self.job)
    }

    /// Reads what [`register`] has sent along.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let ticket = Self {
            database: words.next()?.parse().ok()?,
            role: words.next()?.parse().ok()?,
            job: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(ticket)
    }
}

/// A worker that was asked for.
pub struct StartingWorker(DynamicBackgroundWorker);

impl StartingWorker {
    /// Whether it has gone, or never came.
    pub fn has_ended(&self) -> bool {
        matches!(self.0.pid(), Err(BackgroundWorkerStatus::Stopped | BackgroundWorkerStatus::PostmasterDied))
    }
}

/// Asks for a worker; nothing where no slot is free. Whoever asks is woken when it comes and when it goes. Not in a
/// transaction, which would end the life of what is given.
pub fn register(ticket: &JobTicket) -> Option<StartingWorker> {
    if session::is_binary_upgrade() {
        return None;
    }
    let builder = BackgroundWorkerBuilder::new("ragstone job")
        .set_type("ragstone job")
        .set_library("ragstone")
        .set_function("ragstone_job_main")
        .set_extra(&ticket.to_text())
        .set_notify_pid(session::pid())
        .enable_spi_access()
        .set_restart_time(None);
    builder.load_dynamic().ok().map(StartingWorker)
}

/// The process that works on a job.
pub fn holder(database: u32, job: i64) -> Option<i32> {
    if OWN.get() == Some((database, job)) {
        return Some(session::pid());
    }
    FileLock::holder(&paths::job_lock(database, job))
}

/// Cancels the statement of a process, if that is the one that works on the job.
pub fn interrupt(database: u32, job: i64, pid: Option<i32>) -> bool {
    let holder = holder(database, job).filter(|holder| Some(*holder) == pid);
    holder.is_some_and(|pid| send_signal(pid, libc::SIGINT))
}

/// Workers of jobs of all databases that run.
pub fn running() -> usize {
    known_jobs().filter(|(database, job)| holder(*database, *job).is_some()).count()
}

/// Ends the workers of a database, which leave their jobs as they are.
pub fn terminate_workers(database: u32) {
    for (_, job) in known_jobs().filter(|(of, _)| *of == database) {
        if let Some(pid) = holder(database, job) {
            send_signal(pid, libc::SIGTERM);
        }
    }
}

/// Databases and jobs of which there are files.
pub fn known_jobs() -> impl Iterator<Item = (u32, i64)> {
    files_with_prefix("job-").filter_map(|name| {
        let (database, job) = name.split_once('-')?;
        Some((database.parse().ok()?, job.parse().ok()?))
    })
}
