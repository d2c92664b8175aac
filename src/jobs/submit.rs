//! `rag.submit`.

use crate::jobs::kind::JobKind;
use crate::jobs::limits::check_timeout;
use crate::jobs::record::JobTable;
use pgrx::pg_sys;
use ragstone_client::processes::wake;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::major_version::WORKER_NEEDS_LOGIN;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::text::check_indexable;

/// Maximum number of attempts to insert a job or to find the job with the same key, which may be deleted
/// between both.
const MAX_INSERT_TRIES: usize = 3;

/// Submits a job, which begins when the transaction commits, and returns its number. Submitting the same key again as the same role
/// returns the existing job; a concurrent submit waits for the first one to commit. `check` checks the values of arguments of the right
/// types.
///
/// # Errors
/// 22023 for an invalid kind, argument or `timeout_ms`, or a key that belongs to another job; 42501 if a worker could not connect as
/// the current role.
pub fn submit(
    kind: &str,
    args: &Jsonb,
    key: Option<&str>,
    timeout_ms: Option<i32>,
    check: impl FnOnce() -> Result<()>,
) -> Result<i64> {
    check_timeout(timeout_ms)?;
    key.map(|key| check_indexable(key, "idempotency_key")).transpose()?;
    let id = with_safe_search_path(|| {
        connect(|| {
            let kind = JobKind::find(kind)?;
            kind.statement(args)?;
            check()?;
            let role = session::current_role();
            check_role(role)?;
            insert(kind, args, role, key, timeout_ms)
        })
    })?;
    wake::job_at_commit(id);
    Ok(id)
}

/// Submits a job as another role and returns its number. The caller has checked the kind, the arguments and
/// the right to act for that role. The job gets the `timeout_ms` of the job `continues`, if that still
/// exists.
///
/// # Errors
/// 42704 if the role no longer exists; 42501 if a worker could not connect as the role.
pub fn submit_as(kind: &str, args: &Jsonb, role: pg_sys::Oid, continues: Option<i64>) -> Result<i64> {
    let id = with_safe_search_path(|| {
        connect(|| {
            check_role(role)?;
            insert(JobKind::find(kind)?, args, role, None, timeout_of(continues)?)
        })
    })?;
    wake::job_at_commit(id);
    Ok(id)
}

fn timeout_of(job: Option<i64>) -> Result<Option<i32>> {
    let sql = "SELECT timeout_ms FROM rag._job WHERE id = $1";
    let rows = JobTable::find()?.write(|| run(sql, &[Arg::optional(job)]))?;
    Ok(rows.int4(0, 0))
}

fn check_role(role: pg_sys::Oid) -> Result<()> {
    let rows = run("SELECT rolname::text, rolcanlogin FROM pg_roles WHERE oid = $1", &[Arg::new(role)])?;
    if rows.count == 0 {
        return Err(Error::undefined(format!("role with OID {} no longer exists", role.to_u32())));
    }
    if WORKER_NEEDS_LOGIN && rows.boolean(0, 1) != Some(true) {
        return Err(cannot_log_in(&rows.text(0, 0).unwrap_or_default()));
    }
    Ok(())
}

/// The error that a worker cannot connect as a role.
pub fn cannot_log_in(role: &str) -> Error {
    Error::forbidden(format!(
        "role \"{role}\" cannot log in, and a job's worker connects as the role that submits it"
    ))
    .hint("Submit it as a role with LOGIN, or use PostgreSQL 17 or newer.")
}

fn insert(
    kind: JobKind,
    args: &Jsonb,
    role: pg_sys::Oid,
    key: Option<&str>,
    timeout_ms: Option<i32>,
) -> Result<i64> {
    let table = JobTable::find()?;
    let values = [
        Arg::text(kind.name),
        Arg::varlena(pg_sys::JSONBOID, &args.0),
        Arg::new(role),
        Arg::optional_text(key),
        Arg::optional(timeout_ms),
    ];
    for _ in 0..MAX_INSERT_TRIES {
        let inserted = table.write(|| {
            run(
                "INSERT INTO rag._job (kind, args, submitter, idempotency_key, timeout_ms) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (submitter, idempotency_key) DO NOTHING RETURNING id",
                &values,
            )
        })?;
        if let Some(id) = inserted.int8(0, 0) {
            return Ok(id);
        }
        let existing = table.write(|| {
            run(
                "SELECT id, kind = $1 AND args = $2 AND timeout_ms IS NOT DISTINCT FROM $5
                 FROM rag._job WHERE submitter = $3 AND idempotency_key = $4",
                &values,
            )
        })?;
        match (existing.int8(0, 0), existing.boolean(0, 1)) {
            (Some(id), Some(true)) => return Ok(id),
            (Some(id), _) => {
                return Err(Error::bad_argument(format!(
                    "idempotency key \"{}\" belongs to job {id}, which has another kind, other arguments or another timeout_ms",
                    key.unwrap_or_default()
                ))
                .hint("Use another key for another job."));
            }
            _ => {}
        }
    }
    Err(Error::internal("a job neither was there nor could be added"))
}
