//! Jobs: calls of Ragstone's functions in a background worker that is connected as the submitter, so that the
//! submitter's transaction need not stay open.
//!
//! In the order of a job's life: [`submit`] stores it, [`dispatch`] starts a worker for it as soon as
//! [`capacity`] allows, and [`run`] is that worker. The submitter uses [`read`], [`wait`] and [`cancel`], and
//! sees through [`waiting`] why a job has not started. [`kind`] has the functions that can be jobs,
//! [`handlers`] the kinds that take more than one call of a function, [`limits`] the time limits, [`open`]
//! the jobs that have not ended, and [`record`] the table.

mod cancel;
mod capacity;
mod dispatch;
pub mod handlers;
mod kind;
mod limits;
mod open;
mod read;
mod record;
mod run;
mod submit;
mod wait;
mod waiting;

pub use cancel::cancel;
pub use dispatch::{Dispatch, end_workers};
pub use open::has_jobs;
pub use read::{pieces, result};
pub use run::{in_rounds, run};
pub use submit::{submit, submit_as};
pub use wait::wait;
pub use waiting::waits_for;

use ragstone_client::processes::wake;
use ragstone_pg::error::{Error, Result};

/// Maximum number of attempts to execute a job.
const MAX_ATTEMPTS: i32 = 3;

/// The error for a job that does not exist, or that the current role may not see.
fn unknown(id: i64) -> Error {
    Error::undefined(format!("job {id} does not exist"))
        .hint("rag.jobs shows your jobs; those that have ended are kept for rag.jobs_retention days.")
}

/// Raises an error for a job that the current transaction has submitted: it starts only after the commit, so
/// waiting for it would never end.
fn refuse_uncommitted(id: i64) -> Result<()> {
    if !wake::is_job_pending(id) {
        return Ok(());
    }
    Err(Error::wrong_state(format!(
        "job {id} was submitted by the current transaction, and starts when it commits"
    ))
    .hint("COMMIT first."))
}
