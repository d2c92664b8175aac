//! Cohere's embeddings and reranking, version 2 (<https://docs.cohere.com/reference>).

use ragstone_core::protocol::Kind;
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
pub struct Cohere;

impl Protocol for Cohere {
    fn name(&self) -> &'static str {
        "cohere"
    }

    fn embedding_request(&self, params: &EmbeddingParams<'_>) -> Result<WireRequest, Error> {
        let kind = match params.kind {
            Kind::Query => "search_query",
            Kind::Document => "search_document",
        };
        let mut body = Map::new();
        insert_some(&mut body, "model", Some(params.model));
        insert_some(&mut body, "texts", Some(params.texts.to_vec()));
        insert_some(&mut body, "input_type", Some(kind));
        insert_some(&mut body, "embedding_types", Some(vec!["float"]));
        insert_some(&mut body, "output_dimension", params.dimensions);
        Ok(WireRequest { path: "v2/embed".into(), body: body.into() })
    }

    fn parse_embeddings(&self, body: &[u8]) -> Result<EmbeddingReply, ReplyError> {
        let response: CohereEmbedResponse = parse_body(body)?;
        let units = response.meta.and_then(|meta| meta.billed_units);
        let tokens = units.and_then(|units| units.input_tokens).map(|tokens| tokens as u64);
        Ok(EmbeddingReply { vectors: response.embeddings.float, tokens })
    }

    fn rerank_request(&self, model: &str, query: &str, documents: &[String]) -> Result<WireRequest, Error> {
        let body = json!({ "model": model, "query": query, "documents": documents });
        Ok(WireRequest { path: "v2/rerank".into(), body })
    }

    fn parse_scores(&self, body: &[u8]) -> Result<Vec<(usize, f64)>, ReplyError> {
        let response: CohereRerankResponse = parse_body(body)?;
        Ok(response.results.into_iter().map(|row| (row.index, row.relevance_score)).collect())
    }
}

#[derive(Deserialize)]
struct CohereEmbedResponse {
    embeddings: CohereEmbeddings,
    meta: Option<CohereMeta>,
}

#[derive(Deserialize)]
struct CohereEmbeddings {
    float: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct CohereMeta {
    billed_units: Option<CohereBilledUnits>,
}

#[derive(Deserialize)]
struct CohereBilledUnits {
    /// Written as a number with or without a fraction.
    input_tokens: Option<f64>,
}

#[derive(Deserialize)]
struct CohereRerankResponse {
    results: Vec<CohereScore>,
}

#[derive(Deserialize)]
struct CohereScore {
    index: usize,
    relevance_score: f64,
}
