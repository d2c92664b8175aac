//! A provider's answers, independent of its protocol.

use serde_json::Value;

use super::json::tool_call;
use crate::providers::call::{TokenCounts, estimate_tokens};

/// Maximum number of tool calls in one answer. Each becomes a step of the agent that made the request.
pub const MAX_TOOL_CALLS: usize = 128;

/// The answer of a language model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CompletionReply {
    /// The text.
    pub content: String,
    /// The tool calls, in OpenAI's format.
    pub tool_calls: Vec<Value>,
    /// `stop`, `length`, `tool_calls`, `content_filter`, or the provider's own word.
    pub finish_reason: String,
    /// Tokens, as far as the provider reports them.
    pub tokens: ReportedTokens,
    /// What the provider wants back with this message: an array of parts, blocks or members, by protocol.
    pub own: Option<Value>,
}

/// Tokens as a provider reports them. Some report none, or only those of the prompt or of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReportedTokens {
    /// Tokens of the prompt.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
}

impl CompletionReply {
    /// The tokens of the call: reported ones, or estimates where none are reported. No prompt takes 0 tokens, nor does an
    /// answer of some length.
    pub fn counted(&self, estimate: TokenCounts) -> TokenCounts {
        let bytes =
            self.content.len() + self.tool_calls.iter().map(|call| call.to_string().len()).sum::<usize>();
        let input = self.tokens.input.filter(|tokens| *tokens > 0).unwrap_or(estimate.input);
        let output = self.tokens.output.filter(|tokens| *tokens > 0 || bytes == 0);
        estimate.reported(input, output.unwrap_or_else(|| estimate_tokens(bytes)))
    }
}

/// Collects a streamed answer.
#[derive(Debug, Default)]
pub struct ReplyBuilder {
    /// The text so far.
    pub content: String,
    /// The tool calls so far.
    pub calls: Vec<PartialToolCall>,
    /// Why the answer ended, once it has.
    pub finish_reason: Option<String>,
    /// Tokens of the prompt.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    pub output_tokens: Option<u64>,
    /// Parts of the provider's own message with their numbers.
    pub own: Vec<(u64, Value)>,
    /// Whether the provider wants them back.
    pub wants_own: bool,
    /// Whether the text is a refusal.
    pub refused: bool,
    /// Whether the last event has been read.
    pub done: bool,
}

/// A tool call that arrives in several events.
#[derive(Debug, Default)]
pub struct PartialToolCall {
    /// The provider's number of the call within the answer, if it gives one.
    pub index: Option<u64>,
    /// The provider's identifier of the call.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments, as JSON text.
    pub arguments: String,
}

impl ReplyBuilder {
    /// The part of the provider's own message with this number, if there is one.
    pub fn own_part(&mut self, number: u64) -> Option<&mut Value> {
        self.own.iter_mut().find(|(known, _)| *known == number).map(|(_, part)| part)
    }

    /// The tool call with this number; adds it if it is missing. Adds at most one call more than [`MAX_TOOL_CALLS`],
    /// which is enough for the answer to be refused.
    pub fn call(&mut self, index: u64) -> &mut PartialToolCall {
        let at = self.calls.iter().position(|call| call.index == Some(index));
        self.call_at(at, Some(index))
    }

    fn call_at(&mut self, at: Option<usize>, index: Option<u64>) -> &mut PartialToolCall {
        let at = at.unwrap_or(self.calls.len()).min(MAX_TOOL_CALLS);
        if at == self.calls.len() {
            self.calls.push(PartialToolCall { index, ..PartialToolCall::default() });
        }
        &mut self.calls[at]
    }

    /// Adds a part of a tool call. Providers number the calls, or identify them, or both, or give all of them one number; some
    /// repeat id and name in each part. `is_first` is false for the later parts of one event.
    pub fn add_call_part(&mut self, part: &PartialToolCall, is_first: bool) {
        let numbered = |call: &PartialToolCall| part.index.is_none() || call.index == part.index;
        let same_id = |call: &PartialToolCall| !part.id.is_empty() && call.id == part.id;
        let found = self.calls.iter().rposition(same_id).or_else(|| self.calls.iter().rposition(numbered));
        let at = found.filter(|at| {
            let call = &self.calls[*at];
            let another_id = !part.id.is_empty() && !call.id.is_empty() && !same_id(call);
            let next_in_event =
                part.index.is_none() && part.id.is_empty() && !is_first && !part.name.is_empty();
            let complete = !part.name.is_empty() && !same_id(call) && is_json(&call.arguments);
            !another_id && !next_in_event && !complete
        });
        let call = self.call_at(at, part.index);
        if !part.id.is_empty() {
            call.id.clone_from(&part.id);
        }
        if part.name.starts_with(&call.name) {
            call.name.clone_from(&part.name);
        } else if !same_id(call) || call.arguments.is_empty() {
            call.name.push_str(&part.name);
        }
        call.arguments.push_str(&part.arguments);
    }

    /// The whole answer.
    pub fn finish(self) -> CompletionReply {
        let tokens = ReportedTokens { input: self.input_tokens, output: self.output_tokens };
        let tool_calls: Vec<Value> =
            self.calls.into_iter().map(|call| tool_call(&call.id, &call.name, &call.arguments)).collect();
        let default_reason = if tool_calls.is_empty() { "stop" } else { "tool_calls" };
        let finish_reason = match self.finish_reason {
            Some(reason) if !self.refused => reason,
            _ if self.refused => "content_filter".into(),
            _ => default_reason.into(),
        };
        // Only what leads to a call of a tool is wanted back.
        let wants_own = self.wants_own && !tool_calls.is_empty();
        let own = wants_own.then(|| self.own.into_iter().map(|(_, part)| part).collect());
        CompletionReply { content: self.content, tool_calls, finish_reason, tokens, own }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The embeddings of one request.
#[derive(Debug, PartialEq)]
pub struct EmbeddingReply {
    /// `[texts, dimensions]`, in the order of the texts.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts, if the provider reports them.
    pub tokens: Option<u64>,
}
