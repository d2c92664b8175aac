//! The answer of a provider's language model as a stream of deltas.

use crate::provider::call::{CallOptions, completion, notice_shortcoming};
use crate::provider::generator::Remote;
use crate::provider::step::ModelStep;
use ragstone_client::engine::client::Pending;
use ragstone_core::protocol::Response;
use ragstone_core::provider::{Completion, Prompt};
use ragstone_pg::error::Result;
use ragstone_pg::text::replace_unencodable;

/// The parts of an answer, in the order in which the provider sends them.
pub struct Deltas {
    pending: Option<Pending>,
    completion: Option<Completion>,
    step: Option<ModelStep>,
}

impl Remote {
    /// Sends a prompt and returns the answer's deltas as they arrive.
    pub fn stream(&self, prompt: Prompt, options: CallOptions) -> Result<Deltas> {
        let step = self.begin_step(&prompt, options)?;
        let pending = Some(self.prepare(prompt, options, true)?.into_pending()?);
        Ok(Deltas { pending, completion: None, step })
    }
}

impl Deltas {
    /// The whole answer, once all deltas have arrived.
    pub fn completion(&self) -> Option<&Completion> {
        self.completion.as_ref()
    }

    fn advance(&mut self) -> Result<Option<String>> {
        let Some(pending) = &mut self.pending else { return Ok(None) };
        let last = match pending.receive_next() {
            Ok(Response::Piece(delta)) => return Ok(Some(replace_unencodable(delta).into_owned())),
            last => last,
        };
        self.pending = None;
        let answer = last.and_then(completion);
        if let Some(step) = self.step.take() {
            step.end(&answer)?;
        }
        let answer = answer?;
        notice_shortcoming(&answer);
        self.completion = Some(answer);
        Ok(None)
    }
}

impl Iterator for Deltas {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
