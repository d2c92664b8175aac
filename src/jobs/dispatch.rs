//! The sync worker of a database has workers started for jobs, the oldest first, and fails the jobs that cannot be done.

use crate::jobs::MAX_ATTEMPTS;
use crate::jobs::handlers;
use crate::jobs::kind::JobKind;
use crate::jobs::record::JobTable;
use crate::jobs::submit::cannot_log_in;
use pgrx::log;
use ragstone_client::processes::job_registry;
use ragstone_client::processes::job_registry::{JobTicket, StartingWorker};
use ragstone_client::settings;
use ragstone_core::backoff::Backoff;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::extension::is_installed;
use ragstone_pg::major_version::WORKER_NEEDS_LOGIN;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::{Arg, connect, run};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Pauses after a failure of the dispatch, and after a worker of a job that could not start.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// Time between two deletions of jobs that are older than `rag.jobs_retention`.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);

/// The jobs of one database, as its sync worker sees them.
pub struct Dispatch {
    database: u32,
    requested: HashMap<i64, RequestedWorker>,
    postponed: HashMap<i64, Postponed>,
    backoff: Backoff,
    paused_until: Option<Instant>,
    pruned: Option<Instant>,
    has_open_jobs: bool,
}

/// A worker that has been requested for a job.
struct RequestedWorker {
    worker: StartingWorker,
    /// Attempts of the job before this worker.
    attempts: i32,
}

/// A job whose worker could not start.
struct Postponed {
    until: Instant,
    backoff: Backoff,
}

/// A job that has not ended.
struct OpenJob {
    id: i64,
    kind: String,
    running: bool,
    attempts: i32,
    role: u32,
    name: Option<String>,
    may_log_in: bool,
    may_connect: bool,
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
            pruned: None,
            has_open_jobs: false,
        }
    }

    /// Whether there are jobs that have not ended.
    pub fn has_jobs(&self) -> bool {
        self.has_open_jobs
    }

    /// Has workers started for the jobs that are due. An error is logged and not returned: it must not delay the collections.
    pub fn run_due(&mut self) {
        let now = Instant::now();
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
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
            }
        }
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

    /// Has workers started for open jobs, the oldest first, as far as `rag.max_job_workers` allows.
    fn request_workers(&mut self, open: &[OpenJob]) -> Result<()> {
        let mut room = settings::max_job_workers().saturating_sub(self.workers());
        for job in open {
            if self.is_postponed(job.id)
                || self.requested.contains_key(&job.id)
                || job_registry::holder(self.database, job.id).is_some()
            {
                continue;
            }
            if let Some(error) = job.permanent_error() {
                in_transaction(|| {
                    with_safe_search_path(|| connect(|| JobTable::find()?.failed(job.id, &error)))
                })?;
                continue;
            }
            if room == 0 {
                break;
            }
            let order = JobTicket { database: self.database, role: job.role, job: job.id };
            // Without a free slot, the next call tries again.
            let Some(worker) = job_registry::register(&order) else { break };
            self.requested.insert(job.id, RequestedWorker { worker, attempts: job.attempts });
            room -= 1;
        }
        Ok(())
    }

    /// Number of workers that run, in all databases, and of those that are requested in this one.
    fn workers(&self) -> usize {
        let starting = self.requested.keys().filter(|id| job_registry::holder(self.database, **id).is_none());
        job_registry::running() + starting.count()
    }
}

impl OpenJob {
    /// The error of a job that no worker can do, now or later.
    fn permanent_error(&self) -> Option<Error> {
        let lost = |message| {
            Some(Error::unavailable(message).hint("Look into the server's log, and submit it again."))
        };
        let Some(name) = &self.name else {
            return Some(Error::undefined("the role that submitted the job does not exist any more"));
        };
        if WORKER_NEEDS_LOGIN && !self.may_log_in {
            return Some(cannot_log_in(name));
        }
        if !self.may_connect {
            return Some(Error::forbidden(format!(
                "role \"{name}\" may not connect to the database any more"
            )));
        }
        if self.attempts >= MAX_ATTEMPTS {
            return lost(format!("the job's worker ended {MAX_ATTEMPTS} times in the middle of it"));
        }
        if self.running && !JobKind::is_repeatable(&self.kind) {
            return lost(format!(
                "the job's worker ended in the middle of it, and a job of kind \"{}\" is not done twice",
                self.kind
            ));
        }
        None
    }
}

/// Ends the job workers of a database, for example before it is dropped.
pub fn end_workers(database: u32) {
    job_registry::terminate_workers(database);
}

/// Whether a database has jobs that have not ended.
pub fn has_jobs() -> Result<bool> {
    let open = "SELECT EXISTS (SELECT FROM rag._job WHERE status IN ('queued', 'running'))";
    let rows = JobTable::find()?.write(|| run(open, &[]))?;
    Ok(rows.boolean(0, 0) == Some(true))
}

fn open_jobs() -> Result<Vec<OpenJob>> {
    let table = JobTable::find()?;
    let rows = table.write(|| {
        run(
            "SELECT j.id, j.kind, j.status = 'running', j.attempts, j.submitter::oid, r.rolname::text, r.rolcanlogin,
                    has_database_privilege(r.oid, d.oid, 'CONNECT')
             FROM rag._job j
             JOIN pg_database d ON d.datname = current_database()
             LEFT JOIN pg_roles r ON r.oid = j.submitter
             WHERE j.status IN ('queued', 'running') ORDER BY j.id LIMIT 256",
            &[],
        )
    })?;
    let open = (0..rows.count).filter_map(|row| {
        Some(OpenJob {
            id: rows.int8(row, 0)?,
            kind: rows.text(row, 1)?,
            running: rows.boolean(row, 2)?,
            attempts: rows.int4(row, 3)?,
            role: rows.oid(row, 4)?.to_u32(),
            name: rows.text(row, 5),
            may_log_in: rows.boolean(row, 6).unwrap_or(false),
            may_connect: rows.boolean(row, 7).unwrap_or(false),
        })
    });
    Ok(open.collect())
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
