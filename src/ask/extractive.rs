//! `local/extractive`: the passages' best sentences.

use crate::ask::{Made, Question};
use crate::embedding::{Embedder, plain_vectors};
use crate::search::Passages;
use ragstone_core::ask::extract::{self, Candidate, EmbeddedQuestion};
use ragstone_core::ask::units::units;
use ragstone_core::protocol::{Kind, Lane};
use ragstone_pg::error::Result;

/// Most sentences that are compared with the question. Five passages of the PostgreSQL manual have 23 on average.
const MOST_CANDIDATES: usize = 128;

/// Answers with the sentences that are most similar to the question. They are embedded in one request, ahead of bulk work,
/// since somebody waits.
pub fn answer(question: &Question, passages: &Passages) -> Result<Made> {
    let hits = passages.hits.iter().enumerate();
    let found =
        hits.flat_map(|(passage, hit)| units(&hit.content).into_iter().map(move |unit| (passage, unit)));
    let found: Vec<_> = found.take(MOST_CANDIDATES).collect();
    if found.is_empty() {
        return Ok(Made { answer: None, finish_reason: None });
    }
    let texts = found.iter().map(|(_, unit)| unit.text.to_owned()).collect();
    let embedder = Embedder::find(&passages.model, Kind::Document)?;
    let vectors = plain_vectors(embedder.ask(Lane::Query, texts)?.wait()?)?;
    let embeddings = vectors.values.chunks_exact((vectors.dimensions as usize).max(1));
    let candidates: Vec<_> = (found.iter().zip(embeddings))
        .map(|(&(passage, unit), embedding)| Candidate { passage, unit, embedding })
        .collect();
    let asked = EmbeddedQuestion { text: &question.search.query, embedding: &passages.question };
    let scores: Vec<f64> = passages.hits.iter().map(|hit| hit.score).collect();
    let answer = extract::answer(asked, &scores, &candidates);
    Ok(Made { answer, finish_reason: Some("stop".to_owned()) })
}
