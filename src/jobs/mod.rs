//! Jobs: calls of Ragstone's functions in a background worker that is connected as the submitter, so that the submitter's transaction
//! need not stay open.
//!
//! In the order of a job's life: [`submit`] stores it, [`dispatch`] has a worker started for it, and
//! [`run`] is that worker. The submitter uses [`read`], [`wait`] and [`cancel`].
//! [`kind`] has the functions that can be jobs, [`handlers`] the kinds that take more than one call of a function, [`limits`] how long
//! one may take, and [`record`] the table.

mod cancel;
mod dispatch;
pub mod handlers;
mod kind;
mod limits;
mod read;
mod record;
mod run;
mod submit;
mod wait;

pub use cancel::cancel;
pub use dispatch::{Dispatch, end_workers, has_jobs};
pub use read::{pieces, result};
pub use run::{in_rounds, run};
pub use submit::{submit, submit_as};
pub use wait::wait;

use ragstone_client::processes::wake;
use ragstone_pg::error::{Error, Result};

/// Maximum number of times that a worker starts a job.
const MAX_ATTEMPTS: i32 = 3;

/// The error that there is no such job, or none that the current role may see.
fn unknown(id: i64) -> Error {
    Error::undefined(format!("job {id} does not exist"))
        .hint("rag.jobs shows your jobs; those that have ended are kept for rag.jobs_retention days.")
}

/// Refuses to wait for a job that was submitted by the current transaction and begins only when that commits.
fn refuse_uncommitted(id: i64) -> Result<()> {
    if !wake::is_job_pending(id) {
        return Ok(());
    }
    Err(Error::wrong_state(format!(
        "job {id} was submitted by this very transaction, and begins when that commits"
    ))
    .hint("COMMIT first."))
}
