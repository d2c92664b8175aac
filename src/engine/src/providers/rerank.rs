//! From a question and documents to a provider's scores.

use ragstone_core::{
    protocol::Response,
    provider::{Account, Target},
};

use super::{
    Pairs,
    call::{Call, Opening, heavy, tokens_of},
};
use crate::{failure::Error, server::engine::Engine};

/// How well each document answers the question, in the order of the documents.
///
/// # Errors
/// Those of the call.
pub async fn rerank(
    engine: &Engine,
    target: Box<Target>,
    pairs: Pairs,
    account: Account,
) -> Result<Response, Error> {
    if pairs.documents.is_empty() {
        return Ok(Response::Scores(Vec::new()));
    }
    let bytes = pairs.documents.iter().map(|document| document.len() + pairs.query.len()).sum();
    let input_tokens = tokens_of(bytes);
    let opening = Opening { model: &pairs.model, account: &account, input_tokens, output_tokens: 0 };
    let kept = || serde_json::to_string(&(&pairs.query, &pairs.documents)).unwrap_or_default();
    let call = Call::open(engine, target, opening, kept).await?;
    let (scores, _) = call.run(scores(&call, &pairs, input_tokens), |_| "").await?;
    Ok(Response::Scores(scores))
}

async fn scores(call: &Call, pairs: &Pairs, tokens: u64) -> Result<Vec<f64>, Error> {
    let post = call.wire.rerank(&pairs.model, &pairs.query, &pairs.documents)?;
    let mut answer = call.post(post, tokens).await?;
    let body = call.read(&mut answer).await?;
    let wire = call.wire;
    let ranked = heavy(body.len() as u64, move || wire.reranked(&body)).await?;
    let ranked = ranked.map_err(|fault| call.fault(fault))?;
    call.took(tokens, 0);
    let mut scores = vec![None; pairs.documents.len()];
    for (document, score) in ranked {
        if let Some(place) = scores.get_mut(document) {
            *place = Some(score);
        }
    }
    let scores: Option<Vec<f64>> = scores.into_iter().collect();
    scores.ok_or_else(|| call.malformed("scores that do not belong to each document".into()))
}
