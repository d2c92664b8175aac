//! Text Embeddings Inference (<https://huggingface.github.io/text-embeddings-inference>): a server of one model, whose name
//! is not sent.

use serde::Deserialize;
use serde_json::{Map, json};

use super::{Embedded, Fault, Post, Protocol, Texts, put, read};
use crate::failure::Error;

/// The protocol.
pub struct Tei;

impl Protocol for Tei {
    fn name(&self) -> &'static str {
        "tei"
    }

    /// The server's own default, --max-client-batch-size.
    fn most_texts(&self) -> usize {
        32
    }

    fn most_documents(&self) -> usize {
        self.most_texts()
    }

    fn embed(&self, ask: &Texts<'_>) -> Result<Post, Error> {
        let mut body = Map::new();
        put(&mut body, "inputs", Some(ask.texts.to_vec()));
        // As local models do: a text that is too long is cut.
        put(&mut body, "truncate", Some(true));
        put(&mut body, "dimensions", ask.dimensions);
        Ok(Post { path: "embed".into(), body: body.into() })
    }

    fn embedded(&self, body: &[u8]) -> Result<Embedded, Fault> {
        Ok(Embedded { vectors: read(body)?, tokens: None })
    }

    fn rerank(&self, _model: &str, query: &str, documents: &[String]) -> Result<Post, Error> {
        Ok(Post {
            path: "rerank".into(),
            body: json!({ "query": query, "texts": documents, "truncate": true }),
        })
    }

    fn reranked(&self, body: &[u8]) -> Result<Vec<(usize, f64)>, Fault> {
        let rows: Vec<Row> = read(body)?;
        Ok(rows.into_iter().map(|row| (row.index, row.score)).collect())
    }
}

#[derive(Deserialize)]
struct Row {
    index: usize,
    score: f64,
}
