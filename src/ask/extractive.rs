//! The model `local/extractive`, which answers with the best sentences of the passages.

use crate::ask::draft::Draft;
use crate::ask::request::Question;
use crate::embedding::{Embedder, plain_vectors};
use crate::search::Passages;
use ragstone_core::ask::extract::{self, Candidate, EmbeddedQuestion};
use ragstone_core::ask::units::units;
use ragstone_core::protocol::{Kind, Lane};
use ragstone_pg::error::Result;

/// Maximum number of sentences that are compared with the question. Five passages of the PostgreSQL manual have 23 on
/// average.
const MAX_CANDIDATES: usize = 128;

/// Answers with the sentences that are most similar to the question. They are embedded in one request, before
/// bulk work, because the caller waits.
pub fn answer(question: &Question, passages: &Passages) -> Result<Draft> {
    let hits = passages.hits.iter().enumerate();
    let found = hits.flat_map(|(passage, hit)| {
        units(&hit.chunk.stored.content).into_iter().map(move |unit| (passage, unit))
    });
    let found: Vec<_> = found.take(MAX_CANDIDATES).collect();
    if found.is_empty() {
        return Ok(Draft { answer: None, finish_reason: None, shortcoming: None });
    }
    let texts = found.iter().map(|(_, unit)| unit.text.to_owned()).collect();
    let embedder = Embedder::find(&passages.model, Kind::Document)?;
    let vectors = plain_vectors(embedder.ask(Lane::Query, texts)?.wait()?)?;
    let embeddings = vectors.values.chunks_exact((vectors.dimensions as usize).max(1));
    let candidates: Vec<_> = (found.iter().zip(embeddings))
        .map(|(&(passage, unit), embedding)| Candidate { passage, unit, embedding })
        .collect();
    let asked = EmbeddedQuestion { text: &question.search.query, embedding: &passages.question };
    let scores: Vec<f64> = passages.hits.iter().map(|hit| hit.ranked.score).collect();
    let answer = extract::answer(asked, &scores, &candidates);
    Ok(Draft { answer, finish_reason: Some("stop".to_owned()), shortcoming: None })
}
