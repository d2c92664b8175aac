//! Text Embeddings Inference (<https://huggingface.github.io/text-embeddings-inference>): a server of one model, whose name
//! is not sent.

use ragstone_core::provider::Wire;
use serde::Deserialize;
use serde_json::{Map, json};

use super::{
    error::ReplyError,
    json::{insert_some, parse_body},
    protocol::{EmbeddingParams, Protocol, WireRequest},
    reply::EmbeddingReply,
};
use crate::failure::Error;

/// The protocol.
pub struct Tei;

impl Protocol for Tei {
    fn name(&self) -> &'static str {
        "tei"
    }

    fn max_documents(&self) -> usize {
        Wire::Tei.max_texts()
    }

    fn embedding_request(&self, params: &EmbeddingParams<'_>) -> Result<WireRequest, Error> {
        let mut body = Map::new();
        insert_some(&mut body, "inputs", Some(params.texts.to_vec()));
        // Like the local models, cut a text that is too long.
        insert_some(&mut body, "truncate", Some(true));
        insert_some(&mut body, "dimensions", params.dimensions);
        Ok(WireRequest { path: "embed".into(), body: body.into() })
    }

    fn parse_embeddings(&self, body: &[u8]) -> Result<EmbeddingReply, ReplyError> {
        Ok(EmbeddingReply { vectors: parse_body(body)?, tokens: None })
    }

    fn rerank_request(&self, _model: &str, query: &str, documents: &[String]) -> Result<WireRequest, Error> {
        Ok(WireRequest {
            path: "rerank".into(),
            body: json!({ "query": query, "texts": documents, "truncate": true }),
        })
    }

    fn parse_scores(&self, body: &[u8]) -> Result<Vec<(usize, f64)>, ReplyError> {
        let rows: Vec<TeiScore> = parse_body(body)?;
        Ok(rows.into_iter().map(|row| (row.index, row.score)).collect())
    }
}

#[derive(Deserialize)]
struct TeiScore {
    index: usize,
    score: f64,
}
