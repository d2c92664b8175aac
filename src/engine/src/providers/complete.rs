//! From a prompt to what a language model answers.

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
    Asked,
    call::{Answer, Call, Opening, Tokens, heavy, tokens_of},
    line::Turn,
    schema::{Problems, Schema},
    wire::{Ask, Gathered, Reply},
};
use crate::{
    failure::Error,
    server::{engine::Engine, outbox::Outbox},
};

/// Asks, and gives the answer after its pieces.
///
/// # Errors
/// Those of the call.
pub async fn complete(
    engine: &Engine,
    outbox: &Arc<Outbox>,
    id: u64,
    asked: Asked,
) -> Result<Response, Error> {
    let Asked { target, prompt, account, stream } = asked;
    let schema = match &prompt.schema {
        Some(schema) => Some(Schema::read(schema.clone()).await?),
        None => None,
    };
    let opening = Opening { model: &prompt.model, account: &account, estimate: estimate(&prompt) };
    let text = || serde_json::to_string(&prompt.messages).unwrap_or_default();
    let call = Call::open(engine, target, opening, text).await?;
    let pieces = stream.then(|| Pieces { outbox: outbox.clone(), id });
    let talk = Talk { call: &call, schema, pieces };
    let (reply, usage) = call.run(talk.ask(&prompt), |reply: &Reply| &reply.content).await?;
    let tool_calls =
        (!reply.tool_calls.is_empty()).then(|| serde_json::Value::from(reply.tool_calls).to_string());
    let completion =
        Completion { content: reply.content, tool_calls, finish_reason: reply.finish_reason, usage };
    Ok(Response::Completed(Box::new(completion)))
}

/// Tokens that an answer of no stated length is taken for before it is there.
const USUAL_TOKENS: u32 = 1024;

/// Where the pieces of a streamed answer go.
struct Pieces {
    outbox: Arc<Outbox>,
    id: u64,
}

/// A question, with what its answer has to be.
struct Talk<'a> {
    call: &'a Call,
    schema: Option<Schema>,
    pieces: Option<Pieces>,
}

