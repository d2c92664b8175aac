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
    /// A lock or code of a user, which takes longer than a worker waits, or something that the server lacks for the collection's
    /// tables, such as disk space: the collection waits. Code of a user can raise any SQLSTATE, so none of these stops other collections.
    Blocked,
    /// The provider of the collection's model: the collections that the failure covers wait.
    Provider(ProviderScope),
    /// There is no engine: all work has to wait until there is one.
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
            | FailureKind::Unavailable
            | FailureKind::EngineLost,
        ) => return Blame::Provider(ProviderScope::Server),
        Some(FailureKind::KeyRefused) => return Blame::Provider(ProviderScope::Key),
        Some(FailureKind::ModelRefused | FailureKind::ModelMemory) => {
            return Blame::Provider(ProviderScope::Model);
        }
        Some(FailureKind::EngineUnreachable) => return Blame::Environment,
        Some(FailureKind::BudgetSpent(budget)) => return Blame::Provider(ProviderScope::Budget(budget)),
        _ => {}
    }
    let code = error.code();
    match (&code[..2], code.as_str()) {
        (_, "40001" | "40P01" | "23505") => Blame::Transient,
        ("08" | "38" | "53" | "57" | "58", _) | (_, "55P03") => Blame::Blocked,
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

/// Whether a provider, or the engine, has failed for a reason that may lie in what it was sent, or not: it does not say so.
pub fn is_unexplained(error: &Error) -> bool {
    use FailureKind::{EngineLost, ProviderLost, ProviderRefused};
    matches!(error.failure, Some(ProviderLost | ProviderRefused | EngineLost))
}

/// Whether a lock was not free in time, or a transaction took too long.
pub fn is_held_up(error: &Error) -> bool {
    matches!(error.code().as_str(), "55P03" | "57014")
}

/// Whether the error is that of a key that is not unique. Another transaction may be the cause, or the row itself.
pub fn is_duplicate(error: &Error) -> bool {
    error.code() == "23505"
}
