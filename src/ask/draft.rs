//! The answer that a generator makes from passages, before its citations are prepared for the caller.

use ragstone_core::ask::Answer;

/// An answer and the reason for its end. There is no answer if the passages do not answer the question.
pub struct Draft {
    /// The answer with the passages that it cites.
    pub answer: Option<Answer>,
    /// `stop`, or `length` if the answer is cut off; None if no model was called.
    pub finish_reason: Option<String>,
    /// What kept the model from a whole answer, if it was that.
    pub shortcoming: Option<&'static str>,
}
