//! The jobs of a database that have not ended, as its coordinator reads them.

use crate::jobs::MAX_ATTEMPTS;
use crate::jobs::kind::JobKind;
use crate::jobs::record::JobTable;
use crate::jobs::submit::cannot_log_in;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::major_version::WORKER_NEEDS_LOGIN;
use ragstone_pg::plans::{by_index, in_index_order};
use ragstone_pg::spi::run;

/// A job that has not ended.
pub struct OpenJob {
    /// Number of the job.
    pub id: i64,
    kind: String,
    /// True if a worker has started the job.
    pub running: bool,
    /// Number of times that a worker has started the job.
    pub attempts: i32,
    /// The submitter.
    pub role: u32,
    name: Option<String>,
    may_log_in: bool,
    may_connect: bool,
}

impl OpenJob {
    /// The error of a job that no worker will ever be able to execute.
    pub fn permanent_error(&self) -> Option<Error> {
        let lost = |message| {
            Some(Error::unavailable(message).hint("See the server's log, and submit the job again."))
        };
        let Some(name) = &self.name else {
            return Some(Error::undefined("the role that submitted the job no longer exists"));
        };
        if WORKER_NEEDS_LOGIN && !self.may_log_in {
            return Some(cannot_log_in(name));
        }
        if !self.may_connect {
            return Some(Error::forbidden(format!("role \"{name}\" may no longer connect to the database")));
        }
        if self.attempts >= MAX_ATTEMPTS {
            return lost(format!("the job's worker ended {MAX_ATTEMPTS} times while it ran the job"));
        }
        if self.running && !JobKind::is_repeatable(&self.kind) {
            return lost(format!(
                "the job's worker ended while it ran the job, and a job of kind \"{}\" is not run again",
                self.kind
            ));
        }
        None
    }
}

const OPEN_JOBS: &str = "
    SELECT j.id, j.kind, j.status = 'running', j.attempts, j.submitter::oid, r.rolname::text, r.rolcanlogin,
           has_database_privilege(r.oid, d.oid, 'CONNECT')
    FROM (SELECT id, kind, status, attempts, submitter,
                 row_number() OVER (PARTITION BY submitter ORDER BY status = 'queued', id) AS place
          FROM rag._job WHERE status IN ('queued', 'running')) j
    JOIN pg_database d ON d.datname = current_database()
    LEFT JOIN pg_roles r ON r.oid = j.submitter
    ORDER BY j.place, j.id LIMIT 256";

/// True if a database has jobs that have not ended.
pub fn has_jobs() -> Result<bool> {
    let first = "SELECT FROM rag._job WHERE status IN ('queued', 'running') ORDER BY id LIMIT 1";
    let open = JobTable::find()?.write(|| in_index_order(|| run(first, &[])))?;
    Ok(open.count > 0)
}

/// The oldest open jobs, in ascending order of their numbers. The roles have equal shares, so that the jobs
/// of one role cannot hide those of another.
pub fn open_jobs() -> Result<Vec<OpenJob>> {
    let table = JobTable::find()?;
    let rows = table.write(|| by_index(|| run(OPEN_JOBS, &[])))?;
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
    let mut open: Vec<_> = open.collect();
    open.sort_by_key(|job| job.id);
    Ok(open)
}
