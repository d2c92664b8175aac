//! Starts workers for the jobs of a database, the oldest job first, on behalf of its coordinator. Jobs that
//! cannot be executed fail.

use crate::jobs::capacity::Capacity;
use crate::jobs::handlers;
use crate::jobs::open::{OpenJob, open_jobs};
use crate::jobs::record::JobTable;
use pgrx::log;
use ragstone_client::processes::job_registry;
use ragstone_client::processes::job_registry::{JobTicket, StartingWorker};
use ragstone_client::processes::missing_slot::{self, Waiting};
use ragstone_client::processes::slots;
use ragstone_client::settings;
use ragstone_core::backoff::Backoff;
use ragstone_pg::error::Result;
use ragstone_pg::extension::is_installed;
use ragstone_pg::limited_transaction::{Limits, in_limited_transaction};
use ragstone_pg::spi::{Arg, connect, run};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Pauses after an error of the dispatch, and after a job's worker could not start.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// Maximum time between two checks for jobs: neither a changed setting nor the end of another database's job
/// wakes the coordinator.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two deletions of jobs that are older than `rag.jobs_retention`.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);

/// The jobs of one database, from the view of its coordinator.
pub struct Dispatch {
    database: u32,
    requested: HashMap<i64, RequestedWorker>,
    postponed: HashMap<i64, Postponed>,
    backoff: Backoff,
    paused_until: Option<Instant>,
    looked: Option<Instant>,
    pruned: Option<Instant>,
    has_open_jobs: bool,
    /// True if the database has the extension.
    is_installed: bool,
}

/// A worker that has been requested for a job.
struct RequestedWorker {
    worker: StartingWorker,
    ticket: JobTicket,
    /// Number of attempts before this worker.
    attempts: i32,
}

/// A job whose worker could not start.
struct Postponed {
    until: Instant,
    backoff: Backoff,
}

impl Dispatch {
    /// The state when the coordinator of a database starts.
    pub fn new(database: u32) -> Self {
        Self {
            database,
            requested: HashMap::new(),
            postponed: HashMap::new(),
            backoff: BACKOFF,
            paused_until: None,
            looked: None,
            pruned: None,
            has_open_jobs: false,
            is_installed: true,
        }
    }

    /// True if there are jobs that have not ended.
    pub fn has_jobs(&self) -> bool {
        self.has_open_jobs
    }

    /// True if the database had the extension at the last check.
    pub fn is_installed(&self) -> bool {
        self.is_installed
    }

    /// Starts workers for the jobs that are due. Returns true if it started any. An error is logged instead
    /// of returned, because it must not delay the coordinator's other work. The coordinator calls this in
    /// each pass of its loop, many times a second while the log is written, so most calls do nothing.
    pub fn run_due(&mut self) -> bool {
        let now = Instant::now();
        if self.paused_until.is_some_and(|until| now < until) || !self.is_due(now) {
            return false;
        }
        self.looked = Some(now);
        match self.check_jobs() {
            Ok(has_started) => {
                self.backoff.reset();
                self.paused_until = None;
                has_started
            }
            Err(error) => {
                if self.backoff.is_idle() {
                    log!("ragstone coordinator: jobs: {}: {}", error.code(), error.message);
                }
                self.paused_until = Some(now + self.backoff.next_pause());
                self.looked = None;
                false
            }
        }
    }

    /// True if a check is due: a job was submitted, a worker has ended, or the last check was
    /// [`LOOK_INTERVAL`] ago.
    fn is_due(&self, now: Instant) -> bool {
        slots::take_submission(self.database)
            || self.looked.is_none_or(|at| now.duration_since(at) >= LOOK_INTERVAL)
            || self.requested.values().any(|requested| requested.worker.has_ended())
    }

