//! The agent log: runs and their steps, written in the caller's transaction or, through the engine, in a
//! transaction of the coordinator.
//!
//! [`start`] begins a run, [`step`] and [`batch`] add steps, and [`finish`] ends it; [`implicit`] logs the
//! steps of Ragstone's own functions, and [`trace`] draws a run. [`session`] caches the runs that the session
//! may log into, [`vocabulary`] checks the values of enumerated columns, [`stored_value`] limits the length
//! of values, and [`redaction`] removes secrets from them. [`tables`] gives access to the tables and their
//! sequences.
//!
//! If `rag.log_durability` is `autonomous`, [`send`] posts entries to the engine, from which the
//! coordinator's [`writer`] takes them. [`insert`] writes many entries in one statement, for the coordinator
//! and for imports. The coordinator also maintains the [`partitions`] and the roll-ups that reports read
//! ([`rollup`], [`report_gaps`]).

mod batch;
mod finish;
mod rollup;
mod report_gaps;
mod implicit;
mod session;
mod send;
mod redaction;
mod writer;
mod start;
mod step;
pub mod tables;
mod trace;
mod stored_value;
mod partitions;
mod vocabulary;
mod insert;

pub use batch::log_all;
pub use finish::{FinishArgs, finish, finish_jsonb};
pub use implicit::{OpenStep, StepResult, step, step_done, within};
pub use partitions::Partitions;
pub use redaction::changed as redactions_changed;
pub use redaction::write_redacted as write;
pub use rollup::{Rollup, has_steps_left};
pub use send::state;
pub use start::{NewRun, start, start_jsonb};
pub use step::{NewStep, log, log_jsonb};
pub use tables::reserve;
pub use trace::trace;
pub use writer::{LogWriter, has_entries_left};

use ragstone_client::settings;
use ragstone_pg::error::Error;

/// The session's current run: the value of `rag.run`. Whether it exists and belongs to the current role is
/// checked when it is used.
pub fn current() -> Option<i64> {
    settings::run()
}

/// The error if the run does not exist or belongs to another role.
fn run_not_found(run: i64) -> Error {
    Error::undefined(format!("run {run} does not exist"))
        .hint("rag.runs shows your runs; rag.start_run begins one.")
}
