//! Answers from a collection: its best passages, and whoever makes an answer of them.

mod citations;
mod extractive;
mod remote;
mod request;

pub use request::{Question, search as search_for};

use crate::pg::bytes::Jsonb;
use crate::pg::error::Outcome;
use crate::provider::Generator;
use crate::search::{self, Passages};
use ragstone_core::ask::{self, UNKNOWN};

/// An answer as SQL shows it.
#[derive(Debug)]
pub struct Answered {
    /// Markdown with citations such as `[1]`, or [`UNKNOWN`].
    pub answer: String,
    /// A JSON array.
    pub citations: Jsonb,
    /// Who answered.
    pub model: String,
    /// Whether the collection has an answer.
    pub answered: bool,
    /// Cosine of the question and the passage most similar to it; none where nothing was found.
    pub similarity: Option<f64>,
    /// How the model ended: `stop`, or `length` where the answer is cut; none where no model was asked.
    pub finish_reason: Option<String>,
}

/// What a generator made of the passages: nothing where they do not answer the question.
struct Made {
    answer: Option<ask::Answer>,
    finish_reason: Option<String>,
}

/// Finds passages with the rights of the current role, and has the question answered from them.
///
/// # Errors
/// Those of the search and of the model's provider. That there is no answer is none.
pub fn ask(question: &Question) -> Outcome<Answered> {
    // Whoever may not use the model is told so before anything is searched.
    let generator = Generator::find(question.model.as_deref())?;
    let passages = search::passages(&question.search)?;
    let similarity = passages.similarities.iter().copied().max_by(f64::total_cmp);
    let is_relevant = similarity.is_some_and(|similarity| similarity >= question.min_similarity);
    let made = if is_relevant {
        make(&generator, question, &passages)?
    } else {
        Made { answer: None, finish_reason: None }
    };
    let answered = made.answer.is_some();
    let answer =
        made.answer.unwrap_or_else(|| ask::Answer { text: UNKNOWN.to_owned(), citations: Vec::new() });
    Ok(Answered {
        citations: citations::to_json(&answer.citations, &passages.hits)?,
        answer: answer.text,
        model: generator.name(),
        answered,
        similarity,
        finish_reason: made.finish_reason,
    })
}

fn make(generator: &Generator, question: &Question, passages: &Passages) -> Outcome<Made> {
    match generator {
        Generator::Extractive => extractive::answer(question, passages),
        Generator::Remote(remote) => remote::answer(remote, question, &passages.hits),
    }
}
