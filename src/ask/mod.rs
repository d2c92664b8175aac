//! Answers questions from a collection. [`search`](crate::search) finds passages, and a generator makes a [`draft`] of
//! them: [`extractive`] picks sentences, [`remote`] asks a provider's model.

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
use ragstone_core::ask::{self, UNANSWERED, UNANSWERED_YET};
use ragstone_core::provider::Completion;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};

/// An answer as the SQL functions return it.
#[derive(Debug)]
pub struct CitedAnswer {
    /// Markdown with citations such as `[1]`, or [`UNANSWERED`] or [`UNANSWERED_YET`].
    pub answer: String,
    /// A JSON array of citations.
    pub citations: Jsonb,
    /// Name of the model that answered.
    pub model: String,
    /// True if the collection has an answer.
    pub answered: bool,
    /// Cosine similarity of the question and the passage most similar to it; None if no passage was found.
    pub similarity: Option<f64>,
    /// Why the model ended: `stop`, or `length` if the answer is cut off; None if no model was called.
    pub finish_reason: Option<String>,
}

/// Finds passages with the rights of the current role, and answers the question from them.
///
/// # Errors
/// Errors from the search or the provider. "No answer found" is not an error.
pub fn ask(question: &Question) -> Result<CitedAnswer> {
    // A caller that may not use the model gets the error before anything is searched.
    let generator = Generator::find(question.model.as_deref())?;
    let passages = search::passages_as_step(&question.search)?;
    at_once(&generator, question, &passages)
}

/// An answer that a provider's model is streaming.
pub struct StreamedAnswer {
    /// The pieces of the answer.
    pub pieces: Deltas,
    passages: Passages,
    shown: usize,
    model: String,
}

/// As [`ask`], with the answer as a stream; or the whole answer if no provider has to be called.
///
/// # Errors
/// As [`ask`].
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
    /// The whole answer, after all its pieces were received.
    pub fn answered(&self) -> Result<CitedAnswer> {
        let completion = self.pieces.completion();
        let completion = completion.ok_or_else(|| Error::internal("an answer that has not ended"))?;
        let draft = remote::check(completion, &self.passages.hits, self.shown);
        answered(draft, &self.passages, self.model.clone())
    }

    /// The text that follows the pieces if they are no answer. An answer that was cut needs none: its text has been given
    /// out, and a NOTICE says the rest.
    pub fn unanswered(&self, has_pieces: bool) -> Option<String> {
        match self.pieces.completion().and_then(Completion::shortcoming) {
            Some(shortcoming) => (!has_pieces).then(|| ask::failed_answer(shortcoming)),
            None => Some(unanswered(&self.passages).to_owned()),
        }
    }
}

fn at_once(generator: &Generator, question: &Question, passages: &Passages) -> Result<CitedAnswer> {
    let draft = if is_relevant(question, passages) {
        generate(generator, question, passages)?
    } else {
        Draft { answer: None, finish_reason: None, shortcoming: None }
    };
    answered(draft, passages, generator.name())
}

fn is_relevant(question: &Question, passages: &Passages) -> bool {
    best(passages).is_some_and(|similarity| similarity >= question.min_similarity)
}

fn best(passages: &Passages) -> Option<f64> {
    passages.hits.iter().filter_map(|hit| hit.ranked.similarity).max_by(f64::total_cmp)
}

fn unanswered(passages: &Passages) -> &'static str {
    if passages.is_behind { UNANSWERED_YET } else { UNANSWERED }
}

fn answered(draft: Draft, passages: &Passages, model: String) -> Result<CitedAnswer> {
    // An answer without citations does not come from the collection, whatever the model says.
    let is_cited = draft.answer.as_ref().is_some_and(|answer| !answer.citations.is_empty());
    let answered = is_cited && draft.shortcoming.is_none();
    let answer = draft.answer.unwrap_or_else(|| {
        // Whether the collection has an answer is unknown where the model gave none.
        let text = draft.shortcoming.map_or_else(|| unanswered(passages).to_owned(), ask::failed_answer);
        ask::Answer { text, citations: Vec::new() }
    });
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
