//! The kinds of failure that the engine reports to a backend. Each decides the SQLSTATE of the error that the user sees.

use serde::{Deserialize, Serialize};

/// An error of the engine, in the words that the user reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Determines the SQLSTATE.
    pub kind: FailureKind,
    /// Lower case, no period, expected and actual.
    pub message: String,
    /// A fact, or empty.
    pub detail: String,
    /// An instruction, or empty.
    pub hint: String,
}

/// The kinds of failure that have a SQLSTATE of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The request makes no sense.
    BadArgument,
    /// Text that cannot be read.
    MalformedDocument,
    /// More than a stated limit.
    OverLimit,
    /// No such model.
    UnknownModel,
    /// A model's files are missing or not what its manifest says.
    CorruptModel,
    /// The queue has no room.
    QueueFull,
    /// The engine cannot do this now or here.
    Unavailable,
    /// The engine has no memory for a model.
    ModelMemory,
    /// No engine answers, or none can be started. A session says so itself.
    EngineUnreachable,
    /// The engine ended again and again, or stood still, while it worked on a request. A session says so itself.
    EngineLost,
    /// The two sides speak different versions.
    Protocol,
    /// A fault of the engine itself.
    Internal,
    /// There is no connection to the provider: name, network, certificate.
    ProviderUnreachable,
    /// The connection was lost, or nothing came for too long.
    ProviderLost,
    /// The provider answered with an error that may pass by itself, or that none of the other kinds covers.
    ProviderRefused,
    /// The provider refused the key, or the account behind it.
    KeyRefused,
    /// The provider does not know the model.
    ModelRefused,
    /// The server's own limits of calls and tokens in a minute leave the call no turn.
    RateLimited,
    /// The provider refused what it was sent: the same input will be refused again.
    ProviderRejected,
    /// The provider's answer is not what its protocol says.
    ProviderMalformed,
    /// A budget, by the key of its row, has no room for the call.
    BudgetSpent(i64),
    /// The role of the caller, or of the owner of the foreign server, lacks the privilege.
    Forbidden,
}
