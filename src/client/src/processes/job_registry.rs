//! The workers of jobs: how one is registered, found, cancelled and terminated.
//!
//! A job's worker holds a lock on a file as long as it runs. The kernel knows the holder, so no session can pretend to be a job's
//! worker, or keep a job from having one.

use crate::processes::file_lock::{FileLock, files_with_prefix};
use crate::processes::system::send_signal;
use crate::settings::paths;
use pgrx::bgworkers::{BackgroundWorkerBuilder, BackgroundWorkerStatus, DynamicBackgroundWorker};
use ragstone_pg::session;

/// What the worker of a job is registered with.
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

    /// Parses what [`register`] has passed.
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
    /// Whether it has exited, or was not started.
    pub fn has_ended(&self) -> bool {
        matches!(self.0.pid(), Err(BackgroundWorkerStatus::Stopped | BackgroundWorkerStatus::PostmasterDied))
    }
}

/// Registers a worker; none if no slot is free. This process's latch is set when the worker starts and when it exits. Must not be
/// called in a transaction, whose memory context the handle would be in.
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
pub fn holder(database: u32, job: i64) -> Option<i32> {
    FileLock::holder(&paths::job_lock(database, job))
}

/// Cancels the statement of process `pid`, if it is the worker of the job.
pub fn interrupt(database: u32, job: i64, pid: Option<i32>) -> bool {
    let holder = holder(database, job).filter(|holder| Some(*holder) == pid);
    holder.is_some_and(|pid| send_signal(pid, libc::SIGINT))
}

/// The number of running workers of jobs of all databases.
pub fn running() -> usize {
    known_jobs().filter(|(database, job)| holder(*database, *job).is_some()).count()
}

/// Terminates the workers of a database. Their jobs stay as they are.
pub fn terminate_workers(database: u32) {
    for (_, job) in known_jobs().filter(|(of, _)| *of == database) {
        if let Some(pid) = holder(database, job) {
            send_signal(pid, libc::SIGTERM);
        }
    }
}

/// Database and job of every lock file.
pub fn known_jobs() -> impl Iterator<Item = (u32, i64)> {
    files_with_prefix("job-").filter_map(|name| {
        let (database, job) = name.split_once('-')?;
        Some((database.parse().ok()?, job.parse().ok()?))
    })
}
