//! Sends a prompt to a language model and returns its answer.

use std::sync::{Arc, Mutex};

use ragstone_core::{
    failure::FailureKind,
    protocol::{Caller, Response},
    provider::{Completion, Message, Prompt, Role},
};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{
    answer_stream::{AnswerStream, DeltaSink},
    call::{
        AttemptError, NewCall, ProviderAnswer, ProviderCall, Timed, TokenCounts, estimate_tokens, run_by_size,
    },
    known_models::{KnownModels, outline},
    refusal::Refusal,
    request::CompletionRequest,
    schema::{Schema, SchemaErrors, Workplace},
    shared::Calls,
    wire::{
        protocol::CompletionParams,
        reply::{CompletionReply, MAX_TOOL_CALLS},
        thoughts::{ThoughtFilter, without_thoughts},
    },
};
use crate::{failure::Error, lock::lock, outbox::Outbox};

/// Calls a language model, sends the pieces of its answer if the client wants them, and returns the whole answer.
///
/// # Errors
/// Errors of the call.
pub async fn complete(
    calls: &Calls,
    outbox: &Arc<Outbox>,
    id: u64,
    request: CompletionRequest,
) -> Result<Response, Error> {
    let CompletionRequest { target, mut prompt, account, stream } = request;
    let fingerprint = target.fingerprint(&prompt.model, None);
    for message in &mut prompt.messages {
        message.own = message.own.take().and_then(|own| unsealed(&own, &fingerprint));
    }
    let caller = Caller { database: target.database, role: account.role };
    let schema = match &prompt.schema {
        Some(schema) => {
            Some(Schema::read(Workplace::new(&calls.schema_turns, caller), schema.clone()).await?)
        }
        None => None,
    };
    let new =
        NewCall { model: &prompt.model, account: &account, estimate: estimate(&prompt), timed: Timed::Call };
    let text = || logged(&prompt.messages);
    let call = ProviderCall::open(calls, target, new, text).await?;
    let deltas = stream.then(|| DeltaSink { outbox: outbox.clone(), id });
    let completion = CompletionCall {
        call: &call,
        schema,
        deltas,
        known_models: &calls.known_models,
        fingerprint: fingerprint.clone(),
        left_out: Mutex::default(),
    };
    let (reply, usage) = call.run(completion.run(&prompt), |reply: &CompletionReply| &reply.content).await?;
    let left_out = completion.left_out.into_inner().unwrap_or_default();
    let tool_calls =
        (!reply.tool_calls.is_empty()).then(|| serde_json::Value::from(reply.tool_calls).to_string());
    let own = reply.own.map(|own| json!({ FROM: fingerprint, PARTS: own }).to_string());
    let completion = Completion {
        content: reply.content,
        tool_calls,
        finish_reason: reply.finish_reason,
        usage,
        own,
        left_out,
    };
    Ok(Response::Completed(Box::new(completion)))
}

/// The model to which a message's own parts belong.
const FROM: &str = "from";
const PARTS: &str = "parts";

/// The own parts of a message, if they are from this model.
fn unsealed(own: &str, fingerprint: &str) -> Option<String> {
    let own: Value = serde_json::from_str(own).ok()?;
    (own[FROM] == fingerprint).then(|| own[PARTS].to_string())
}

/// The messages as JSON for the record of the call, without signatures.
fn logged(messages: &[Message]) -> String {
    let mut messages = json!(messages);
    for message in messages.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        message.remove("own");
    }
    messages.to_string()
}

/// Estimated tokens of an answer if the prompt sets no maximum.
const DEFAULT_OUTPUT_TOKENS: u32 = 1024;