impl Talk<'_> {
    /// Asks, and once more if the answer does not meet the schema.
    async fn ask(&self, prompt: &Prompt) -> Result<Reply, Error> {
        let reply = self.once(prompt).await?;
        let Some(schema) = &self.schema else { return Ok(reply) };
        // Words beside a call of a tool are not the answer yet.
        if !reply.tool_calls.is_empty() {
            return Ok(reply);
        }
        let (reply, problems) = match schema.check(reply).await? {
            Ok(reply) => return Ok(reply),
            Err(unmet) => unmet,
        };
        // What was streamed cannot be taken back, and a longer answer would be cut at the same place.
        if self.pieces.is_some() || reply.finish_reason == "length" {
            return Err(self.unmet(&reply, &problems));
        }
        self.call.again();
        let reply = self.once(&mended(prompt, reply, &problems)).await?;
        match schema.check(reply).await? {
            Ok(reply) => Ok(reply),
            Err((reply, problems)) => Err(self.unmet(&reply, &problems)),
        }
    }

    fn unmet(&self, reply: &Reply, problems: &Problems) -> Error {
        let hint = match reply.finish_reason.as_str() {
            "length" => "The answer was cut: raise max_tokens.",
            _ => "Describe in the prompt what is wanted, simplify the schema, or use another model.",
        };
        Error::Provider {
            kind: FailureKind::ProviderMalformed,
            message: format!("answer of provider \"{}\" does not meet the schema", self.call.target.name),
            detail: problems.places(),
            hint: hint.into(),
        }
    }

    async fn once(&self, prompt: &Prompt) -> Result<Reply, Error> {
        let call = self.call;
        let ask = Ask { base: &call.base, prompt, stream: self.pieces.is_some() };
        let post = call.wire.complete(&ask)?;
        let estimate = estimate(prompt);
        let mut answer = call.post(post, estimate).await?;
        let reply = match &self.pieces {
            Some(pieces) if is_stream(&answer) => {
                let (reply, turn) = self.gather(answer, pieces, estimate.input).await?;
                self.took(&reply, estimate.input, &turn);
                reply
            }
            pieces => {
                let body = call.read(&mut answer).await?;
                let wire = call.wire;
                let reply = heavy(body.len() as u64, move || wire.completed(&body)).await?;
                let reply = reply.map_err(|fault| call.fault(fault))?;
                self.took(&reply, estimate.input, &answer.turn);
                if let Some(pieces) = pieces.as_ref().filter(|_| !reply.content.is_empty()) {
                    pieces.outbox.piece(pieces.id, Response::Piece(reply.content.clone()));
                }
                reply
            }
        };
        Ok(reply)
    }

    fn took(&self, reply: &Reply, input: u64, turn: &Turn) {
        let estimate = Tokens { input, output: tokens_of(reply.content.len()) };
        let tokens = reply.tokens.map_or(estimate, |(input, output)| Tokens::told(input, output));
        self.call.took(tokens);
        turn.took(tokens.sum());
    }

    /// Reads a streamed answer to its end, and sends each piece on as it comes.
    async fn gather(&self, answer: Answer, pieces: &Pieces, input: u64) -> Result<(Reply, Turn), Error> {
        let call = self.call;
        let Answer { response, turn } = answer;
        let limit = call.target.limits.max_reply_bytes;
        let mut bytes = 0;
        let body = response.bytes_stream().map(move |chunk| {
            let chunk = chunk.map_err(|_| Cut::Lost)?;
            bytes += chunk.len() as u64;
            if bytes > limit { Err(Cut::TooLong) } else { Ok(chunk) }
        });
        let mut events = SseByteStream::new(body.boxed());
        let mut gathered = Gathered::default();
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| self.cut(&error))?;
            let Some(data) = event.data.filter(|data| !data.is_empty()) else { continue };
            let piece = call.wire.event(&mut gathered, &data).map_err(|fault| call.fault(fault))?;
            if !piece.is_empty() {
                pieces.outbox.piece(pieces.id, Response::Piece(piece));
                call.takes(Tokens { input, output: tokens_of(gathered.content.len()) });
            }
            if gathered.done {
                // The connection can be used again when the last few bytes are read, which nobody has to wait for.
                tokio::spawn(tokio::time::timeout(LAST_BYTES, async move {
                    while events.next().await.is_some() {}
                }));
                return Ok((gathered.finish(), turn));
            }
        }
        if gathered.finish_reason.is_some() { Ok((gathered.finish(), turn)) } else { Err(call.broken_off()) }
    }

    fn cut(&self, error: &sse_stream::Error) -> Error {
        let call = self.call;
        match error {
            sse_stream::Error::Body(cause) => match cause.downcast_ref() {
                Some(Cut::TooLong) => call.too_long(),
                _ => call.broken_off(),
            },
            _ => call.malformed("an event stream that is not UTF-8 text".into()),
        }
    }
}

/// Why a stream ends before its end.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the connection was lost")]
    Lost,
    #[error("more bytes than allowed")]
    TooLong,
}

/// How long the end of a stream is waited for after its last event.
const LAST_BYTES: Duration = Duration::from_secs(1);

fn is_stream(answer: &Answer) -> bool {
    let kind = answer.response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    !kind.is_some_and(|kind| kind.starts_with("application/json"))
}

/// The conversation with the answer, and what is wrong with it.
fn mended(prompt: &Prompt, reply: Reply, problems: &Problems) -> Prompt {
    let mut mended = prompt.clone();
    mended.messages.push(Message::new(Role::Assistant, reply.content));
    mended.messages.push(Message::new(Role::User, problems.request()));
    mended
}

fn estimate(prompt: &Prompt) -> Tokens {
    let output = u64::from(prompt.max_tokens.unwrap_or(USUAL_TOKENS));
    Tokens { input: tokens_of(bytes_of(prompt)), output }
}

fn bytes_of(prompt: &Prompt) -> usize {
    let messages = prompt
        .messages
        .iter()
        .map(|message| message.content.len() + message.tool_calls.as_ref().map_or(0, String::len));
    let rest = [&prompt.tools, &prompt.schema, &prompt.options];
    messages.sum::<usize>() + rest.into_iter().flatten().map(String::len).sum::<usize>()
}
