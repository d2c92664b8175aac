//! Cohere's embeddings and reranking, version 2 (<https://docs.cohere.com/reference>).

use ragstone_core::protocol::Kind;
use serde::Deserialize;
use serde_json::{Map, json};

use super::{Embedded, Fault, Post, Protocol, Texts, put, read};
use crate::failure::Error;

/// The protocol.
pub struct Cohere;

impl Protocol for Cohere {
    fn name(&self) -> &'static str {
        "cohere"
    }

    fn embed(&self, ask: &Texts<'_>) -> Result<Post, Error> {
        let kind = match ask.kind {
            Kind::Query => "search_query",
            Kind::Document => "search_document",
        };
        let mut body = Map::new();
        put(&mut body, "model", Some(ask.model));
        put(&mut body, "texts", Some(ask.texts.to_vec()));
        put(&mut body, "input_type", Some(kind));
        put(&mut body, "embedding_types", Some(vec!["float"]));
        put(&mut body, "output_dimension", ask.dimensions);
        Ok(Post { path: "v2/embed".into(), body: body.into() })
    }

    fn embedded(&self, body: &[u8]) -> Result<Embedded, Fault> {
        let whole: Whole = read(body)?;
        let units = whole.meta.and_then(|meta| meta.billed_units);
        let tokens = units.and_then(|units| units.input_tokens).map(|tokens| tokens as u64);
        Ok(Embedded { vectors: whole.embeddings.float, tokens })
    }

    fn rerank(&self, model: &str, query: &str, documents: &[String]) -> Result<Post, Error> {
        let body = json!({ "model": model, "query": query, "documents": documents });
        Ok(Post { path: "v2/rerank".into(), body })
    }

    fn reranked(&self, body: &[u8]) -> Result<Vec<(usize, f64)>, Fault> {
        let ranking: Ranking = read(body)?;
        Ok(ranking.results.into_iter().map(|row| (row.index, row.relevance_score)).collect())
    }
}

#[derive(Deserialize)]
struct Whole {
    embeddings: Embeddings,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Embeddings {
    float: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Meta {
    billed_units: Option<Units>,
}

#[derive(Deserialize)]
struct Units {
    /// Written as a number with or without a fraction.
    input_tokens: Option<f64>,
}

#[derive(Deserialize)]
struct Ranking {
    results: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    index: usize,
    relevance_score: f64,
}
