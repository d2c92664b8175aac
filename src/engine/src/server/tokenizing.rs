//! Work of the tokenizers, which takes a processor for a while, in threads of the pool.

use std::sync::Arc;

use ragstone_core::protocol::Response;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use crate::{
    outbox::{Outbox, REPORT_INTERVAL},
    scheduler::tokenizer_turns::WorkOrder,
};

/// Does the work in a thread of the pool when the client has its turn, and tells the client until then, and until it is done, that
/// tokenizers make progress. A request that is cancelled gives up its turn.
pub fn start(
    engine: &Arc<Engine>,
    outbox: &Arc<Outbox>,
    id: u64,
    order: WorkOrder,
    work: impl FnOnce(&Engine, &Arc<Outbox>, CancellationToken) + Send + 'static,
) {
    let (engine, outbox, cancellation) = (engine.clone(), outbox.clone(), outbox.open(id));
    let reporting = report_progress(engine.clone(), outbox.clone(), id);
    let working = async move {
        let taking = engine.tokenizer_turns().take(order);
        let Some(turn) = cancellation.run_until_cancelled(taking).await else { return };
        let work = move || {
            let _turn = turn;
            work(&engine, &outbox, cancellation);
        };
        // It fails only if the work panics, or at the end of the engine.
        let _ = tokio::task::spawn_blocking(work).await;
    };
    tokio::spawn(async move {
        tokio::select! {
            () = working => {}
            () = reporting => {}
        }
    });
}

/// Tells the client of a request again and again that tokenizers make progress.
async fn report_progress(engine: Arc<Engine>, outbox: Arc<Outbox>, id: u64) {
    let mut interval = tokio::time::interval(REPORT_INTERVAL);
    let mut seen = engine.tokenizer_steps();
    loop {
        interval.tick().await;
        let steps = engine.tokenizer_steps();
        if steps != seen {
            outbox.send_piece(id, Response::Working);
            seen = steps;
        }
    }
}
