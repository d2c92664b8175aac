//! The words that a run's and a step's columns may hold.

use ragstone_core::suggest::nearest;
use ragstone_pg::error::{Error, Result};

/// What a step can be.
const KINDS: [&str; 6] = ["message", "model", "tool", "retrieval", "error", "custom"];

/// What can have become of a step.
const STEP_STATUSES: [&str; 7] = ["ok", "error", "running", "waiting", "approved", "rejected", "cancelled"];

/// What a run can end with, or wait, or go on.
const RUN_STATUSES: [&str; 5] = ["done", "failed", "cancelled", "waiting", "running"];

/// A step's kind. 22023 where it is none.
pub fn kind(word: &str) -> Result<&'static str> {
    one_of("kind", word, &KINDS)
}

/// A step's status. 22023 where it is none.
pub fn step_status(word: &str) -> Result<&'static str> {
    one_of("status", word, &STEP_STATUSES)
}

/// A run's status. 22023 where it is none.
pub fn run_status(word: &str) -> Result<&'static str> {
    one_of("status", word, &RUN_STATUSES)
}

fn one_of(what: &str, word: &str, known: &[&'static str]) -> Result<&'static str> {
    if let Some(found) = known.iter().find(|known| **known == word) {
        return Ok(found);
    }
    let list = known.join(", ");
    let error = Error::bad_argument(format!("{what} must be one of {list}, not \"{word}\""));
    Err(match nearest(word, known) {
        Some(near) => error.hint(format!("Perhaps you meant '{near}'.")),
        None => error,
    })
}
