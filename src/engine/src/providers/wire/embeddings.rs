//! Reads the embeddings of OpenAI's protocol, as numbers or as base64.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{
    error::ReplyError,
    loose::{count, first_count},
    reply::EmbeddingReply,
};

/// A list of embeddings.
#[derive(Deserialize)]
pub struct EmbeddingList {
    data: Vec<NumberedEmbedding>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct NumberedEmbedding {
    #[serde(default)]
    index: Value,
    embedding: Embedding,
}

impl EmbeddingList {
    /// The embeddings in the order of the texts. Numbers that are missing or repeated leave them in the order of arrival.
    ///
    /// # Errors
    /// The numbers differ from each other and have gaps, so that it is unknown which text an embedding belongs to.
    pub fn into_reply(self) -> Result<EmbeddingReply, ReplyError> {
        let mut data = self.data;
        let mut order: Vec<u64> = data.iter().filter_map(|row| count(&row.index)).collect();
        order.sort_unstable();
        let is_numbered = order.len() == data.len() && order.windows(2).all(|pair| pair[0] != pair[1]);
        if is_numbered && !data.is_empty() {
            // Some services number from 1.
            let first = order[0];
            if first > 1 || (first..).zip(&order).any(|(expected, index)| *index != expected) {
                return Err(ReplyError::Malformed("embeddings that are not numbered without gaps".into()));
            }
            data.sort_by_key(|row| count(&row.index));
        }
        let tokens = first_count(&self.usage, &["prompt_tokens", "total_tokens", "input_tokens"]);
        let tokens = tokens.filter(|tokens| *tokens > 0);
        Ok(EmbeddingReply { vectors: data.into_iter().map(|row| row.embedding.0).collect(), tokens })
    }
}

struct Embedding(Vec<f32>);

impl<'de> Deserialize<'de> for Embedding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EmbeddingVisitor)
    }
}

struct EmbeddingVisitor;

impl<'de> Visitor<'de> for EmbeddingVisitor {
    type Value = Embedding;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of numbers, or float32 numbers as base64")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Embedding, A::Error> {
        let mut embedding = Vec::with_capacity(numbers.size_hint().unwrap_or(0));
        while let Some(number) = numbers.next_element()? {
            embedding.push(number);
        }
        Ok(Embedding(embedding))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Embedding, E> {
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| E::custom("no base64"))?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(E::custom("base64 of another length than float32 numbers have"));
        }
        Ok(Embedding(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()))
    }
}
