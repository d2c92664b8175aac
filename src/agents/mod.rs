//! Agents: a language model that calls tools until it has an answer.
//!
//! In reading order: [`definition`] stores agents, [`request`] is what a run is asked to do, [`result`] what it returns, and [`run`] is
//! the state of one run, for which [`ask_model`] asks the model, [`call_tool`] calls a tool and [`log`] writes the steps of the log.
//! [`function`] does a run in one transaction. [`job`] does it in one transaction per step and continues it from the events that
//! [`events`] stores. [`approval`] decides on calls that wait and continues runs. `ragstone_core::agent` decides what a run does next.

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
