//! What a run has used: steps, tokens, cost and time.

use super::Event;

/// What a run has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RunUsage {
    /// Answers of the model.
    pub steps: u32,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// By the provider's prices.
    pub cost: f64,
    /// Milliseconds of all that was done.
    pub ms: f64,
}

/// The sum over these events.
pub fn run_usage(events: &[Event]) -> RunUsage {
    let mut spent = RunUsage::default();
    for event in events {
        match event {
            Event::Asked { .. } => {}
            Event::Said(said) => {
                spent.steps += 1;
                spent.input_tokens = spent.input_tokens.saturating_add(said.input_tokens);
                spent.output_tokens = spent.output_tokens.saturating_add(said.output_tokens);
                spent.cost += said.cost;
                spent.ms += said.ms;
            }
            Event::Called(called) => spent.ms += called.ms,
        }
    }
    spent
}
