//! The values that the columns of runs and steps accept: the words of enumerated columns, and the limits of
//! amounts.

use ragstone_core::suggest::nearest;
use ragstone_pg::error::{Error, Result};

/// Kinds of a step.
const STEP_KINDS: [&str; 6] = ["message", "model", "tool", "retrieval", "error", "custom"];

/// Statuses of a step.
const STEP_STATUSES: [&str; 7] = ["ok", "error", "running", "waiting", "approved", "rejected", "cancelled"];

/// Statuses that `rag.finish_run` accepts: the run ends, waits or continues.
const RUN_STATUSES: [&str; 5] = ["done", "failed", "cancelled", "waiting", "running"];

/// Maximum number of tokens, and maximum cost, of one step. With this limit, sums over any number of steps
/// stay within the range of a `double precision`.
pub const MAX_AMOUNT: f64 = 1e12;

/// A step's kind.
///
/// # Errors
/// 22023 if the word is not a kind.
pub fn parse_kind(word: &str) -> Result<&'static str> {
    parse("kind", word, &STEP_KINDS)
}

/// A step's status.
///
/// # Errors
/// 22023 if the word is not a status.
pub fn parse_step_status(word: &str) -> Result<&'static str> {
    parse("status", word, &STEP_STATUSES)
}

/// A run's status.
///
/// # Errors
/// 22023 if the word is not a status.
pub fn parse_run_status(word: &str) -> Result<&'static str> {
    parse("status", word, &RUN_STATUSES)
}

fn parse(column: &str, word: &str, accepted: &[&'static str]) -> Result<&'static str> {
    if let Some(found) = accepted.iter().find(|accepted| **accepted == word) {
        return Ok(found);
    }
    let list = accepted.join(", ");
    let error = Error::bad_argument(format!("{column} must be one of {list}, not \"{word}\""));
    Err(match nearest(word, accepted) {
        Some(near) => error.hint(format!("Perhaps you meant '{near}'.")),
        None => error,
    })
}
