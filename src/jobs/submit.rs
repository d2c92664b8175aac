//! `rag.submit`.

use crate::jobs::kind::{AGENT, Kind};
use crate::jobs::record::Table;
use pgrx::pg_sys;
use ragstone_client::processes::wake;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::major_version::WORKER_NEEDS_LOGIN;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, run};

/// Tries to find the job that has the key, which may be forgotten just now.
const TRIES: usize = 3;

/// Takes a job, which begins when the transaction commits, and gives its number. The same key of the same role gives the
/// same job: who is second waits until the first has committed.
///
/// # Errors
/// 22023 where kind or arguments make no sense, or the key belongs to another job; 42501 where a worker could not connect
/// as the current role.
pub fn submit(kind: &str, args: &Jsonb, key: Option<&str>) -> Result<i64> {
    let id = with_safe_search_path(|| {
        connect(|| {
            let kind = Kind::find(kind)?;
            kind.statement(args)?;
            let role = session::current_role();
            check_role(role)?;
            insert(kind, args, role, key)
        })
    })?;
    wake::job_at_commit(id);
    Ok(id)
}

/// Takes a job that goes on with an agent's run, as the role that the run belongs to: whoever may act for that role has
/// decided so. Gives its number.
///
/// # Errors
/// 42501 where a worker could not connect as that role.
pub fn go_on(run_id: i64, owner: &str) -> Result<i64> {
    let id = with_safe_search_path(|| {
        connect(|| {
            let rows = run("SELECT oid FROM pg_roles WHERE rolname = $1::text::name", &[Arg::text(owner)])?;
            let role =
                rows.oid(0, 0).ok_or_else(|| Error::internal("a role has gone that was just there"))?;
            check_role(role)?;
            let args = Jsonb::from_json(&format!("{{\"run\": {run_id}}}"))?;
            insert(Kind::find(AGENT)?, &args, role, None)
        })
    })?;
    wake::job_at_commit(id);
    Ok(id)
}

fn check_role(role: pg_sys::Oid) -> Result<()> {
    let rows = run("SELECT rolname::text, rolcanlogin FROM pg_roles WHERE oid = $1", &[Arg::new(role)])?;
    if WORKER_NEEDS_LOGIN && rows.boolean(0, 1) != Some(true) {
        return Err(cannot_log_in(&rows.text(0, 0).unwrap_or_default()));
    }
    Ok(())
}

/// A worker cannot connect as this role.
pub fn cannot_log_in(role: &str) -> Error {
    Error::forbidden(format!(
        "role \"{role}\" cannot log in, and a job's worker connects as the role that submits it"
    ))
    .hint("Submit it as a role with LOGIN, or use PostgreSQL 17 or newer.")
}

fn insert(kind: Kind, args: &Jsonb, role: pg_sys::Oid, key: Option<&str>) -> Result<i64> {
    let table = Table::find()?;
    let values = [
        Arg::text(kind.name),
        Arg::varlena(pg_sys::JSONBOID, &args.0),
        Arg::new(role),
        Arg::optional_text(key),
    ];
    for _ in 0..TRIES {
        let made = table.write(|| {
            run(
                "INSERT INTO rag._job (kind, args, submitter, idempotency_key) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (submitter, idempotency_key) DO NOTHING RETURNING id",
                &values,
            )
        })?;
        if let Some(id) = made.int8(0, 0) {
            return Ok(id);
        }
        let same = table.write(|| {
            run(
                "SELECT id, kind = $1 AND args = $2 FROM rag._job WHERE submitter = $3 AND idempotency_key = $4",
                &values,
            )
        })?;
        match (same.int8(0, 0), same.boolean(0, 1)) {
            (Some(id), Some(true)) => return Ok(id),
            (Some(id), _) => {
                return Err(Error::bad_argument(format!(
                    "idempotency key \"{}\" belongs to job {id}, which has another kind or other arguments",
                    key.unwrap_or_default()
                ))
                .hint("Use another key for another job."));
            }
            _ => {}
        }
    }
    Err(Error::internal("a job neither was there nor could be added"))
}
