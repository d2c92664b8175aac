//! Agents: a language model that calls tools until it has an answer.
//!
//! In reading order: [`definition`] stores agents, [`request`] has the arguments of a run and [`result`] its
//! result. [`run`] is the state of one run, for which [`ask_model`] calls the model, [`call_tool`] calls a
//! tool, and [`log`] writes the steps of the agent log. [`function`] executes a run in one transaction.
//! [`job`] executes it with one transaction per step, and continues it from the events that [`events`]
//! stores. [`approval`] decides on calls that wait, and continues runs. `ragstone_core::agent` decides on the
//! next action of a run.

mod definition;
mod request;
mod result;
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
pub use result::RunResult;
