//! Logs searches as steps of the session's current run: the query, and the keys of the hits. The texts stay
//! in the source, protected by its privileges.

use crate::agent_log;
use crate::agent_log::{NewStep, StepResult};
use crate::search::{Hit, Passages, SearchRequest, Syntax, passages, search};
use ragstone_pg::error::Result;
use serde_json::{Value, json};

/// Maximum number of hits whose keys and scores are logged.
const MAX_LOGGED_HITS: usize = 100;

/// As [`search`].
///
/// # Errors
/// As [`search`].
pub fn search_as_step(request: &SearchRequest) -> Result<Vec<Hit>> {
    agent_log::step(|| new(request), || search(request), |hits| result(hits))
}

/// As [`passages`].
///
/// # Errors
/// As [`passages`].
pub fn passages_as_step(request: &SearchRequest) -> Result<Passages> {
    agent_log::step(|| new(request), || passages(request), |passages| result(&passages.hits))
}

fn new(request: &SearchRequest) -> NewStep<'_> {
    let mut input = json!({
        "collection": request.collection,
        "query": request.query,
        "k": request.k,
        "mode": request.mode.name(),
        "filter": request.filter.as_ref().and_then(|filter| filter.to_value().ok()),
    });
    if request.page_offset > 0 {
        input["page_offset"] = request.page_offset.into();
    }
    if request.syntax == Syntax::Web {
        input["syntax"] = "web".into();
    }
    NewStep { kind: "retrieval", name: Some(&request.collection), input: Some(input), ..NewStep::default() }
}

fn result(hits: &[Hit]) -> StepResult {
    let shown: Vec<Value> = hits
        .iter()
        .take(MAX_LOGGED_HITS)
        .map(|hit| json!({"key": hit.chunk.row.key.to_value().ok(), "chunk": hit.ranked.chunk, "score": hit.shows_scores.then_some(hit.ranked.score)}))
        .collect();
    StepResult { output: Some(json!({"found": hits.len(), "hits": shown})), ..StepResult::default() }
}