    fn check_jobs(&mut self) -> Result<bool> {
        let open = in_limited_transaction(Limits::Locks, || {
            connect(|| if is_installed()? { open_jobs().map(Some) } else { Ok(None) })
        })?;
        self.is_installed = open.is_some();
        if self.is_installed {
            self.delete_old();
        }
        let open = open.unwrap_or_default();
        self.has_open_jobs = !open.is_empty();
        self.forget_ended_workers(&open);
        self.request_workers(&open)
    }

    /// Deletes old jobs at intervals. Jobs that sessions have locked do not prevent others from starting.
    fn delete_old(&mut self) {
        if self.pruned.is_some_and(|at| at.elapsed() <= PRUNE_INTERVAL) {
            return;
        }
        self.pruned = Some(Instant::now());
        if let Err(error) = in_limited_transaction(Limits::Locks, || connect(delete_old)) {
            log!("ragstone coordinator: could not delete old jobs: {}: {}", error.code(), error.message);
        }
    }

    /// Forgets workers that have ended. A job that its worker did not start is postponed.
    fn forget_ended_workers(&mut self, open: &[OpenJob]) {
        let ended: Vec<_> = self
            .requested
            .iter()
            .filter(|(_, requested)| requested.worker.has_ended())
            .map(|(id, requested)| (*id, requested.attempts))
            .collect();
        for (id, attempts) in ended {
            self.requested.remove(&id);
            let untouched = open.iter().any(|job| job.id == id && !job.running && job.attempts == attempts);
            if untouched {
                self.postpone(id);
            } else {
                self.postponed.remove(&id);
            }
        }
        self.postponed.retain(|id, _| open.iter().any(|job| job.id == *id));
    }

    fn postpone(&mut self, id: i64) {
        let now = Instant::now();
        let postponed = self.postponed.entry(id).or_insert(Postponed { until: now, backoff: BACKOFF });
        postponed.until = now + postponed.backoff.next_pause();
    }

    fn is_postponed(&self, id: i64) -> bool {
        self.postponed.get(&id).is_some_and(|postponed| Instant::now() < postponed.until)
    }

    /// Starts workers for open jobs, the oldest first, within the limits of `rag.max_job_workers` and of each
    /// role. Returns true if it started any.
    fn request_workers(&mut self, open: &[OpenJob]) -> Result<bool> {
        let mut capacity = Capacity::now();
        self.requested.values().for_each(|requested| capacity.add(requested.ticket));
        let (mut has_started, mut lacks_slot) = (false, false);
        for job in open {
            let ticket = JobTicket { database: self.database, role: job.role, job: job.id };
            if self.is_postponed(job.id) || capacity.has(&ticket) {
                continue;
            }
            if let Some(error) = job.permanent_error() {
                let store = || connect(|| JobTable::find()?.failed(job.id, &error));
                match in_limited_transaction(Limits::Locks, store) {
                    // A session has cancelled the job, and its transaction has not ended yet.
                    Err(error) if error.is_lock_not_available() => self.postpone(job.id),
                    stored => stored?,
                }
                continue;
            }
            if capacity.is_exhausted() {
                break;
            }
            if capacity.is_exhausted_for(job.role) {
                continue;
            }
            // If no slot is free, the next check tries again.
            let Some(worker) = job_registry::register(&ticket) else {
                lacks_slot = true;
                break;
            };
            self.requested.insert(job.id, RequestedWorker { worker, ticket, attempts: job.attempts });
            capacity.add(ticket);
            has_started = true;
        }
        missing_slot::note(self.database, Waiting::Job, lacks_slot);
        Ok(has_started)
    }
}

/// Ends the job workers of a database, for example before it is dropped.
pub fn end_workers(database: u32) {
    job_registry::terminate_workers(database);
}

fn delete_old() -> Result<()> {
    let Some(days) = settings::jobs_retention() else { return Ok(()) };
    JobTable::find()?.write(|| {
        run(
            "DELETE FROM rag._job WHERE finished_at < clock_timestamp() - make_interval(hours => 24 * $1)",
            &[Arg::new(days)],
        )?;
        handlers::all().try_for_each(|handler| (handler.forget_old)())
    })
}
