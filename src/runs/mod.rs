//! The log of agents: runs and their steps, written in the caller's transaction.
//!
//! In the order of a run's life: [`start`] begins it, [`log`] adds a step, [`finish`] ends it. [`memory`] remembers which
//! runs were found to be the current role's, [`value`] sees to what a row may hold and [`redaction`] that no
//! secret is in it, [`tables`] knows where rows go, and [`weeks`]
//! is what the worker does about these. [`implicit`] is how our own functions log themselves.

mod batch;
mod finish;
mod implicit;
mod memory;
mod redaction;
mod start;
mod step;
mod tables;
mod value;
mod weeks;
mod words;

pub use batch::log_all;
pub use finish::{Ending, finish, finish_as};
pub use implicit::{Said, reserve, step, step_done, within};
pub use redaction::changed as redactions_changed;
pub use start::{Beginning, NewRun, begin, start};
pub use step::{NewStep, Record, log, record};
pub use weeks::Weeks;

use crate::pg::error::{Error, Outcome};
use crate::pg::guc;
use pgrx::PgSqlErrorCode;
use ragstone_core::log::Entry;

/// The session's current run, as `rag.run` says. Whether there is such a run, and whose it is, shows when it is used.
pub fn current() -> Option<i64> {
    guc::run()
}

/// There is no such run, or it is somebody else's.
fn unknown(run: i64) -> Error {
    Error::new(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, format!("run {run} does not exist"))
        .hint("rag.runs shows your runs; rag.start_run begins one.")
}

/// Gives an entry away to be written in another transaction, where `rag.log_durability` says so. False where the caller
/// is to write it in his.
fn posted(entry: impl FnOnce() -> Outcome<Entry>) -> Outcome<bool> {
    // This is where autonomous entries go: post::post(entry()?), and a WARNING where that gives false.
    let _ = entry;
    Ok(false)
}
