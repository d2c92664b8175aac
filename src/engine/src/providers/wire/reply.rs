//! What a provider answers, in our own terms.

use serde_json::Value;

use super::json::tool_call;

/// Maximum number of tool calls in one answer. Each becomes a step of the agent that asked.
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
    /// Tokens of prompt and answer, if the provider reports them.
    pub tokens: Option<(u64, u64)>,
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
    /// Whether the last event has been read.
    pub done: bool,
}

/// A tool call that arrives in several events.
#[derive(Debug, Default)]
pub struct PartialToolCall {
    /// The provider's number of the call within the answer.
    pub index: u64,
    /// The provider's identifier of the call.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments, as JSON text.
    pub arguments: String,
}

impl ReplyBuilder {
    /// The tool call with this number, added if there is none. None are added beyond the first over [`MAX_TOOL_CALLS`], with which the
    /// answer will be refused.
    pub fn call(&mut self, index: u64) -> &mut PartialToolCall {
        let mut at = self.calls.iter().position(|call| call.index == index).unwrap_or(self.calls.len());
        if at > MAX_TOOL_CALLS {
            at = MAX_TOOL_CALLS;
        } else if at == self.calls.len() {
            self.calls.push(PartialToolCall { index, ..PartialToolCall::default() });
        }
        &mut self.calls[at]
    }

    /// The whole answer.
    pub fn finish(self) -> CompletionReply {
        let tokens = self.input_tokens.zip(self.output_tokens);
        let tool_calls: Vec<Value> =
            self.calls.into_iter().map(|call| tool_call(&call.id, &call.name, &call.arguments)).collect();
        let default_reason = if tool_calls.is_empty() { "stop" } else { "tool_calls" };
        let finish_reason = self.finish_reason.unwrap_or_else(|| default_reason.into());
        CompletionReply { content: self.content, tool_calls, finish_reason, tokens }
    }
}

/// The embeddings of one request.
#[derive(Debug, PartialEq)]
pub struct EmbeddingReply {
    /// `[texts, dimensions]`, in the order of the texts.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts, if the provider reports them.
    pub tokens: Option<u64>,
}
