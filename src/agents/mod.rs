//! Agents: a language model that calls tools until it has an answer.
//!
//! In reading order: [`definition`] keeps agents, [`course`] is one run of one of them, of which [`think`] asks the model, [`act`]
//! calls a tool and [`log`] writes down what was done. [`function`] does a run in one transaction, [`job`] does it transaction by
//! transaction from what [`state`] keeps, and [`decide`] goes on with runs that wait or have failed. What is to be done next says
//! `ragstone_core::agent`.

mod request;
mod call_tool;
mod run;
mod approval;
mod definition;
mod function;
mod job;
mod log;
mod events;
mod ask_model;

pub use approval::{approve, give_up, reject, resume};
pub use definition::{NewAgent, create, drop_agent};
pub use function::run_agent;
pub use job::HANDLER;
pub use request::Order;

use ragstone_core::agent::RunUsage;
use ragstone_pg::error::Error;

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
    pub spent: RunUsage,
    /// Why there is no answer.
    pub error: Option<Error>,
}

fn undefined(message: String) -> Error {
    Error::undefined(message)
}

fn wrong_state(message: String) -> Error {
    Error::wrong_state(message)
}
