//! How long texts are in tokens.

use crate::embedding::{model_or_default, tokenizer};
use crate::pg::error::{Error, Outcome};
use crate::worker::client;
use ragstone_core::protocol::{Request, Response};

/// Tokens of each text by the tokenizer of an installed model, `rag.default_model` if none is named. Of a provider's model
/// that is an estimate: tokenizers of English differ by about a fifth.
pub fn count_tokens(texts: Vec<String>, model: Option<String>) -> Outcome<Vec<u32>> {
    let model = tokenizer(&model_or_default(model)?).to_owned();
    match client::call(Request::Count { model, texts })? {
        Response::Counts(counts) => Ok(counts),
        other => Err(Error::internal(format!("unexpected answer to a count request: {other:?}"))),
    }
}
