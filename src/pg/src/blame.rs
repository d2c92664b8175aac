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
    /// A lock or code of a user, which takes longer than a worker waits: the collection waits.
    Blocked,
    /// The provider of the collection's model: the collections that the failure covers wait.
    Provider(ProviderScope),
    /// The server or the engine: all work has to wait until it is available again.
    Environment,
}

/// What a provider's failure covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderScope {
    /// All calls of the server.
    Server,
    /// Calls of the server with the same key.
    Key,
    /// Calls of the server for the same model.
    Model,
    /// Calls that a budget, by the key of its row, applies to.
    Budget(i64),
}

/// The cause of an error, by the engine's kind of failure or by its SQLSTATE.
pub fn blame(error: &Error) -> Blame {
    match error.failure {
        Some(FailureKind::ProviderRejected | FailureKind::ProviderMalformed) => return Blame::Row,
        Some(
            FailureKind::ProviderUnreachable
            | FailureKind::ProviderLost
            | FailureKind::ProviderRefused
            | FailureKind::RateLimited
            // A queue may be full for one model or role, and a runtime may be missing that other models do not need.
            | FailureKind::QueueFull
            | FailureKind::Unavailable,
        ) => return Blame::Provider(ProviderScope::Server),
        Some(FailureKind::KeyRefused) => return Blame::Provider(ProviderScope::Key),
        Some(FailureKind::ModelRefused) => return Blame::Provider(ProviderScope::Model),
        Some(FailureKind::BudgetSpent(budget)) => return Blame::Provider(ProviderScope::Budget(budget)),
        _ => {}
    }
    let code = error.code();
    match (&code[..2], code.as_str()) {
        (_, "40001" | "40P01" | "23505") => Blame::Transient,
        (_, "55P03" | "57014") => Blame::Blocked,
        ("08" | "38" | "53" | "57" | "58", _) => Blame::Environment,
        ("0A" | "42" | "55" | "3F" | "F0", _) => Blame::Collection,
        _ => Blame::Row,
    }
}

/// Whether a provider has refused what it was sent, or has answered with something that is no answer: it serves, but not this.
pub fn is_rejected(error: &Error) -> bool {
    matches!(
        error.failure,
        Some(FailureKind::ProviderRejected | FailureKind::ProviderMalformed | FailureKind::OverLimit)
    )
}

/// Whether a provider has failed for a reason that may lie in what it was sent, or not: it does not say so.
pub fn is_unexplained(error: &Error) -> bool {
    matches!(error.failure, Some(FailureKind::ProviderLost | FailureKind::ProviderRefused))
}

/// Whether the error is that of a key that is not unique. Another transaction may be the cause, or the row itself.
pub fn is_duplicate(error: &Error) -> bool {
    error.code() == "23505"
}
