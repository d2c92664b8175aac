//! Classifies errors by their cause: a row, a collection, a provider or the environment.

use crate::error::Error;
use ragstone_core::failure::FailureKind;

/// The cause of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The row: it is retried a few times, and then listed as failed.
    Row,
    /// The collection's definition or model: the owner has to change it.
    Collection,
    /// A conflict with another transaction, which a retry resolves.
    Transient,
    /// A lock, or code of a user, that takes longer than a worker waits, or a missing server resource for the collection's
    /// tables, such as disk space: the collection waits. Code of a user can raise any SQLSTATE, so these errors never stop
    /// other collections.
    Blocked,
    /// The provider of the collection's model: all collections that the failure covers wait.
    Provider(ProviderScope),
    /// There is no engine: all work waits until one is running.
    Environment,
}

/// The scope of a provider's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderScope {
    /// All calls to the server.
    Server,
    /// Calls to the server with the same key.
    Key,
    /// Calls to the server for the same model.
    Model,
    /// Calls that a budget applies to; the number is the key of the budget's row.
    Budget(i64),
}

/// The cause of an error, from the engine's kind of failure or from the SQLSTATE.
pub fn blame(error: &Error) -> Blame {
    match error.failure {
        Some(FailureKind::ProviderRejected | FailureKind::ProviderMalformed) => return Blame::Row,
        Some(
            FailureKind::ProviderUnreachable
            | FailureKind::ProviderLost
            | FailureKind::ProviderRefused
            | FailureKind::RateLimited
            // A queue may be full for one model or role only, and a missing runtime may not be needed by other models.
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

/// True if a provider has rejected its input, or its answer is not valid: it works, but not for this input.
pub fn is_rejected(error: &Error) -> bool {
    matches!(
        error.failure,
        Some(FailureKind::ProviderRejected | FailureKind::ProviderMalformed | FailureKind::OverLimit)
    )
}

/// True if a provider, or the engine, has failed for a reason that may or may not lie in the input: the error does not tell.
pub fn is_unexplained(error: &Error) -> bool {
    use FailureKind::{EngineLost, ProviderLost, ProviderRefused};
    matches!(error.failure, Some(ProviderLost | ProviderRefused | EngineLost))
}

/// True if a lock was not available in time, or a transaction took too long.
pub fn is_held_up(error: &Error) -> bool {
    matches!(error.code().as_str(), "55P03" | "57014")
}

/// True if a key is not unique. Another transaction may be the cause, or the row itself.
pub fn is_duplicate(error: &Error) -> bool {
    error.code() == "23505"
}
