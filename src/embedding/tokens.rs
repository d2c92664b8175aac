//! Counts tokens of texts.

use crate::embedding::{model_or_default, tokenizer};
use ragstone_client::engine::call::caller;
use ragstone_client::engine::client;
use ragstone_core::protocol::{Request, Response};
use ragstone_pg::error::{Error, Result};

/// Counts the tokens of each text with the tokenizer of an installed model, `rag.default_model` if none is named. For a
/// provider's model this is an estimate: tokenizers of English differ by about a fifth.
pub fn count_tokens(texts: Vec<String>, model: Option<String>) -> Result<Vec<u32>> {
    let model = tokenizer(&model_or_default(model)?).to_owned();
    match client::call(Request::Count { model, caller: caller(), texts })? {
        Response::Counts(counts) => Ok(counts),
        other => Err(Error::internal(format!("unexpected answer to a count request: {other:?}"))),
    }
}

/// Approximate upper bound for the number of tokens of each text in a provider's model. The local tokenizer
/// skips white space and counts an unknown word as one token; tokenizers of language models produce at least
/// one token for four bytes.
pub fn count_tokens_generously(texts: Vec<String>) -> Result<Vec<u32>> {
    let least: Vec<u32> =
        texts.iter().map(|text| u32::try_from(text.len() / 4).unwrap_or(u32::MAX)).collect();
    let counts = count_tokens(texts, None)?;
    Ok(counts.into_iter().zip(least).map(|(count, least)| count.max(least)).collect())
}
