//! Agents: a language model that calls tools until it has an answer.
//!
//! In reading order: [`definition`] keeps agents, [`course`] is one run of one of them, of which [`think`] asks the model, [`act`]
//! calls a tool and [`log`] writes down what was done. [`function`] does a run in one transaction, [`job`] does it transaction by
//! transaction from what [`state`] keeps, and [`decide`] goes on with runs that wait or have failed. What is to be done next says
//! `ragstone_core::agent`.

mod act;
mod course;
mod decide;
mod definition;
mod function;
mod job;
mod log;
mod state;
mod think;

pub use course::Order;
pub use decide::{approve, reject, resume};
pub use definition::{NewAgent, create, drop_agent};
pub use function::run_agent;
pub use job::work;
pub use state::{forget_old, job_ended};

use crate::collection::config_owner;
use crate::pg::error::{Error, Outcome};
use crate::pg::spi::{Arg, connect, run};
use crate::pg::switch_user::as_owner;
use pgrx::{PgSqlErrorCode, pg_sys};
use ragstone_core::agent::Spent;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Number of the run.
    pub run: i64,
    /// The answer, if there is one.
    pub answer: Option<String>,
    /// `done`, `failed` or `waiting`.
    pub status: &'static str,
    /// What it took.
    pub spent: Spent,
    /// Why there is no answer.
    pub error: Option<Error>,
}

/// Runs a statement on the tables of agents. They belong to the extension's owner; each statement says itself whose rows it is
/// about.
fn on_tables<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    connect(|| as_owner(config_owner()?, work))
}

/// Name of the current role.
fn role() -> Outcome<String> {
    // SAFETY: a plain read of the session's identity.
    let role = unsafe { pg_sys::GetUserId() };
    let rows = connect(|| {
        run("SELECT pg_catalog.pg_get_userbyid($1)::pg_catalog.text", &[Arg::new(role)])
            .map(|rows| rows.text(0, 0))
    })?;
    Ok(rows.unwrap_or_default())
}

fn undefined(message: String) -> Error {
    Error::new(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message)
}

fn wrong_state(message: String) -> Error {
    Error::new(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message)
}
