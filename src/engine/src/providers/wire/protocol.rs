//! The trait that each protocol implements, and the types of its requests.

use ragstone_core::{protocol::Kind, provider::Prompt};
use reqwest::Url;
use serde_json::Value;

use super::{
    error::ReplyError,
    reply::{CompletionReply, EmbeddingReply, ReplyBuilder},
};
use crate::failure::Error;

/// A protocol of providers.
pub trait Protocol: Sync {
    /// Its name in the server's option `protocol`.
    fn name(&self) -> &'static str;

    /// The header that carries the key. Its value is a secret.
    fn key_header(&self, _base: &Url, key: &str) -> (&'static str, String) {
        ("authorization", format!("Bearer {key}"))
    }

    /// Headers of every request.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Maximum number of documents in one reranking request.
    fn max_documents(&self) -> usize {
        1000
    }

    /// The request that asks a language model.
    ///
    /// # Errors
    /// The prompt is not valid, or the protocol has no language models.
    fn completion_request(&self, _params: &CompletionParams<'_>) -> Result<WireRequest, Error> {
        Err(unsupported(self.name(), "language models"))
    }

    /// The answer of a language model that was not streamed.
    ///
    /// # Errors
    /// The body does not follow the protocol.
    fn parse_completion(&self, _body: &[u8]) -> Result<CompletionReply, ReplyError> {
        Err(ReplyError::Malformed("an answer of a language model".into()))
    }

    /// Adds one event of a streamed answer, and returns the text that it adds.
    ///
    /// # Errors
    /// The event does not follow the protocol, or the provider reports an error.
    fn parse_event(&self, _reply: &mut ReplyBuilder, _data: &str) -> Result<String, ReplyError> {
        Err(ReplyError::Malformed("an event".into()))
    }

    /// The request that embeds texts. The caller respects the target's limit on the number of texts.
    ///
    /// # Errors
    /// The protocol has no embeddings.
    fn embedding_request(&self, _params: &EmbeddingParams<'_>) -> Result<WireRequest, Error> {
        Err(unsupported(self.name(), "embedding models"))
    }

    /// The embeddings in the order of the texts.
    ///
    /// # Errors
    /// The answer does not follow the protocol.
    fn parse_embeddings(&self, _body: &[u8]) -> Result<EmbeddingReply, ReplyError> {
        Err(ReplyError::Malformed("embeddings".into()))
    }

    /// The request that scores documents against a query, at most [`Self::max_documents`].
    ///
    /// # Errors
    /// The protocol has no reranking.
    fn rerank_request(
        &self,
        _model: &str,
        _query: &str,
        _documents: &[String],
    ) -> Result<WireRequest, Error> {
        Err(unsupported(self.name(), "reranking models"))
    }

    /// Scores, each with the position of its document in the request.
    ///
    /// # Errors
    /// The answer does not follow the protocol.
    fn parse_scores(&self, _body: &[u8]) -> Result<Vec<(usize, f64)>, ReplyError> {
        Err(ReplyError::Malformed("scores".into()))
    }
}

fn unsupported(protocol: &str, what: &str) -> Error {
    Error::Argument(format!("protocol {protocol} has no {what}"))
}

/// The parameters of a request to a language model.
pub struct CompletionParams<'a> {
    /// The provider's address: some hosts have their own dialect.
    pub base: &'a Url,
    /// The prompt.
    pub prompt: &'a Prompt,
    /// Whether the answer is to be streamed.
    pub stream: bool,
}

/// The parameters of a request to an embedding model.
pub struct EmbeddingParams<'a> {
    /// The provider's address: some hosts have their own dialect.
    pub base: &'a Url,
    /// The provider's name of the model.
    pub model: &'a str,
    /// Length of the embeddings, if the caller chooses it.
    pub dimensions: Option<u32>,
    /// Whether the texts are queries or documents.
    pub kind: Kind,
    /// The texts.
    pub texts: &'a [String],
}

/// A request before it is sent.
#[derive(Debug, PartialEq)]
pub struct WireRequest {
    /// Path below the base URL, with the query string if there is one.
    pub path: String,
    /// The body.
    pub body: Value,
}
