//! From texts to the vectors of a provider's embedding model.

use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use ragstone_core::{
    protocol::{Response, Vectors},
    provider::{Account, Target},
};

use super::{
    Texts,
    call::{Call, Opening, Tokens, heavy, tokens_of},
    wire::{self, Embedded},
};
use crate::{failure::Error, server::engine::Engine};

/// The embeddings of the texts, in their order.
///
/// # Errors
/// Those of the call.
pub async fn embed(
    engine: &Engine,
    target: Box<Target>,
    texts: Texts,
    account: Account,
) -> Result<Response, Error> {
    let mut vectors = Vectors {
        dimensions: texts.dimensions.unwrap_or(0),
        max_tokens: u32::MAX,
        fingerprint: target.fingerprint(&texts.model, texts.dimensions),
        ..Vectors::default()
    };
    if texts.texts.is_empty() {
        return Ok(Response::Vectors(vectors));
    }
    vectors.tokens = texts.texts.iter().map(|text| tokens_of(text.len()) as u32).collect();
    let estimate = input(vectors.tokens.iter().map(|tokens| u64::from(*tokens)).sum());
    let opening = Opening { model: &texts.model, account: &account, estimate };
    let kept = || serde_json::to_string(&texts.texts).unwrap_or_default();
    let call = Call::open(engine, target, opening, kept).await?;
    let work = async {
        let rows = rows(&call, &texts).await?;
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

/// Most tokens in one request, about. OpenAI takes 300,000.
const MOST_TOKENS: u64 = 100_000;

/// Most requests of one call at once; the provider's own limit may be lower.
const AT_ONCE: u32 = 8;

async fn rows(call: &Call, texts: &Texts) -> Result<Vec<Vec<f32>>, Error> {
    let at_once = call.target.limits.concurrency.clamp(1, AT_ONCE) as usize;
    let batches = batches(&texts.texts, call.wire.most_texts());
    let answers = stream::iter(batches).map(|batch| answer(call, texts, batch)).buffered(at_once);
    let batches: Vec<Vec<Vec<f32>>> = answers.try_collect().await?;
    Ok(batches.into_iter().flatten().collect())
}

async fn answer(call: &Call, texts: &Texts, batch: Range<usize>) -> Result<Vec<Vec<f32>>, Error> {
    let batch = &texts.texts[batch];
    let Texts { model, dimensions, kind, .. } = texts;
    let (base, dimensions, kind) = (&call.base, *dimensions, *kind);
    let post = call.wire.embed(&wire::Texts { base, model, dimensions, kind, texts: batch })?;
    let estimate = input(batch.iter().map(|text| tokens_of(text.len())).sum());
    let mut answer = call.post(post, estimate).await?;
    let body = call.read(&mut answer).await?;
    let wire = call.wire;
    let embedded = heavy(body.len() as u64, move || wire.embedded(&body)).await?;
    let Embedded { vectors, tokens } = embedded.map_err(|fault| call.fault(fault))?;
    let tokens = tokens.map_or(estimate, |tokens| Tokens::told(tokens, 0));
    call.took(tokens);
    answer.turn.took(tokens.sum());
    if vectors.len() != batch.len() {
        return Err(call.malformed(format!(
            "embeddings: expected {}, actual {}",
            batch.len(),
            vectors.len()
        )));
    }
    if vectors.iter().flatten().any(|value| !value.is_finite()) {
        return Err(call.malformed("embeddings with numbers out of range".into()));
    }
    Ok(vectors)
}

fn input(input: u64) -> Tokens {
    Tokens { input, output: 0 }
}

/// The texts in their order, so many in a batch as it may have texts and tokens.
fn batches(texts: &[String], most_texts: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut begin, mut tokens) = (0, 0);
    for (position, text) in texts.iter().enumerate() {
        let more = tokens_of(text.len());
        if position > begin && (position - begin == most_texts || tokens + more > MOST_TOKENS) {
            batches.push(begin..position);
            (begin, tokens) = (position, 0);
        }
        tokens += more;
    }
    batches.push(begin..texts.len());
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_by_texts_and_by_tokens() {
        let short: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let sizes =
            |texts: &[String]| batches(texts, 96).into_iter().map(|batch| batch.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&short), [96, 96, 8]);
        let long = vec!["x".repeat(160_000); 5];
        assert_eq!(sizes(&long), [2, 2, 1]);
        assert_eq!(sizes(&["x".repeat(1_000_000), "y".into()]), [1, 1]);
    }
}
