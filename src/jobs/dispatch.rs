//! The sync worker of a database has workers started for jobs, the oldest first, and fails the jobs that cannot be done.

use crate::jobs::capacity::Capacity;
use crate::jobs::handlers;
use crate::jobs::open::{OpenJob, open_jobs};
use crate::jobs::record::JobTable;
use pgrx::log;
use ragstone_client::processes::job_registry;
use ragstone_client::processes::job_registry::{JobTicket, StartingWorker};
use ragstone_client::processes::{missing_slot, slots};
use ragstone_client::settings;
use ragstone_core::backoff::Backoff;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::error::Result;
use ragstone_pg::extension::is_installed;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::{Arg, connect, run};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Pauses after a failure of the dispatch, and after a worker of a job that could not start.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// Maximum time between two looks for jobs: neither a changed setting nor the end of another database's job wakes the worker.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two deletions of jobs that are older than `rag.jobs_retention`.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);

/// The jobs of one database, as its sync worker sees them.
pub struct Dispatch {
    database: u32,
    requested: HashMap<i64, RequestedWorker>,
    postponed: HashMap<i64, Postponed>,
    backoff: Backoff,
    paused_until: Option<Instant>,
    looked: Option<Instant>,
    pruned: Option<Instant>,
    has_open_jobs: bool,
}

/// A worker that has been requested for a job.
struct RequestedWorker {
    worker: StartingWorker,
    ticket: JobTicket,
    /// Attempts of the job before this worker.
    attempts: i32,
}

/// A job whose worker could not start.
struct Postponed {
    until: Instant,
    backoff: Backoff,
}

impl Dispatch {
    /// The dispatch of a database whose sync worker starts.
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
        }
    }

    /// Whether there are jobs that have not ended.
    pub fn has_jobs(&self) -> bool {
        self.has_open_jobs
    }

    /// Has workers started for the jobs that are due. An error is logged and not returned: it must not delay the collections. Called
    /// at each turn of the worker's loop, many times a second while rows are indexed, so it mostly does nothing.
    pub fn run_due(&mut self) {
        let now = Instant::now();
        if self.paused_until.is_some_and(|until| now < until) || !self.is_due(now) {
            return;
        }
        self.looked = Some(now);
        match self.check_jobs() {
            Ok(()) => {
                self.backoff.reset();
                self.paused_until = None;
            }
            Err(error) => {
                if self.backoff.is_idle() {
                    log!("ragstone worker: jobs: {}: {}", error.code(), error.message);
                }
                self.paused_until = Some(now + self.backoff.next_pause());
                self.looked = None;
            }
        }
    }

    /// Whether something may have changed: a job was submitted, a worker has ended, or the last look was some time ago.
    fn is_due(&self, now: Instant) -> bool {
        slots::take_submission(self.database)
            || self.looked.is_none_or(|at| now.duration_since(at) >= LOOK_INTERVAL)
            || self.requested.values().any(|requested| requested.worker.has_ended())
    }

    fn check_jobs(&mut self) -> Result<()> {
        let prune = self.pruned.is_none_or(|at| at.elapsed() > PRUNE_INTERVAL);
        let open = in_transaction(|| {
            with_safe_search_path(|| {
                connect(|| {
                    if !is_installed()? {
                        return Ok(Vec::new());
                    }
                    if prune {
                        delete_old()?;
                    }
                    open_jobs()
                })
            })
        })?;
        if prune {
            self.pruned = Some(Instant::now());
        }
        self.has_open_jobs = !open.is_empty();
        self.forget_ended_workers(&open);
        self.request_workers(&open)
    }

    /// Forgets workers that have ended. A job that its worker did not even begin is postponed.
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

    /// Has workers started for open jobs, the oldest first, as far as `rag.max_job_workers` and the share of a role allow.
    fn request_workers(&mut self, open: &[OpenJob]) -> Result<()> {
        let mut capacity = Capacity::now();
        self.requested.values().for_each(|requested| capacity.add(requested.ticket));
        let mut lacks_slot = false;
        for job in open {
            let ticket = JobTicket { database: self.database, role: job.role, job: job.id };
            if self.is_postponed(job.id) || capacity.has(&ticket) {
                continue;
            }
            if let Some(error) = job.permanent_error() {
                in_transaction(|| {
                    with_safe_search_path(|| connect(|| JobTable::find()?.failed(job.id, &error)))
                })?;
                continue;
            }
            if capacity.is_exhausted() {
                break;
            }
            if capacity.is_exhausted_for(job.role) {
                continue;
            }
            // Without a free slot, the next look tries again.
            let Some(worker) = job_registry::register(&ticket) else {
                lacks_slot = true;
                break;
            };
            self.requested.insert(job.id, RequestedWorker { worker, ticket, attempts: job.attempts });
            capacity.add(ticket);
        }
        missing_slot::note(self.database, lacks_slot, "a job waits for its worker");
        Ok(())
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
