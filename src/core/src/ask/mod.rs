//! Answering a question from passages: what can be quoted of them, the prompt for a language model, and which of the
//! numbers in its answer are citations.

pub mod citations;
pub mod extract;
pub mod prompt;
pub mod relevance;
pub mod units;
pub mod words;

/// The text of the answer if the passages hold none.
pub const UNANSWERED: &str = "The collection does not answer this question.";

/// The same where rows wait to be indexed, which may answer it.
pub const UNANSWERED_YET: &str =
    "Not all rows of the collection are indexed yet, and those that are do not answer this question.";

/// What supports an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// The number in the answer's brackets.
    pub number: usize,
    /// Place of the passage, from 0.
    pub passage: usize,
    /// What the passage says, word for word; where that are several places, with [`ELLIPSIS`] between them.
    pub quote: String,
}

/// An answer with its citations, in ascending numbers. Whatever stands in brackets as a number outside code is cited.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Markdown.
    pub text: String,
    /// Each number once.
    pub citations: Vec<Citation>,
}

/// Between two places of a passage in one quote.
pub const ELLIPSIS: &str = " … ";
