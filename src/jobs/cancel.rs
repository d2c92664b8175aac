//! `rag.cancel_job`.

use crate::jobs::record::JobTable;
use crate::jobs::unknown;
use ragstone_client::processes::job_registry::{self, JobTicket};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, run};

/// Cancels a job. Returns false if the job has ended. If a worker is executing it, the worker is interrupted
/// and stores the status itself.
pub fn cancel(id: i64) -> Result<bool> {
    with_safe_search_path(|| {
        connect(|| {
            check_rights(id)?;
            let table = JobTable::find()?;
            let lock = "SELECT status, pid, submitter::oid FROM rag._job WHERE id = $1 FOR UPDATE";
            let rows = table.write(|| run(lock, &[Arg::new(id)]))?;
            let role = rows.oid(0, 2).map_or(0, |role| role.to_u32());
            let ticket = JobTicket { database: session::database(), role, job: id };
            match rows.text(0, 0).unwrap_or_default().as_str() {
                "running" if job_registry::interrupt(&ticket, rows.int4(0, 1)) => Ok(true),
                // No worker is executing the job. A worker that is about to start will find that it is
                // cancelled.
                "queued" | "running" => {
                    table.failed(id, &cancelled())?;
                    Ok(true)
                }
                _ => Ok(false),
            }
        })
    })
}

fn check_rights(id: i64) -> Result<()> {
    let rows = run(
        "SELECT pg_has_role(to_regrole(quote_ident(submitter)), 'USAGE') FROM rag.jobs WHERE id = $1",
        &[Arg::new(id)],
    )?;
    if rows.count == 0 {
        return Err(unknown(id));
    }
    match rows.boolean(0, 0).unwrap_or_else(session::is_superuser) {
        true => Ok(()),
        false => Err(Error::forbidden(format!("job {id} belongs to another role"))
            .hint("Ask a member of that role to cancel it.")),
    }
}

fn cancelled() -> Error {
    Error::cancelled("cancelled before it had begun, or began again")
}
