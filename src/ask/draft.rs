//! What a generator makes of passages, before its citations are shown to the caller.

use ragstone_core::ask::Answer;

/// An answer and how it ended. There is no answer where the passages do not answer the question.
pub struct Draft {
    /// The answer with the passages that it cites.
    pub answer: Option<Answer>,
    /// `stop`, or `length` where the answer is cut off; none where no model was called.
    pub finish_reason: Option<String>,
}
