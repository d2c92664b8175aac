//! The log of agents: runs and their steps, written in the caller's transaction or, by way of [`post`], in one of its own.
//!
//! In the order of a run's life: [`start`] begins it, [`log`] adds a step, [`finish`] ends it. [`memory`] remembers which
//! runs were found to be the current role's, [`value`] sees to what a row may hold and [`redaction`] that no
//! secret is in it, [`tables`] knows where rows go, and [`weeks`]
//! is what the worker does about these. [`write`] writes many at once, for the worker's [`scribe`] too.
//! [`implicit`] is how our own functions log themselves, [`fold`] adds to the sums that
//! reports read, and [`trace`] draws a run.

mod batch;
mod finish;
mod rollup;
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
pub use finish::{Ending, finish, finish_as};
pub use implicit::{OpenStep, Said, step, step_done, within};
pub use partitions::Weeks;
pub use redaction::changed as redactions_changed;
pub use redaction::write_clean as write;
pub use rollup::{Fold, has_steps_left};
pub use send::state;
pub use start::{Beginning, NewRun, begin, start};
pub use step::{NewStep, Record, log, record};
pub use tables::reserve;
pub use trace::trace;
pub use writer::{Scribe, has_entries_left};

use ragstone_client::settings;
use ragstone_pg::error::Error;

/// The session's current run, as `rag.run` says. Whether there is such a run, and whose it is, shows when it is used.
pub fn current() -> Option<i64> {
    settings::run()
}

/// There is no such run, or it is somebody else's.
fn unknown(run: i64) -> Error {
    Error::undefined(format!("run {run} does not exist"))
        .hint("rag.runs shows your runs; rag.start_run begins one.")
}
