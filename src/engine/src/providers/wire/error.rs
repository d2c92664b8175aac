//! How a provider's answer can be wrong.

use crate::providers::refusal::Refusal;

/// Why an answer with a status of success is not usable.
#[derive(Debug)]
pub enum ReplyError {
    /// It is not what the protocol says. The reason repeats nothing of the answer.
    Malformed(String),
    /// The provider reports an error in its body, or in the middle of a stream.
    Refused(Box<Refusal>),
}