/// A call to a language model, with the schema that its answer has to meet.
struct CompletionCall<'a> {
    call: &'a ProviderCall,
    schema: Option<Schema>,
    deltas: Option<DeltaSink>,
    known_models: &'a KnownModels,
    /// The key of the model among the known ones.
    fingerprint: String,
    /// Members that were left out or replaced, since the model has refused them in this call.
    left_out: Mutex<Vec<String>>,
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
        // Text that was streamed cannot be taken back, and an answer that was too long would be cut at the same place again.
        // Nor does a provider change its mind about what it refuses.
        if self.deltas.is_some() || matches!(reply.finish_reason.as_str(), "length" | "content_filter") {
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
            "content_filter" => {
                "The provider has refused or filtered the answer: change the prompt, or use another model."
            }
            _ => "Describe in the prompt what is wanted, simplify the schema, or use another model.",
        };
        Error::Provider {
            kind: FailureKind::ProviderMalformed,
            message: format!("answer of provider \"{}\" does not meet the schema", self.call.target.name),
            detail: errors.locations(),
            hint: hint.into(),
        }
    }

    /// Sends one prompt and reads its answer, streamed or not. Members of the request that the model refuses are left out or
    /// replaced, and remembered.
    async fn ask(&self, prompt: &Prompt) -> Result<CompletionReply, Error> {
        let (call, estimate) = (self.call, estimate(prompt));
        let params = CompletionParams { base: &call.base, prompt, stream: self.deltas.is_some() };
        let reply = loop {
            let known = self.known_models.get(&self.fingerprint);
            let mut request = call.wire.completion_request(&params)?;
            known.adapt(&mut request.body, prompt.schema.as_deref());
            let sent = outline(&request.body);
            let read = |answer| self.read(answer, estimate, known.thinks_unopened);
            match call.exchange(request, estimate, read).await {
                Ok(reply) => break reply,
                Err(AttemptError::Refused(refusal, _)) if !refusal.began && self.learn(&refusal, &sent) => {
                    call.record_retry();
                }
                Err(failed) => return Err(call.attempt_error(failed)),
            }
        };
        if reply.tool_calls.len() > MAX_TOOL_CALLS {
            return Err(call.malformed(format!("an answer with more than {MAX_TOOL_CALLS} calls of tools")));
        }
        Ok(reply)
    }

    /// Whether the refusal has taught how the next request is to differ.
    fn learn(&self, refusal: &Refusal, sent: &Value) -> bool {
        let learnt = self.known_models.learn(&self.fingerprint, |model| model.learn_refusal(refusal, sent));
        lock(&self.left_out).extend(learnt.iter().map(|name| (*name).to_owned()));
        !learnt.is_empty()
    }

    async fn read(
        &self,
        mut answer: ProviderAnswer,
        estimate: TokenCounts,
        thinks_unopened: bool,
    ) -> Result<CompletionReply, AttemptError> {
        let call = self.call;
        let (mut reply, permit) = match &self.deltas {
            Some(deltas) if is_stream(&answer) => {
                let filter = ThoughtFilter::new(thinks_unopened);
                AnswerStream { call, deltas, filter, input: estimate.input, began: false }
                    .read(answer)
                    .await?
            }
            deltas => {
                let body = call.read_body(&mut answer).await?;
                let wire = call.wire;
                let reply = run_by_size(body.len() as u64, move || wire.parse_completion(&body)).await?;
                let reply = reply.map_err(|error| call.reply_failed(error, false))?;
                if let Some(deltas) = deltas {
                    let text = without_thoughts(reply.content.clone()).0;
                    if !text.is_empty() {
                        deltas.send(text);
                    }
                }
                (reply, answer.permit)
            }
        };
        let tokens = reply.counted(estimate);
        call.record_tokens(tokens);
        permit.record_tokens(tokens.sum());
        let (content, unopened) = without_thoughts(reply.content);
        reply.content = content;
        if unopened && !thinks_unopened {
            self.known_models.learn(&self.fingerprint, |model| model.thinks_unopened = true);
        }
        Ok(reply)
    }
}

/// Whether an answer is an event stream. Services that do not stream send JSON instead, under any name.
fn is_stream(answer: &ProviderAnswer) -> bool {
    let kind = answer.response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().contains("event-stream"))
}

/// The conversation extended by the answer and by a message that says what is wrong with it.
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
