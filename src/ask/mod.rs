//! Answers from a collection: its best passages, and whoever makes an answer of them.

mod citations;
mod draft;
mod extractive;
mod remote;
mod request;
mod step;

pub use request::{Question, search as search_for};
pub use step::ask_as_step;

use crate::ask::draft::Draft;
use crate::provider::{CallOptions, Deltas, Generator};
use crate::search;
use crate::search::Passages;
use ragstone_core::ask::{self, UNANSWERED};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};

/// An answer as SQL shows it.
#[derive(Debug)]
pub struct CitedAnswer {
    /// Markdown with citations such as `[1]`, or [`UNANSWERED`].
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

/// Finds passages with the rights of the current role, and has the question answered from them.
///
/// # Errors
/// Those of the search and of the model's provider. That there is no answer is none.
pub fn ask(question: &Question) -> Result<CitedAnswer> {
    // Whoever may not use the model is told so before anything is searched.
    let generator = Generator::find(question.model.as_deref())?;
    let passages = search::passages_as_step(&question.search)?;
    at_once(&generator, question, &passages)
}

/// A question that a provider's model is answering, piece by piece.
pub struct StreamedAnswer {
    /// The pieces.
    pub pieces: Deltas,
    passages: Passages,
    shown: usize,
    model: String,
}

/// The same with the answer's pieces as they come, or the whole answer where no provider has to be asked.
///
/// # Errors
/// As above.
pub fn stream(question: &Question) -> Result<Result<StreamedAnswer, CitedAnswer>> {
    let generator = Generator::find(question.model.as_deref())?;
    let passages = search::passages_as_step(&question.search)?;
    match &generator {
        Generator::Remote(remote) if is_relevant(question, &passages) => {
            let prepared = remote::prepare(remote, question, &passages.hits)?;
            let options = CallOptions { function: question.function, timeout_ms: question.timeout_ms };
            let (pieces, shown) = (remote.stream(prepared.prompt, options)?, prepared.shown);
            Ok(Ok(StreamedAnswer { pieces, passages, shown, model: generator.name() }))
        }
        _ => at_once(&generator, question, &passages).map(Err),
    }
}

impl StreamedAnswer {
    /// The answer as a whole, once all of its pieces have come.
    pub fn answered(&self) -> Result<CitedAnswer> {
        let completion = self.pieces.completion();
        let completion = completion.ok_or_else(|| Error::internal("an answer that has not ended"))?;
        let draft = remote::check(completion, &self.passages.hits, self.shown);
        answered(draft, &self.passages, self.model.clone())
    }
}

fn at_once(generator: &Generator, question: &Question, passages: &Passages) -> Result<CitedAnswer> {
    let draft = if is_relevant(question, passages) {
        generate(generator, question, passages)?
    } else {
        Draft { answer: None, finish_reason: None }
    };
    answered(draft, passages, generator.name())
}

fn is_relevant(question: &Question, passages: &Passages) -> bool {
    best(passages).is_some_and(|similarity| similarity >= question.min_similarity)
}

fn best(passages: &Passages) -> Option<f64> {
    passages.similarities.iter().copied().max_by(f64::total_cmp)
}

fn answered(draft: Draft, passages: &Passages, model: String) -> Result<CitedAnswer> {
    // What cites nothing is not from the collection, whatever the model says.
    let answered = draft.answer.as_ref().is_some_and(|answer| !answer.citations.is_empty());
    let answer =
        draft.answer.unwrap_or_else(|| ask::Answer { text: UNANSWERED.to_owned(), citations: Vec::new() });
    Ok(CitedAnswer {
        citations: citations::to_json(&answer.citations, &passages.hits)?,
        answer: answer.text,
        model,
        answered,
        similarity: best(passages),
        finish_reason: draft.finish_reason,
    })
}

fn generate(generator: &Generator, question: &Question, passages: &Passages) -> Result<Draft> {
    match generator {
        Generator::Extractive => extractive::answer(question, passages),
        Generator::Remote(remote) => remote::answer(remote, question, &passages.hits),
    }
}
