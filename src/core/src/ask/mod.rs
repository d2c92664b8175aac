//! Answers a question from passages: the parts that can be quoted, the prompt for a language model, and the citations in
//! its answer.

pub mod citations;
pub mod extract;
pub mod prompt;
pub mod relevance;
pub mod units;
pub mod words;

/// The text of the answer if the passages do not contain one.
pub const UNANSWERED: &str = "The collection does not answer this question.";

/// The text of the answer if the passages do not contain one, and rows that wait to be indexed may contain it.
pub const UNANSWERED_YET: &str =
    "Not all rows of the collection are indexed yet, and those that are do not answer this question.";

/// The text of the answer if the model's own is no whole answer, for the reason of
/// [`Completion::shortcoming`](crate::provider::Completion::shortcoming).
pub fn failed_answer(shortcoming: &str) -> String {
    format!("The answer of the model {shortcoming}.")
}

/// A quote that supports an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// The number in the answer's brackets.
    pub number: usize,
    /// Position of the passage, from 0.
    pub passage: usize,
    /// Text of the passage, word for word. Several parts are separated by [`ELLIPSIS`].
    pub quote: String,
}

/// An answer with its citations, in ascending order of numbers. Each number in brackets outside code is a citation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Markdown.
    pub text: String,
    /// The citations; each number occurs once.
    pub citations: Vec<Citation>,
}

/// Separates two parts of a passage in one quote.
pub const ELLIPSIS: &str = " … ";
