//! The replies of the provider.

use super::Seen;
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The reply to one request.
#[derive(Clone)]
pub struct Reply {
    pub(super) kind: Kind,
}

#[derive(Clone)]
pub(super) enum Kind {
    Answer(Answer),
    /// Closes the connection without a reply.
    HangUp,
    By(Arc<dyn Fn(&Seen) -> Reply + Send + Sync>),
}

#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub parts: Vec<Part>,
    pub is_stream: bool,
    /// Pause before the first byte.
    pub after: Duration,
}

/// A part of an answer's body.
#[derive(Debug, Clone)]
pub enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// This number of spaces, which take no memory.
    Spaces(u64),
    /// Waits until the test opens the gate.
    Gate(Gate),
    /// Sends nothing until the client disconnects.
    Stall,
    /// Closes the connection.
    Break,
}

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Answer(answer) => answer.fmt(formatter),
            Kind::HangUp => formatter.write_str("HangUp"),
            Kind::By(_) => formatter.write_str("By"),
        }
    }
}

impl Reply {
    fn answer(status: u16, kind: &str, parts: Vec<Part>, is_stream: bool) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self { kind: Kind::Answer(Answer { status, headers, parts, is_stream, after: Duration::ZERO }) }
    }

    /// JSON with status 200.
    pub fn json(value: Value) -> Self {
        Self::text(value.to_string())
    }

    /// Any text with status 200 and the content type of JSON.
    pub fn text(text: impl Into<String>) -> Self {
        Self::answer(200, "application/json", vec![Part::Bytes(text.into().into_bytes())], false)
    }

    /// An error in OpenAI's format; [`Self::body`] replaces it.
    pub fn status(status: u16) -> Self {
        let error = json!({ "error": { "message": "no", "type": "stub_error", "code": null } });
        Self::answer(status, "application/json", vec![Part::Bytes(error.to_string().into_bytes())], false)
    }

    /// Parts in chunked encoding: an event stream.
    pub fn stream(parts: impl IntoIterator<Item = Part>) -> Self {
        Self::answer(200, "text/event-stream", parts.into_iter().collect(), true)
    }

    /// Parts with an announced length of `length` bytes, whatever the real length is.
    pub fn announced(length: u64, parts: impl IntoIterator<Item = Part>) -> Self {
        let reply = Self::answer(200, "application/json", parts.into_iter().collect(), false);
        reply.header("content-length", &length.to_string())
    }

    /// Closes the connection before the first byte.
    pub fn hang_up() -> Self {
        Self { kind: Kind::HangUp }
    }

    /// Sends nothing until the client disconnects.
    pub fn stall() -> Self {
        let mut reply = Self::stream([]);
        if let Kind::Answer(answer) = &mut reply.kind {
            answer.after = Duration::MAX;
        }
        reply
    }

    /// A reply that is computed from the request; `decide` is called once for each.
    pub fn by(decide: impl Fn(&Seen) -> Self + Send + Sync + 'static) -> Self {
        Self { kind: Kind::By(Arc::new(decide)) }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Kind::Answer(answer) = &mut self.kind {
            answer.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Replaces the body.
    pub fn body(mut self, body: impl Into<String>) -> Self {
        if let Kind::Answer(answer) = &mut self.kind {
            answer.parts = vec![Part::Bytes(body.into().into_bytes())];
        }
        self
    }

    /// Waits before the first byte.
    pub fn after(mut self, pause: Duration) -> Self {
        if let Kind::Answer(answer) = &mut self.kind {
            answer.after = pause;
        }
        self
    }

    /// Holds the reply back until the test opens the gate.
    pub fn behind(self, gate: &Gate) -> Self {
        let gate = gate.clone();
        match self.kind {
            Kind::Answer(mut answer) => {
                answer.parts.insert(0, Part::Gate(gate));
                Self { kind: Kind::Answer(answer) }
            }
            Kind::By(decide) => Self::by(move |seen| decide(seen).behind(&gate)),
            Kind::HangUp => self,
        }
    }

    /// An answer of OpenAI's chat completions: 7 input tokens, 3 output tokens.
    pub fn chat(content: &str) -> Self {
        let message = json!({ "role": "assistant", "content": content });
        Self::json(json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "stub",
            "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 },
        }))
    }

    /// An answer of OpenAI's chat completions that calls tools, given by name and arguments: 7 input tokens,
    /// 3 output tokens. The calls are numbered `call_1`, `call_2`, ….
    pub fn calls(calls: &[(&str, &str)]) -> Self {
        let calls: Vec<Value> = (1..)
            .zip(calls)
            .map(|(number, (name, arguments))| {
                json!({ "id": format!("call_{number}"), "type": "function",
                        "function": { "name": name, "arguments": arguments } })
            })
            .collect();
        let message = json!({ "role": "assistant", "content": null, "tool_calls": calls });
        Self::json(json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "stub",
            "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }],
            "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 },
        }))
    }

    /// A streamed answer of OpenAI's chat completions in these pieces: 7 input tokens, 3 output tokens.
    pub fn chat_stream(pieces: &[&str]) -> Self {
        let parts = pieces.iter().map(|piece| Part::piece(piece));
        Self::stream(parts.chain([Part::end()]))
    }

    /// Answers in the format of OpenAI's embeddings, with `dimensions` numbers each: the first number is the
    /// length of the text in bytes, the others count its letters by their code modulo `dimensions`. Equal
    /// texts have equal vectors.
    pub fn embeddings(dimensions: usize) -> Self {
        Self::by(move |seen| Self::embeddings_of(&seen.body["input"], dimensions))
    }

    /// The embeddings of an array of texts.
    pub fn embeddings_of(texts: &Value, dimensions: usize) -> Self {
        let texts = texts.as_array().cloned().unwrap_or_default();
        let data = texts.iter().enumerate().map(|(index, text)| {
            let embedding = embedding(text.as_str().unwrap_or_default(), dimensions);
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        });
        let data: Vec<Value> = data.collect();
        let tokens = 2 * texts.len();
        Self::json(json!({
            "object": "list", "model": "stub", "data": data,
            "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
        }))
    }
}

