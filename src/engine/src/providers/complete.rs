//! From a prompt to the answer of a language model.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use ragstone_core::{
    failure::FailureKind,
    protocol::Response,
    provider::{Completion, Message, Prompt, Role},
};
use reqwest::header::CONTENT_TYPE;
use sse_stream::SseByteStream;

use super::{
    call::{NewCall, ProviderAnswer, ProviderCall, Timed, TokenCounts, estimate_tokens, run_by_size},
    rate_limit::Permit,
    request::CompletionRequest,
    schema::{Schema, SchemaErrors},
    shared::Calls,
    wire::{
        protocol::CompletionParams,
        reply::{CompletionReply, MAX_TOOL_CALLS, ReplyBuilder},
    },
};
use crate::{failure::Error, outbox::Outbox};

/// Calls a language model, sends the pieces of its answer if they are wanted, and returns the whole answer.
///
/// # Errors
/// Those of the call.
pub async fn complete(
    calls: &Calls,
    outbox: &Arc<Outbox>,
    id: u64,
    request: CompletionRequest,
) -> Result<Response, Error> {
    let CompletionRequest { target, prompt, account, stream } = request;
    let schema = match &prompt.schema {
        Some(schema) => Some(Schema::read(schema.clone()).await?),
        None => None,
    };
    let new =
        NewCall { model: &prompt.model, account: &account, estimate: estimate(&prompt), timed: Timed::Call };
    let text = || serde_json::to_string(&prompt.messages).unwrap_or_default();
    let call = ProviderCall::open(calls, target, new, text).await?;
    let deltas = stream.then(|| DeltaSink { outbox: outbox.clone(), id });
    let completion = CompletionCall { call: &call, schema, deltas };
    let (reply, usage) = call.run(completion.run(&prompt), |reply: &CompletionReply| &reply.content).await?;
    let tool_calls =
        (!reply.tool_calls.is_empty()).then(|| serde_json::Value::from(reply.tool_calls).to_string());
    let completion =
        Completion { content: reply.content, tool_calls, finish_reason: reply.finish_reason, usage };
    Ok(Response::Completed(Box::new(completion)))
}

/// Estimated tokens of an answer if the prompt sets no maximum.
const DEFAULT_OUTPUT_TOKENS: u32 = 1024;

/// Where the pieces of a streamed answer are sent.
struct DeltaSink {
    outbox: Arc<Outbox>,
    id: u64,
}

impl DeltaSink {
    fn send(&self, text: String) {
        self.outbox.send_piece(self.id, Response::Piece(text));
    }
}

/// A call to a language model, with the schema that its answer has to meet.
struct CompletionCall<'a> {
    call: &'a ProviderCall,
    schema: Option<Schema>,
    deltas: Option<DeltaSink>,
}

