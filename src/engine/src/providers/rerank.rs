//! Scores documents against a query with a provider's reranking model.

use ragstone_core::protocol::Response;

use super::{
    call::{NewCall, ProviderAnswer, ProviderCall, Timed, TokenCounts, estimate_tokens, run_by_size},
    request::RerankRequest,
    shared::Calls,
};
use crate::failure::Error;

/// A score for each document, in the order of the documents: how well it answers the query.
///
/// # Errors
/// Errors of the call.
pub async fn rerank(calls: &Calls, request: RerankRequest) -> Result<Response, Error> {
    let RerankRequest { target, model, query, documents, account } = request;
    if documents.is_empty() {
        return Ok(Response::Scores(Vec::new()));
    }
    let estimate = estimate(&query, &documents);
    let new = NewCall { model: &model, account: &account, estimate, timed: Timed::Call };
    let prompt = || serde_json::to_string(&(&query, &documents)).unwrap_or_default();
    let call = ProviderCall::open(calls, target, new, prompt).await?;
    let (scores, _) = call.run(score_in_batches(&call, &model, &query, &documents), |_| "").await?;
    Ok(Response::Scores(scores))
}

async fn score_in_batches(
    call: &ProviderCall,
    model: &str,
    query: &str,
    documents: &[String],
) -> Result<Vec<f64>, Error> {
    let mut scores = Vec::with_capacity(documents.len());
    for batch in documents.chunks(call.wire.max_documents()) {
        scores.extend(score_batch(call, model, query, batch).await?);
    }
    Ok(scores)
}

async fn score_batch(
    call: &ProviderCall,
    model: &str,
    query: &str,
    documents: &[String],
) -> Result<Vec<f64>, Error> {
    let tokens = estimate(query, documents);
    let request = call.wire.rerank_request(model, query, documents)?;
    let read = |mut answer: ProviderAnswer| async move {
        let body = call.read_body(&mut answer).await?;
        let wire = call.wire;
        let scored = run_by_size(body.len() as u64, move || wire.parse_scores(&body)).await?;
        scored.map_err(|error| call.reply_failed(error, false))
    };
    let scored = call.exchange(request, tokens, read).await.map_err(|failed| call.attempt_error(failed))?;
    call.record_tokens(tokens);
    let mut scores = vec![None; documents.len()];
    for (document, score) in scored {
        if let Some(slot) = scores.get_mut(document) {
            *slot = Some(score);
        }
    }
    let scores: Option<Vec<f64>> = scores.into_iter().collect();
    scores.ok_or_else(|| call.malformed("scores that do not belong to each document".into()))
}

/// The model reads the query again with each document.
fn estimate(query: &str, documents: &[String]) -> TokenCounts {
    let bytes = documents.iter().map(|document| document.len() + query.len()).sum();
    TokenCounts { input: estimate_tokens(bytes), output: 0 }
}