/// The vector that [`Reply::embeddings`] computes for a text.
pub fn embedding(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0; dimensions];
    for byte in text.bytes() {
        vector[1 + usize::from(byte) % (dimensions - 1)] += 1.0;
    }
    vector[0] = text.len() as f32;
    vector
}

impl Part {
    /// One event with this data.
    pub fn event(data: &Value) -> Self {
        Self::Bytes(format!("data: {data}\n\n").into_bytes())
    }

    /// One event with a name.
    pub fn named(name: &str, data: &Value) -> Self {
        Self::Bytes(format!("event: {name}\ndata: {data}\n\n").into_bytes())
    }

    /// A piece of a streamed answer of OpenAI's chat completions.
    pub fn piece(content: &str) -> Self {
        let choice = json!({ "index": 0, "delta": { "content": content }, "finish_reason": null });
        Self::event(&json!({ "id": "c", "object": "chat.completion.chunk", "choices": [choice] }))
    }

    /// The end of a streamed answer.
    pub fn end() -> Self {
        let choice = json!({ "index": 0, "delta": {}, "finish_reason": "stop" });
        let usage = json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 });
        let (last, counted) = (json!({ "choices": [choice] }), json!({ "choices": [], "usage": usage }));
        Self::Bytes(format!("data: {last}\n\ndata: {counted}\n\ndata: [DONE]\n\n").into_bytes())
    }
}

/// Holds a reply back until the test opens the gate.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets all present and later replies pass.
    pub fn open(&self) {
        *self.state.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.state.1.notify_all();
    }

    /// Waits for at most `at_most`. Returns true if the gate is open.
    pub(super) fn wait(&self, at_most: Duration) -> bool {
        let is_open = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.state.1.wait_timeout_while(is_open, at_most, |is_open| !*is_open);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
