//! From a question and documents to a provider's scores.

use ragstone_core::{
    protocol::Response,
    provider::{Account, Target},
};

use super::{
    Pairs,
    call::{self, Call, Opening, Tokens, heavy},
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
    let estimate = estimate(&pairs, &pairs.documents);
    let opening = Opening { model: &pairs.model, account: &account, estimate };
    let kept = || serde_json::to_string(&(&pairs.query, &pairs.documents)).unwrap_or_default();
    let call = Call::open(engine, target, opening, kept).await?;
    let (scores, _) = call.run(scores(&call, &pairs), |_| "").await?;
    Ok(Response::Scores(scores))
}

async fn scores(call: &Call, pairs: &Pairs) -> Result<Vec<f64>, Error> {
    let mut scores = Vec::with_capacity(pairs.documents.len());
    for documents in pairs.documents.chunks(call.wire.most_documents()) {
        scores.extend(answer(call, pairs, documents).await?);
    }
    Ok(scores)
}

async fn answer(call: &Call, pairs: &Pairs, documents: &[String]) -> Result<Vec<f64>, Error> {
    let tokens = estimate(pairs, documents);
    let post = call.wire.rerank(&pairs.model, &pairs.query, documents)?;
    let mut answer = call.post(post, tokens).await?;
    let body = call.read(&mut answer).await?;
    let wire = call.wire;
    let ranked = heavy(body.len() as u64, move || wire.reranked(&body)).await?;
    let ranked = ranked.map_err(|fault| call.fault(fault))?;
    call.took(tokens);
    let mut scores = vec![None; documents.len()];
    for (document, score) in ranked {
        if let Some(place) = scores.get_mut(document) {
            *place = Some(score);
        }
    }
    let scores: Option<Vec<f64>> = scores.into_iter().collect();
    scores.ok_or_else(|| call.malformed("scores that do not belong to each document".into()))
}

/// The question is read with each document.
fn estimate(pairs: &Pairs, documents: &[String]) -> Tokens {
    let bytes = documents.iter().map(|document| document.len() + pairs.query.len()).sum();
    Tokens { input: call::tokens_of(bytes), output: 0 }
}
