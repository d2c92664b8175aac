//! Calls to providers over HTTP, of all sessions.

use std::sync::Arc;

use ragstone_core::{
    protocol::Kind,
    provider::{Account, Prompt, Target},
};

use crate::{
    failure::Error,
    server::{engine::Engine, outbox::Outbox},
};

/// A prompt on its way.
pub struct Asked {
    /// The provider.
    pub target: Box<Target>,
    /// What is asked.
    pub prompt: Box<Prompt>,
    /// For whom.
    pub account: Account,
    /// Whether pieces are sent as they come.
    pub stream: bool,
}

/// Texts to embed.
pub struct Texts {
    /// The provider's name of the model.
    pub model: String,
    /// Length of the embeddings, where it is chosen.
    pub dimensions: Option<u32>,
    /// Whether these are questions.
    pub kind: Kind,
    /// The texts.
    pub texts: Vec<String>,
}

/// A question and documents to compare with it.
pub struct Pairs {
    /// The provider's name of the model.
    pub model: String,
    /// The question.
    pub query: String,
    /// The documents.
    pub documents: Vec<String>,
}

/// Starts a call to a language model.
pub fn complete(_engine: &Arc<Engine>, outbox: &Arc<Outbox>, id: u64, _asked: Asked) {
    outbox.send(id, Err(Error::Internal("not made yet".into())));
}

/// Starts a call to an embedding model.
pub fn embed(
    _engine: &Arc<Engine>,
    outbox: &Arc<Outbox>,
    id: u64,
    _target: Box<Target>,
    _texts: Texts,
    _account: Account,
) {
    outbox.send(id, Err(Error::Internal("not made yet".into())));
}

/// Starts a call to a reranking model.
pub fn rerank(
    _engine: &Arc<Engine>,
    outbox: &Arc<Outbox>,
    id: u64,
    _target: Box<Target>,
    _pairs: Pairs,
    _account: Account,
) {
    outbox.send(id, Err(Error::Internal("not made yet".into())));
}
