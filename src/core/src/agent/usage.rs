//! The usage of a run: steps, tokens, cost and time.

use super::Event;

/// The usage of a run so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RunUsage {
    /// Number of the model's answers.
    pub steps: u32,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// Cost, by the provider's prices.
    pub cost: f64,
    /// Duration of all steps, milliseconds.
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
