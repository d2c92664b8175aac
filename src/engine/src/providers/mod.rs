//! Calls to providers over HTTP, for all sessions: they share connections and a rate limiter for each provider. `wire` has a
//! file for each protocol.

mod complete;

mod answer_stream;

mod embed;

mod rerank;

pub mod request;

pub mod shared;

mod call;

mod rate_limit;

mod client;

mod key;

mod url;

mod refusal;

mod known_models;

mod schema;

mod schema_work;

mod wire;

use std::{convert::Infallible, sync::Arc};

use ragstone_core::protocol::{Caller, Response};

use self::{
    request::{CompletionRequest, EmbeddingRequest, RerankRequest},
    schema::{Schema, Workplace},
    shared::Calls,
    wire::reply::CompletionReply,
};
use crate::{
    failure::Error,
    outbox::{Outbox, REPORT_INTERVAL},
};

/// Starts a call to a language model.
pub fn complete(calls: &Arc<Calls>, outbox: &Arc<Outbox>, id: u64, request: CompletionRequest) {
    let (calls, pieces) = (calls.clone(), outbox.clone());
    spawn(outbox, id, async move { complete::complete(&calls, &pieces, id, request).await });
}

/// Starts a call to an embedding model.
pub fn embed(calls: &Arc<Calls>, outbox: &Arc<Outbox>, id: u64, request: EmbeddingRequest) {
    let (calls, reports) = (calls.clone(), outbox.clone());
    spawn(outbox, id, async move {
        // Each request has its own deadline, and may wait long for its turn.
        tokio::select! {
            answer = embed::embed(&calls, request) => answer,
            never = report_working(&reports, id) => match never {},
        }
    });
}

/// Tells the client at each [`REPORT_INTERVAL`] that its request is in progress.
async fn report_working(outbox: &Outbox, id: u64) -> Infallible {
    let mut interval = tokio::time::interval(REPORT_INTERVAL);
    interval.tick().await;
    loop {
        interval.tick().await;
        outbox.send_piece(id, Response::Working);
    }
}

/// Starts a call to a reranking model.
pub fn rerank(calls: &Arc<Calls>, outbox: &Arc<Outbox>, id: u64, request: RerankRequest) {
    let calls = calls.clone();
    spawn(outbox, id, async move { rerank::rerank(&calls, request).await });
}

/// Checks an answer of a language model against a JSON Schema.
pub fn check_schema(
    calls: &Calls,
    outbox: &Arc<Outbox>,
    id: u64,
    caller: Caller,
    schema: String,
    answer: String,
) {
    let workplace = Workplace::new(&calls.schema_turns, caller);
    spawn(outbox, id, async move {
        let schema = Schema::read(workplace, schema).await?;
        let reply = CompletionReply { content: answer, ..CompletionReply::default() };
        let checked = schema.check(reply).await?.map(|reply| reply.content);
        Ok(Response::Checked(checked.ok()))
    });
}

/// Runs `work` and sends its answer. If the request is cancelled, the work is dropped, which closes its connection.
fn spawn(
    outbox: &Arc<Outbox>,
    id: u64,
    work: impl Future<Output = Result<Response, Error>> + Send + 'static,
) {
    let cancellation = outbox.open(id);
    let guard = AnswerGuard { outbox: outbox.clone(), id };
    tokio::spawn(async move {
        if let Some(answer) = cancellation.run_until_cancelled(work).await {
            guard.outbox.answer(id, answer);
        }
    });
}

/// Sends an error as the answer when it is dropped, so that a request is answered even after a panic. It has no effect
/// on a request that was answered or cancelled.
struct AnswerGuard {
    outbox: Arc<Outbox>,
    id: u64,
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.outbox.answer(self.id, Err(Error::Internal("a call was lost".into())));
    }
}
