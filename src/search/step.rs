//! Searches as steps of the session's current run: what was looked for, and the keys of what was found. The texts are in the
//! source, for those who may read them.

use crate::agent_log;
use crate::agent_log::{NewStep, StepResult};
use crate::search::{Hit, Passages, Request, passages, search};
use ragstone_pg::error::Result;
use serde_json::{Value, json};

/// Hits of which the log has keys and scores.
const MOST_HITS: usize = 100;

/// As [`search`].
///
/// # Errors
/// As [`search`].
pub fn search_as_step(request: &Request) -> Result<Vec<Hit>> {
    agent_log::step(|| new(request), || search(request), |hits| said(hits))
}

/// As [`passages`].
///
/// # Errors
/// As [`passages`].
pub fn passages_as_step(request: &Request) -> Result<Passages> {
    agent_log::step(|| new(request), || passages(request), |passages| said(&passages.hits))
}

fn new(request: &Request) -> NewStep<'_> {
    let mode = match request.mode {
        crate::search::Mode::Hybrid => "hybrid",
        crate::search::Mode::Vector => "vector",
        crate::search::Mode::Text => "text",
    };
    NewStep {
        kind: "retrieval",
        name: Some(&request.collection),
        input: Some(json!({
            "collection": request.collection,
            "query": request.query,
            "k": request.k,
            "mode": mode,
            "filter": request.filter.as_ref().and_then(|filter| filter.to_value().ok()),
        })),
        ..NewStep::default()
    }
}

fn said(hits: &[Hit]) -> StepResult {
    let shown: Vec<Value> = hits
        .iter()
        .take(MOST_HITS)
        .map(|hit| json!({"key": hit.source_key.to_value().ok(), "chunk": hit.chunk, "score": hit.score}))
        .collect();
    StepResult { output: Some(json!({"found": hits.len(), "hits": shown})), ..StepResult::default() }
}
