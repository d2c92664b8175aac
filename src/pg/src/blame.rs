//! Classifies errors by their cause: a row, a collection, or the environment.

use crate::error::Error;

/// The cause of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The row: it is tried a few times, and then listed as failed.
    Row,
    /// The collection's definition or model: its owner has to change something.
    Collection,
    /// A conflict with another transaction, which a retry solves.
    Transient,
    /// The server, the engine or a provider: all work has to wait until it is available again.
    Environment,
}

/// The cause of an error, by its SQLSTATE.
pub fn blame(error: &Error) -> Blame {
    let code = error.code();
    match (&code[..2], code.as_str()) {
        (_, "40001" | "40P01" | "55P03" | "23505") => Blame::Transient,
        ("08" | "38" | "53" | "57" | "58", _) => Blame::Environment,
        ("0A" | "42" | "55" | "3F" | "F0", _) => Blame::Collection,
        _ => Blame::Row,
    }
}
