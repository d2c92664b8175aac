//! Reads a streamed answer to its end, and sends each piece of it when it arrives.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use ragstone_core::protocol::Response;
use sse_stream::SseByteStream;

use super::{
    call::{AttemptError, ProviderAnswer, ProviderCall, TokenCounts, estimate_tokens},
    rate_limit::Permit,
    refusal::Refusal,
    wire::{
        error::ReplyError,
        reply::{CompletionReply, ReplyBuilder},
        thoughts::ThoughtFilter,
    },
};
use crate::{failure::Error, outbox::Outbox};

/// The destination of the pieces of a streamed answer.
pub struct DeltaSink {
    pub outbox: Arc<Outbox>,
    pub id: u64,
}

impl DeltaSink {
    pub fn send(&self, text: String) {
        self.outbox.send_piece(self.id, Response::Piece(text));
    }
}

/// An answer that is being read.
pub struct AnswerStream<'a> {
    pub call: &'a ProviderCall,
    pub deltas: &'a DeltaSink,
    pub filter: ThoughtFilter,
    /// Estimated tokens of the prompt.
    pub input: u64,
    /// Whether a piece has been sent.
    pub began: bool,
}

impl AnswerStream<'_> {
    /// Reads the answer, with the thoughts in it.
    ///
    /// # Errors
    /// The provider reports an error, the connection is lost, or the answer is over the limit.
    pub async fn read(mut self, answer: ProviderAnswer) -> Result<(CompletionReply, Permit), AttemptError> {
        let call = self.call;
        let ProviderAnswer { response, permit } = answer;
        let limit = call.target.limits.max_reply_bytes;
        let mut bytes = 0;
        let body = response.bytes_stream().map(move |chunk| {
            let chunk = chunk.map_err(|_| StreamError::Lost)?;
            bytes += chunk.len() as u64;
            if bytes > limit { Err(StreamError::TooLong) } else { Ok(chunk) }
        });
        // The last event may lack the empty line that ends it.
        let body = body.chain(stream::iter([Ok("\n\n".into())]));
        let mut events = SseByteStream::new(body.boxed());
        let mut reply = ReplyBuilder::default();
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| self.stream_error(&error))?;
            let Some(data) = event.data.filter(|data| !data.is_empty()) else { continue };
            let is_error = event.event.as_deref() == Some("error");
            let text = if is_error {
                Err(ReplyError::Refused(Box::new(Refusal::of_body(data.as_bytes()))))
            } else if is_json(&data) {
                call.wire.parse_event(&mut reply, &data)
            } else {
                // A sign of life.
                continue;
            };
            let text = text.map_err(|error| call.reply_failed(error, self.began))?;
            if !text.is_empty() {
                let certain = self.filter.push(&text);
                self.send(certain);
                let output = estimate_tokens(reply.content.len());
                call.set_pending_tokens(TokenCounts { input: self.input, output });
            }
            if reply.done {
                // The connection can be reused once the rest of the body is read; the client need not wait for that.
                tokio::spawn(tokio::time::timeout(STREAM_DRAIN_TIMEOUT, async move {
                    while events.next().await.is_some() {}
                }));
                return Ok(self.end(reply, permit));
            }
        }
        if reply.finish_reason.is_some() {
            Ok(self.end(reply, permit))
        } else {
            Err(call.broken_off().into())
        }
    }

    fn end(mut self, reply: ReplyBuilder, permit: Permit) -> (CompletionReply, Permit) {
        let filter = std::mem::replace(&mut self.filter, ThoughtFilter::new(false));
        self.send(filter.finish());
        (reply.finish(), permit)
    }

    fn send(&mut self, text: String) {
        if !text.is_empty() {
            self.began = true;
            self.deltas.send(text);
        }
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

/// How long a stream is read after its last event.
const STREAM_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether the data of an event is an object or the mark of the end, and not a word that keeps the connection open.
fn is_json(data: &str) -> bool {
    data.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']).starts_with(['{', '['])
}
