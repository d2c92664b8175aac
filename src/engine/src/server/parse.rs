//! Documents to parse: each waits for its turn, and is then passed to a process of its own.

use std::sync::Arc;

use ragstone_core::protocol::{ParseTask, Response};

use super::engine::Engine;
use crate::{
    outbox::{Outbox, REPORT_INTERVAL},
    scheduler::fair_queue::Client,
};

/// Parses a document, and answers. A request that is cancelled gives up its turn, or kills its parser.
pub fn start(engine: &Arc<Engine>, outbox: &Arc<Outbox>, id: u64, client: Client, task: ParseTask) {
    let (engine, outbox, cancellation) = (engine.clone(), outbox.clone(), outbox.open(id));
    tokio::spawn(async move {
        let parsing = async {
            let _turn = engine.parsers().take_turn(client).await;
            engine.parsers().parse(task).await
        };
        tokio::select! {
            () = cancellation.cancelled() => {}
            () = report_progress(&outbox, id) => {}
            result = parsing => outbox.answer(id, result.map(|document| Response::Parsed(Box::new(document)))),
        }
    });
}

/// Tells the client again and again that the request is in progress: a document has a time limit of its own.
async fn report_progress(outbox: &Outbox, id: u64) {
    let mut interval = tokio::time::interval(REPORT_INTERVAL);
    loop {
        interval.tick().await;
        outbox.send_piece(id, Response::Working);
    }
}
