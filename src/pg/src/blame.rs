//! Classifies errors by their cause: a row, a collection, a provider or the environment.

use crate::error::Error;
use ragstone_core::failure::FailureKind;

/// The cause of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The row: it is tried a few times, and then listed as failed.
    Row,
    /// The collection's definition or model: its owner has to change something.
    Collection,
    /// A conflict with another transaction, which a retry solves.
    Transient,
    /// The provider of the collection's model, or what it thinks of the owner's key: what concerns this provider waits.
    Provider,
    /// The server or the engine: all work has to wait until it is available again.
    Environment,
}

/// The cause of an error, by the engine's kind of failure or by its SQLSTATE.
pub fn blame(error: &Error) -> Blame {
    match error.failure {
        Some(FailureKind::ProviderRejected | FailureKind::ProviderMalformed) => return Blame::Row,
        Some(
            FailureKind::ProviderUnreachable
            | FailureKind::ProviderLost
            | FailureKind::ProviderRefused
            | FailureKind::BudgetSpent,
        ) => return Blame::Provider,
        _ => {}
    }
    let code = error.code();
    match (&code[..2], code.as_str()) {
        (_, "40001" | "40P01" | "55P03" | "23505") => Blame::Transient,
        ("08" | "38" | "53" | "57" | "58", _) => Blame::Environment,
        ("0A" | "42" | "55" | "3F" | "F0", _) => Blame::Collection,
        _ => Blame::Row,
    }
}

/// Whether the error is that of a key that is not unique. Another transaction may be the cause, or the row itself.
pub fn is_duplicate(error: &Error) -> bool {
    error.code() == "23505"
}
