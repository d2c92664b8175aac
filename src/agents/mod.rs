//! Agents: a language model that calls tools until it has an answer.
//!
//! In reading order: [`definition`] stores agents, [`request`] is what a run is asked to do, and [`run`] is the state of one run, for
//! which [`ask_model`] asks the model, [`call_tool`] calls a tool and [`log`] writes the steps of the log. [`function`] does a run in
//! one transaction. [`job`] does it in one transaction per step, from the events that [`events`] stores. [`approval`] continues runs
//! that wait for a decision or have failed. `ragstone_core::agent` decides what a run does next.

mod definition;
mod request;
mod run;
mod ask_model;
mod call_tool;
mod log;
mod function;
mod events;
mod job;
mod approval;

pub use approval::{abandon, approve, reject, resume};
pub use definition::{NewAgent, create, drop_agent};
pub use function::run_agent;
pub use job::HANDLER;
pub use request::RunRequest;
pub use run::RunResult;
