//! The database's worker has workers started for jobs, the oldest first, and sees to those whose worker has gone.

use crate::agents;
use crate::collection::locked;
use crate::jobs::MOST_ATTEMPTS;
use crate::jobs::kind::Kind;
use crate::jobs::record::Table;
use crate::jobs::submit::cannot_log_in;
use crate::pg::attempt::in_transaction;
use crate::pg::error::{Error, Outcome};
use crate::pg::guc;
use crate::pg::spi::{Arg, connect, run};
use crate::sync::is_installed;
use crate::worker::job::{self, Order, Starting};
use pgrx::{PgSqlErrorCode, log};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Pauses after a failure, of all jobs or of one whose worker cannot start, double from the first to the last of these.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What has ended long ago is deleted so often.
const PRUNE: Duration = Duration::from_secs(600);

/// The jobs of one database, as its worker sees them.
pub struct Dispatch {
    database: u32,
    started: HashMap<i64, Started>,
    resting: HashMap<i64, (Instant, Duration)>,
    paused: Option<(Instant, Duration)>,
    pruned: Option<Instant>,
    any: bool,
}

struct Started {
    worker: Starting,
    attempts: i32,
}

/// A job that has not ended.
struct Open {
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
    /// Of a database whose worker begins.
    pub fn new(database: u32) -> Self {
        Self {
            database,
            started: HashMap::new(),
            resting: HashMap::new(),
            paused: None,
            pruned: None,
            any: false,
        }
    }

    /// Whether there are jobs that have not ended.
    pub fn has_jobs(&self) -> bool {
        self.any
    }

    /// Looks for jobs, and has workers started. Never fails: jobs are no reason for a collection to wait.
    pub fn tend(&mut self) {
        let now = Instant::now();
        if self.paused.is_some_and(|(until, _)| now < until) {
            return;
        }
        match self.look() {
            Ok(()) => self.paused = None,
            Err(error) => {
                let pause = self.paused.map_or(BACKOFF.0, |(_, pause)| (pause * 2).min(BACKOFF.1));
                if self.paused.is_none() {
                    log!("ragstone worker: jobs: {}: {}", error.code(), error.message);
                }
                self.paused = Some((now + pause, pause));
            }
        }
    }

    fn look(&mut self) -> Outcome<()> {
        let prune = self.pruned.is_none_or(|at| at.elapsed() > PRUNE);
        let open = in_transaction(|| {
            locked(|| {
                connect(|| {
                    if !is_installed()? {
                        return Ok(Vec::new());
                    }
                    if prune {
                        forget_old()?;
                    }
                    open_jobs()
                })
            })
        })?;
        if prune {
            self.pruned = Some(Instant::now());
        }
        self.any = !open.is_empty();
        self.note_ended(&open);
        self.begin(&open)
    }

    /// Workers that have gone. A job that its worker did not even begin with rests for a while.
    fn note_ended(&mut self, open: &[Open]) {
        let gone: Vec<_> = self
            .started
            .iter()
            .filter(|(_, it)| it.worker.has_ended())
            .map(|(id, it)| (*id, it.attempts))
            .collect();
        for (id, attempts) in gone {
            self.started.remove(&id);
            let untouched = open.iter().any(|job| job.id == id && !job.running && job.attempts == attempts);
            if untouched {
                let pause = self.resting.get(&id).map_or(BACKOFF.0, |(_, pause)| (*pause * 2).min(BACKOFF.1));
                self.resting.insert(id, (Instant::now() + pause, pause));
            } else {
                self.resting.remove(&id);
            }
        }
        self.resting.retain(|id, _| open.iter().any(|job| job.id == *id));
    }

    fn begin(&mut self, open: &[Open]) -> Outcome<()> {
        let mut room = guc::max_job_workers().saturating_sub(self.busy());
        for job in open {
            let resting = self.resting.get(&job.id).is_some_and(|(until, _)| Instant::now() < *until);
            if resting || self.started.contains_key(&job.id) || job::holder(self.database, job.id).is_some() {
                continue;
            }
            if let Some(error) = job.hopeless() {
                in_transaction(|| locked(|| connect(|| Table::find()?.failed(job.id, &error))))?;
                continue;
            }
            if room == 0 {
                break;
            }
            let order = Order { database: self.database, role: job.role, job: job.id };
            // No slot: the next look tries again.
            let Some(worker) = job::register(&order) else { break };
            self.started.insert(job.id, Started { worker, attempts: job.attempts });
            room -= 1;
        }
        Ok(())
    }

    /// Workers that run, in all databases, with those that have been asked for.
    fn busy(&self) -> usize {
        let coming = self.started.keys().filter(|id| job::holder(self.database, **id).is_none());
        job::running() + coming.count()
    }
}

impl Open {
    /// Why it makes no sense to begin with it.
    fn hopeless(&self) -> Option<Error> {
        let denied = |message| Error::new(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message);
        let lost = |message| {
            Some(Error::unavailable(message).hint("Look into the server's log, and submit it again."))
        };
        let Some(name) = &self.name else {
            return Some(Error::new(
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                "the role that submitted the job does not exist any more",
            ));
        };
        if job::NEEDS_LOGIN && !self.may_log_in {
            return Some(cannot_log_in(name));
        }
        if !self.may_connect {
            return Some(denied(format!("role \"{name}\" may not connect to the database any more")));
        }
        if self.attempts >= MOST_ATTEMPTS {
            return lost(format!("the job's worker ended {MOST_ATTEMPTS} times in the middle of it"));
        }
        if self.running && !Kind::is_repeatable(&self.kind) {
            return lost(format!(
                "the job's worker ended in the middle of it, and a job of kind \"{}\" is not done twice",
                self.kind
            ));
        }
        None
    }
}

/// Sends the workers of a database away, since somebody wants it for himself.
pub fn send_away(database: u32) {
    job::send_away(database);
}

/// Whether a database has jobs that have not ended.
pub fn has_jobs() -> Outcome<bool> {
    let open = "SELECT EXISTS (SELECT FROM rag._job WHERE status IN ('queued', 'running'))";
    let rows = Table::find()?.write(|| run(open, &[]))?;
    Ok(rows.boolean(0, 0) == Some(true))
}

fn open_jobs() -> Outcome<Vec<Open>> {
    let table = Table::find()?;
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
        Some(Open {
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

fn forget_old() -> Outcome<()> {
    let Some(days) = guc::jobs_retention() else { return Ok(()) };
    Table::find()?.write(|| {
        run(
            "DELETE FROM rag._job WHERE finished_at < clock_timestamp() - make_interval(hours => 24 * $1)",
            &[Arg::new(days)],
        )?;
        agents::forget_old()
    })
}
