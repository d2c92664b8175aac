//! The workers of jobs: registers, finds, cancels and terminates them.
//!
//! A job's worker holds a lock on a file while it runs. The kernel knows the holder, so no session can pretend to be a
//! job's worker, or prevent a job from getting one.

use crate::processes::file_lock::{FileLock, files_with_prefix};
use crate::processes::system::send_signal;
use crate::settings::paths;
use pgrx::bgworkers::{BackgroundWorkerBuilder, BackgroundWorkerStatus, DynamicBackgroundWorker};
use ragstone_pg::session;
use std::path::PathBuf;

/// The arguments with which a job's worker is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobTicket {
    /// OID of the database.
    pub database: u32,
    /// OID of the role.
    pub role: u32,
    /// Number of the job.
    pub job: i64,
}

impl JobTicket {
    /// The file whose lock the job's worker holds.
    pub fn lock(&self) -> PathBuf {
        paths::job_lock(self.database, self.job, self.role)
    }

    fn to_text(self) -> String {
        format!("{} {} {}", self.database, self.role, self.job)
    }

    /// Parses the argument that [`register`] has passed.
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

/// A worker that was registered.
pub struct StartingWorker(DynamicBackgroundWorker);

impl StartingWorker {
    /// True if it has exited, or was not started.
    pub fn has_ended(&self) -> bool {
        matches!(self.0.pid(), Err(BackgroundWorkerStatus::Stopped | BackgroundWorkerStatus::PostmasterDied))
    }
}

/// Registers a worker; `None` if no slot is free. The worker's start and exit set this process's latch. Must not be called
/// in a transaction: the handle would be allocated in its memory context.
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

/// The process id of a job's worker.
pub fn holder(ticket: &JobTicket) -> Option<i32> {
    FileLock::holder(&ticket.lock())
}

/// Cancels the statement of process `pid`, if it is the worker of the job.
pub fn interrupt(ticket: &JobTicket, pid: Option<i32>) -> bool {
    let holder = holder(ticket).filter(|holder| Some(*holder) == pid);
    holder.is_some_and(|pid| send_signal(pid, libc::SIGINT))
}

/// The jobs of all databases that have a running worker.
pub fn running() -> impl Iterator<Item = JobTicket> {
    known_jobs().filter(|ticket| holder(ticket).is_some())
}

/// Terminates the workers of a database. The state of their jobs is unchanged.
pub fn terminate_workers(database: u32) {
    for pid in known_jobs().filter(|ticket| ticket.database == database).filter_map(|ticket| holder(&ticket))
    {
        send_signal(pid, libc::SIGTERM);
    }
}

/// The job of each lock file.
pub fn known_jobs() -> impl Iterator<Item = JobTicket> {
    files_with_prefix("job-").filter_map(|name| {
        let mut numbers = name.split('-');
        let database = numbers.next()?.parse().ok()?;
        let job = numbers.next()?.parse().ok()?;
        let role = numbers.next()?.parse().ok()?;
        numbers.next().is_none().then_some(JobTicket { database, role, job })
    })
}
