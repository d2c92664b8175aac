//! Tokenises the texts of an embedding request and puts them into a model's queue.

use std::{sync::Arc, time::Instant};

use ragstone_core::protocol::{Kind, Lane, MAX_FRAME, Response, Vectors};
use tokio_util::sync::CancellationToken;

use super::{engine::Engine, tokenizing};
use crate::{
    failure::Error,
    outbox::Outbox,
    scheduler::{
        fair_queue::Client,
        job::{EmbeddingJob, JobEvent, QueuedText},
        model_queue::{ModelDescription, ModelQueue},
        slots::{QueueSlots, SlotHolder},
        tokenizer_turns::WorkOrder,
    },
};

/// A client's request for embeddings by an installed model.
pub struct EmbedRequest {
    /// Name of the model.
    pub model: String,
    /// Selects the prefix of the model that is put before the texts.
    pub kind: Kind,
    /// The lane of the queue.
    pub lane: Lane,
    /// The session that sends the request.
    pub client: Client,
    /// The texts.
    pub texts: Vec<String>,
}

/// Starts a request. A short request is tokenised in this thread if the tokenizer is in memory, which takes less time
/// than switching threads.
pub fn start(engine: &Arc<Engine>, outbox: &Arc<Outbox>, id: u64, request: EmbedRequest) {
    let bytes: usize = request.texts.iter().map(String::len).sum();
    if bytes <= MAX_INLINE_BYTES
        && let Ok(queue) = engine.registry().queue(&request.model)
        && let Some(description) = queue.cached_description()
    {
        return submit(engine, &queue, &description, outbox, id, outbox.open(id), request);
    }
    let order = WorkOrder::to_embed(request.client);
    tokenizing::start(engine, outbox, id, order, move |engine, outbox, cancellation| {
        let found = engine.registry().queue(&request.model).and_then(|queue| Ok((queue.describe()?, queue)));
        match found {
            Ok((description, queue)) => {
                submit(engine, &queue, &description, outbox, id, cancellation, request);
            }
            Err(error) => outbox.answer(id, Err(error)),
        }
    });
}

/// Maximum bytes of texts that are tokenised in the thread that serves the sockets; that takes about 0.3 ms.
const MAX_INLINE_BYTES: usize = 1 << 10;

fn submit(
    engine: &Engine,
    queue: &Arc<ModelQueue>,
    description: &ModelDescription,
    outbox: &Arc<Outbox>,
    id: u64,
    cancellation: CancellationToken,
    request: EmbedRequest,
) {
    let manifest = &description.manifest;
    let vectors = Vectors {
        dimensions: manifest.dimensions,
        values: Vec::new(),
        tokens: vec![0; request.texts.len()],
        unknown: 0,
        max_tokens: manifest.max_tokens,
        fingerprint: description.fingerprint.clone(),
    };
    if request.texts.is_empty() {
        return outbox.answer(id, Ok(Response::Vectors(vectors)));
    }
    let actual = request.texts.len() * manifest.dimensions as usize * size_of::<f32>();
    if actual > MAX_FRAME {
        return outbox.answer(id, Err(Error::Frame { what: "an answer", actual, limit: MAX_FRAME }));
    }
    let holder = SlotHolder { caller: request.client.caller, lane: request.lane };
    let slots = match queue.reserve(holder, request.texts.len()) {
        Ok(slots) => slots,
        Err(error) => return outbox.answer(id, Err(error)),
    };
    let send = {
        let outbox = outbox.clone();
        Box::new(move |event: JobEvent| match event {
            JobEvent::Working => outbox.send_piece(id, Response::Working),
            JobEvent::Ended(answer) => outbox.answer(id, answer.map(Response::Vectors)),
        })
    };
    let job = EmbeddingJob::new(vectors, cancellation, send);
    let prefix = match request.kind {
        Kind::Query => &manifest.query_prefix,
        Kind::Document => &manifest.document_prefix,
    };
    enqueue(engine, queue, description, &job, slots, prefix, &request);
}

/// Tokenises the texts and puts them into the queue, a part at a time, so that the model can begin with the first.
fn enqueue(
    engine: &Engine,
    queue: &Arc<ModelQueue>,
    description: &ModelDescription,
    job: &Arc<EmbeddingJob>,
    mut slots: QueueSlots,
    prefix: &str,
    request: &EmbedRequest,
) {
    let since = Instant::now();
    for (slice, texts) in request.texts.chunks(TEXTS_PER_PUSH).enumerate() {
        let mut queued = Vec::with_capacity(texts.len());
        for (position, text) in texts.iter().enumerate() {
            if job.is_cancelled() {
                return;
            }
            let encoded = if prefix.is_empty() {
                description.encoder.encode(text)
            } else {
                description.encoder.encode(&format!("{prefix}{text}"))
            };
            match encoded {
                Ok(tokens) => queued.push(QueuedText {
                    job: job.clone(),
                    index: slice * TEXTS_PER_PUSH + position,
                    tokens,
                    since,
                    slot: slots.split(),
                }),
                Err(reason) => {
                    return job.fail(&Error::Argument(format!("cannot tokenise a text: {reason}")));
                }
            }
        }
        queue.push(request.client, request.lane, queued);
        engine.count_tokenizer_step();
    }
}

/// Number of texts that are put into the queue at a time: enough for the first batch to have texts of similar length.
const TEXTS_PER_PUSH: usize = 128;
