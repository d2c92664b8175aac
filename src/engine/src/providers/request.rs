//! The requests of a client to a provider.

use ragstone_core::{
    protocol::Kind,
    provider::{Account, Prompt, Target},
};

/// A prompt for a language model.
pub struct CompletionRequest {
    /// The provider.
    pub target: Box<Target>,
    /// The prompt.
    pub prompt: Box<Prompt>,
    /// The role that pays for the call, with its budgets.
    pub account: Account,
    /// Whether the answer is sent in pieces as it arrives.
    pub stream: bool,
}

/// Texts for an embedding model.
pub struct EmbeddingRequest {
    /// The provider.
    pub target: Box<Target>,
    /// The provider's name of the model.
    pub model: String,
    /// Length of the embeddings, if the caller chooses it.
    pub dimensions: Option<u32>,
    /// Whether the texts are queries or documents.
    pub kind: Kind,
    /// The texts.
    pub texts: Vec<String>,
    /// The role that pays for the call, with its budgets.
    pub account: Account,
}

/// A query, and the documents to score against it.
pub struct RerankRequest {
    /// The provider.
    pub target: Box<Target>,
    /// The provider's name of the model.
    pub model: String,
    /// The query.
    pub query: String,
    /// The documents.
    pub documents: Vec<String>,
    /// The role that pays for the call, with its budgets.
    pub account: Account,
}
