//! Access to the table of jobs, to which only its owner may write.

use crate::jobs::handlers;
use pgrx::pg_sys;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, run};
use ragstone_pg::switch_user::as_owner;

/// Channel of the notification that a job has ended. The payload is the job's number.
const CHANNEL: &str = "rag_job";

/// The table of jobs.
#[derive(Debug, Clone, Copy)]
pub struct JobTable {
    /// OID of the table. It changes if the extension is dropped and created again.
    pub oid: pg_sys::Oid,
    owner: pg_sys::Oid,
}

impl JobTable {
    /// The current table.
    pub fn find() -> Result<Self> {
        let rows = run("SELECT oid, relowner FROM pg_class WHERE oid = 'rag._job'::regclass", &[])?;
        match (rows.oid(0, 0), rows.oid(0, 1)) {
            (Some(oid), Some(owner)) => Ok(Self { oid, owner }),
            _ => Err(Error::internal("the table of jobs does not exist")),
        }
    }

    /// Runs `work` as the owner of the table.
    pub fn write<T>(self, work: impl FnOnce() -> T) -> T {
        as_owner(self.owner, work)
    }

    /// Stores the result of a job that has been done.
    pub fn done(self, id: i64, result: Option<&Jsonb>) -> Result<()> {
        let result = Arg::varlena_or_null(pg_sys::JSONBOID, result.map(|result| result.0.as_slice()));
        let rows = self.write(|| {
            run(
                "UPDATE rag._job SET status = 'done', finished_at = clock_timestamp(), result = coalesce($2, 'null')
                 WHERE id = $1 AND status = 'running' RETURNING id",
                &[Arg::new(id), result],
            )
        })?;
        self.notify(id, rows.count)
    }

    /// Stores the error of a job, unless the job has already ended.
    pub fn failed(self, id: i64, error: &Error) -> Result<()> {
        let cancelled = error.is_cancelled();
        let status = if cancelled { "cancelled" } else { "failed" };
        let text = |text: &str| Arg::optional_text(Some(text).filter(|text| !text.is_empty()));
        let code = error.code();
        let args = [
            Arg::new(id),
            Arg::text(status),
            text(&code),
            text(&error.message),
            text(&error.detail),
            text(&error.hint),
        ];
        let rows: Rows = self.write(|| -> Result<Rows> {
            let rows = run(
                "UPDATE rag._job
                 SET status = $2, finished_at = clock_timestamp(), sqlstate = $3, message = $4, detail = $5, hint = $6
                 WHERE id = $1 AND status IN ('queued', 'running') RETURNING kind",
                &args,
            )?;
            if let Some(handler) = rows.text(0, 0).and_then(|kind| handlers::of(&kind)) {
                (handler.failed)(id, error)?;
            }
            Ok(rows)
        })?;
        self.notify(id, rows.count)
    }

    /// Notifies the listeners of the channel if the number of `ended` jobs is not 0.
    fn notify(self, id: i64, ended: usize) -> Result<()> {
        if ended > 0 {
            run("SELECT pg_notify($1, $2)", &[Arg::text(CHANNEL), Arg::text(&id.to_string())])?;
        }
        Ok(())
    }
}