impl CompletionCall<'_> {
    /// Asks the model, and once more if the answer does not meet the schema.
    async fn run(&self, prompt: &Prompt) -> Result<CompletionReply, Error> {
        let reply = self.ask(prompt).await?;
        let Some(schema) = &self.schema else { return Ok(reply) };
        // Text beside a tool call is not the answer yet.
        if !reply.tool_calls.is_empty() {
            return Ok(reply);
        }
        let (reply, errors) = match schema.check(reply).await? {
            Ok(reply) => return Ok(reply),
            Err(unmet) => unmet,
        };
        // Text that was streamed cannot be taken back, and an answer that was too long would be cut at the same place.
        if self.deltas.is_some() || reply.finish_reason == "length" {
            return Err(self.schema_not_met(&reply, &errors));
        }
        self.call.record_retry();
        let reply = self.ask(&corrected(prompt, reply, &errors)).await?;
        match schema.check(reply).await? {
            Ok(reply) => Ok(reply),
            Err((reply, errors)) => Err(self.schema_not_met(&reply, &errors)),
        }
    }

    fn schema_not_met(&self, reply: &CompletionReply, errors: &SchemaErrors) -> Error {
        let hint = match reply.finish_reason.as_str() {
            "length" => "The answer was cut: raise max_tokens.",
            _ => "Describe in the prompt what is wanted, simplify the schema, or use another model.",
        };
        Error::Provider {
            kind: FailureKind::ProviderMalformed,
            message: format!("answer of provider \"{}\" does not meet the schema", self.call.target.name),
            detail: errors.locations(),
            hint: hint.into(),
        }
    }

    /// Sends one prompt and reads its answer, streamed or not.
    async fn ask(&self, prompt: &Prompt) -> Result<CompletionReply, Error> {
        let call = self.call;
        let params = CompletionParams { base: &call.base, prompt, stream: self.deltas.is_some() };
        let request = call.wire.completion_request(&params)?;
        let estimate = estimate(prompt);
        let mut answer = call.post(request, estimate).await?;
        let reply: CompletionReply = match &self.deltas {
            Some(deltas) if is_stream(&answer) => {
                let (reply, permit) = self.read_stream(answer, deltas, estimate.input).await?;
                self.record_tokens(&reply, estimate, &permit);
                reply
            }
            deltas => {
                let body = call.read_body(&mut answer).await?;
                let wire = call.wire;
                let reply = run_by_size(body.len() as u64, move || wire.parse_completion(&body)).await?;
                let reply = reply.map_err(|error| call.reply_error(error))?;
                self.record_tokens(&reply, estimate, &answer.permit);
                if let Some(deltas) = deltas.as_ref().filter(|_| !reply.content.is_empty()) {
                    deltas.send(reply.content.clone());
                }
                reply
            }
        };
        if reply.tool_calls.len() > MAX_TOOL_CALLS {
            return Err(call.malformed(format!("an answer with more than {MAX_TOOL_CALLS} calls of tools")));
        }
        Ok(reply)
    }

    fn record_tokens(&self, reply: &CompletionReply, estimate: TokenCounts, permit: &Permit) {
        let seen = TokenCounts { output: estimate_tokens(reply.content.len()), ..estimate };
        let tokens = reply.tokens.map_or(seen, |(input, output)| estimate.reported(input, output));
        self.call.record_tokens(tokens);
        permit.record_tokens(tokens.sum());
    }

    /// Reads a streamed answer to its end, and sends each piece when it arrives.
    async fn read_stream(
        &self,
        answer: ProviderAnswer,
        deltas: &DeltaSink,
        input: u64,
    ) -> Result<(CompletionReply, Permit), Error> {
        let call = self.call;
        let ProviderAnswer { response, permit } = answer;
        let limit = call.target.limits.max_reply_bytes;
        let mut bytes = 0;
        let body = response.bytes_stream().map(move |chunk| {
            let chunk = chunk.map_err(|_| StreamError::Lost)?;
            bytes += chunk.len() as u64;
            if bytes > limit { Err(StreamError::TooLong) } else { Ok(chunk) }
        });
        let mut events = SseByteStream::new(body.boxed());
        let mut reply = ReplyBuilder::default();
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| self.stream_error(&error))?;
            let Some(data) = event.data.filter(|data| !data.is_empty()) else { continue };
            let text = call.wire.parse_event(&mut reply, &data).map_err(|error| call.reply_error(error))?;
            if !text.is_empty() {
                deltas.send(text);
                let output = estimate_tokens(reply.content.len());
                call.set_pending_tokens(TokenCounts { input, output });
            }
            if reply.done {
                // The connection can be used again once the rest of the body is read, for which the client need not wait.
                tokio::spawn(tokio::time::timeout(STREAM_DRAIN_TIMEOUT, async move {
                    while events.next().await.is_some() {}
                }));
                return Ok((reply.finish(), permit));
            }
        }
        if reply.finish_reason.is_some() { Ok((reply.finish(), permit)) } else { Err(call.broken_off()) }
    }

    fn stream_error(&self, error: &sse_stream::Error) -> Error {
        let call = self.call;
        match error {
            sse_stream::Error::Body(cause) => match cause.downcast_ref() {
                Some(StreamError::TooLong) => call.too_long(),
                _ => call.broken_off(),
            },
            _ => call.malformed("an event stream that is not UTF-8 text".into()),
        }
    }
}

/// Why a stream ends before its last event.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("the connection was lost")]
    Lost,
    #[error("more bytes than allowed")]
    TooLong,
}

/// How long to read a stream after its last event.
const STREAM_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

fn is_stream(answer: &ProviderAnswer) -> bool {
    let kind = answer.response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    !kind.is_some_and(|kind| kind.starts_with("application/json"))
}

/// The conversation with the answer, and with what is wrong with it.
fn corrected(prompt: &Prompt, reply: CompletionReply, errors: &SchemaErrors) -> Prompt {
    let mut corrected = prompt.clone();
    corrected.messages.push(Message::new(Role::Assistant, reply.content));
    corrected.messages.push(Message::new(Role::User, errors.correction_request()));
    corrected
}

fn estimate(prompt: &Prompt) -> TokenCounts {
    let output = u64::from(prompt.max_tokens.unwrap_or(DEFAULT_OUTPUT_TOKENS));
    TokenCounts { input: estimate_tokens(prompt_bytes(prompt)), output }
}

fn prompt_bytes(prompt: &Prompt) -> usize {
    let messages = prompt
        .messages
        .iter()
        .map(|message| message.content.len() + message.tool_calls.as_ref().map_or(0, String::len));
    let rest = [&prompt.tools, &prompt.schema, &prompt.options];
    messages.sum::<usize>() + rest.into_iter().flatten().map(String::len).sum::<usize>()
}
