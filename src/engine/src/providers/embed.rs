//! Embeds texts with a provider's embedding model.

use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use ragstone_core::protocol::{Response, Vectors};
use ragstone_core::provider::MAX_EMBEDDING_BYTES;

use super::{
    call::{NewCall, ProviderAnswer, ProviderCall, Timed, TokenCounts, estimate_tokens, run_by_size},
    request::EmbeddingRequest,
    shared::Calls,
    wire::{protocol::EmbeddingParams, reply::EmbeddingReply},
};
use crate::failure::Error;

/// The embeddings of the texts, in their order.
///
/// # Errors
/// Errors of the call.
pub async fn embed(calls: &Calls, request: EmbeddingRequest) -> Result<Response, Error> {
    let EmbeddingRequest { target, model, dimensions, kind, texts, account } = request;
    let mut vectors = Vectors {
        dimensions: dimensions.unwrap_or(0),
        max_tokens: u32::MAX,
        fingerprint: target.fingerprint(&model, dimensions),
        ..Vectors::default()
    };
    if texts.is_empty() {
        return Ok(Response::Vectors(vectors));
    }
    vectors.tokens = texts.iter().map(|text| estimate_tokens(text.len()) as u32).collect();
    let estimate = input_tokens(vectors.tokens.iter().map(|tokens| u64::from(*tokens)).sum());
    let new = NewCall { model: &model, account: &account, estimate, timed: Timed::EachRequest };
    let prompt = || serde_json::to_string(&texts).unwrap_or_default();
    let call = ProviderCall::open(calls, target, new, prompt).await?;
    let params = EmbeddingParams { base: &call.base, model: &model, dimensions, kind, texts: &texts };
    let work = async {
        let rows = embed_in_batches(&call, &params).await?;
        let dimensions = rows.first().map_or(0, Vec::len);
        if dimensions == 0 || rows.iter().any(|row| row.len() != dimensions) {
            return Err(call.malformed("embeddings of differing lengths, or of none".into()));
        }
        vectors.dimensions = dimensions as u32;
        vectors.values = rows.concat();
        Ok(vectors)
    };
    let (vectors, _) = call.run(work, |_| "").await?;
    Ok(Response::Vectors(vectors))
}

/// Maximum number of requests that one call has in progress; the provider's own limit may be lower.
const MAX_CONCURRENT_BATCHES: usize = 8;

async fn embed_in_batches(call: &ProviderCall, params: &EmbeddingParams<'_>) -> Result<Vec<Vec<f32>>, Error> {
    let concurrency = call.target.limits.concurrency_of_one_role().min(MAX_CONCURRENT_BATCHES);
    let batches = split_into_batches(params.texts, call.target.limits.max_texts.max(1) as usize);
    let answers = stream::iter(batches).map(|batch| embed_batch(call, params, batch)).buffered(concurrency);
    let batches: Vec<Vec<Vec<f32>>> = answers.try_collect().await?;
    Ok(batches.into_iter().flatten().collect())
}

async fn embed_batch(
    call: &ProviderCall,
    params: &EmbeddingParams<'_>,
    batch: Range<usize>,
) -> Result<Vec<Vec<f32>>, Error> {
    let texts = &params.texts[batch];
    let request = call.wire.embedding_request(&EmbeddingParams { texts, ..*params })?;
    let estimate = input_tokens(texts.iter().map(|text| estimate_tokens(text.len())).sum());
    let read = |mut answer: ProviderAnswer| async move {
        let body = call.read_body(&mut answer).await?;
        let wire = call.wire;
        let reply = run_by_size(body.len() as u64, move || wire.parse_embeddings(&body)).await?;
        let EmbeddingReply { vectors, tokens } = reply.map_err(|error| call.reply_failed(error, false))?;
        let tokens = tokens.map_or(estimate, |tokens| estimate.reported(tokens, 0));
        call.record_tokens(tokens);
        answer.permit.record_tokens(tokens.sum());
        Ok(vectors)
    };
    let vectors =
        call.exchange(request, estimate, read).await.map_err(|failed| call.attempt_error(failed))?;
    if vectors.len() != texts.len() {
        return Err(call.malformed(format!(
            "embeddings: expected {}, actual {}",
            texts.len(),
            vectors.len()
        )));
    }
    if vectors.iter().flatten().any(|value| !value.is_finite()) {
        return Err(call.malformed("embeddings with numbers out of range".into()));
    }
    Ok(vectors)
}

fn input_tokens(input: u64) -> TokenCounts {
    TokenCounts { input, output: 0 }
}

/// Ranges of the texts, in their order, each within the limits of texts and bytes.
fn split_into_batches(texts: &[String], max_texts: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (position, text) in texts.iter().enumerate() {
        let is_full = position - begin == max_texts || bytes + text.len() > MAX_EMBEDDING_BYTES;
        if position > begin && is_full {
            batches.push(begin..position);
            (begin, bytes) = (position, 0);
        }
        bytes += text.len();
    }
    batches.push(begin..texts.len());
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_by_texts_and_by_bytes() {
        let short: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let sizes = |texts: &[String]| {
            split_into_batches(texts, 96).into_iter().map(|batch| batch.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&short), [96, 96, 8]);
        let long = vec!["x".repeat(160_000); 5];
        assert_eq!(sizes(&long), [2, 2, 1]);
        assert_eq!(sizes(&["x".repeat(1_000_000), "y".into()]), [1, 1]);
    }
}
