//! Jobs: calls of our functions that run in a process of their own, connected as whoever submitted them, so that the
//! caller's transaction is not open meanwhile.
//!
//! In the order of a job's life: [`submit`] takes it, [`dispatch`] has a worker started for it, [`run`] is that worker, and
//! [`read`], [`wait`] and [`cancel`] are for whoever waits for it. [`kind`] knows the functions, [`record`] the table, [`replay`] how models and providers are asked with no
//! transaction open. Kinds that are no call of their function have a handler in [`handlers`].

mod cancel;
mod dispatch;
pub mod handlers;
mod kind;
mod read;
mod record;
mod run;
mod submit;
mod wait;

pub use cancel::cancel;
pub use dispatch::{Dispatch, has_jobs, send_away};
pub use kind::AGENT;
pub use read::{next, result};
pub use run::{in_rounds, run};
pub use submit::{go_on, submit};
pub use wait::wait;

use ragstone_client::processes::wake;
use ragstone_pg::error::{Error, Result};

/// How often a worker begins with a job before it is given up.
const MOST_ATTEMPTS: i32 = 3;

/// There is no such job, or it is somebody else's.
fn unknown(id: i64) -> Error {
    Error::undefined(format!("job {id} does not exist"))
        .hint("rag.jobs shows your jobs; those that have ended are kept for rag.jobs_retention days.")
}

/// Refuses to wait for a job that waits for this very transaction.
fn refuse_own(id: i64) -> Result<()> {
    if !wake::is_job_pending(id) {
        return Ok(());
    }
    Err(Error::wrong_state(format!(
        "job {id} was submitted by this very transaction, and begins when that commits"
    ))
    .hint("COMMIT first."))
}
