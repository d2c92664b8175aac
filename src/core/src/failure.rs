//! The kinds of failure that the engine reports to a backend. Each decides the SQLSTATE of the error that the user sees.

use serde::{Deserialize, Serialize};

/// An error of the engine, with the message that the user reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Determines the SQLSTATE.
    pub kind: FailureKind,
    /// The message: lower case, no period, expected and actual.
    pub message: String,
    /// A fact, or empty.
    pub detail: String,
    /// An instruction, or empty.
    pub hint: String,
}

/// The kinds of failure, each with its own SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The request is not valid.
    BadArgument,
    /// A text cannot be read.
    MalformedDocument,
    /// A file cannot be parsed.
    UnreadableFile,
    /// A stated limit is exceeded.
    OverLimit,
    /// The model does not exist.
    UnknownModel,
    /// A model's files are missing or do not match its manifest.
    CorruptModel,
    /// The queue has no room.
    QueueFull,
    /// The engine cannot do this now, or not on this system.
    Unavailable,
    /// The engine has no memory for a model.
    ModelMemory,
    /// No engine is running, or none can be started. The session itself reports it.
    EngineUnreachable,
    /// The engine ended repeatedly, or made no progress, while it worked on a request. The session itself reports it.
    EngineLost,
    /// Client and engine use different protocol versions.
    Protocol,
    /// A bug in the engine.
    Internal,
    /// The provider cannot be reached: name, network, certificate.
    ProviderUnreachable,
    /// The connection was lost, or nothing arrived for too long.
    ProviderLost,
    /// The provider answered with an error that may pass, or that no other kind covers.
    ProviderRefused,
    /// The provider refused the key, or the account behind it.
    KeyRefused,
    /// The provider does not know the model.
    ModelRefused,
    /// The server's own limits on calls and tokens per minute leave no turn for the call.
    RateLimited,
    /// The provider rejected the input: the same input will be rejected again.
    ProviderRejected,
    /// The provider's answer does not follow its protocol.
    ProviderMalformed,
    /// A budget has no room for the call; the number is the key of the budget's row.
    BudgetSpent(i64),
    /// The role of the caller, or of the owner of the foreign server, lacks the privilege.
    Forbidden,
}
