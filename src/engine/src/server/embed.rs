//! Tokenises the texts of an embedding request and puts them into a model's queue.

use std::{sync::Arc, time::Instant};

use ragstone_core::protocol::{Kind, Lane, MAX_FRAME, Response, Vectors};
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use crate::{
    failure::Error,
    outbox::Outbox,
    scheduler::{
        fair_queue::Client,
        job::{EmbeddingJob, JobEvent, QueuedText},
        model_queue::{ModelDescription, ModelQueue},
        slots::{QueueSlots, SlotHolder},
    },
};

/// A client's request for embeddings by an installed model.
pub struct EmbedRequest {
    /// Name of the model.
    pub model: String,
    /// Which of the model's prefixes is put before the texts.
    pub kind: Kind,
    /// The lane of the queue.
    pub lane: Lane,
    /// Who asks.
    pub client: Client,
    /// The texts.
    pub texts: Vec<String>,
}

/// Starts a request. A short one is tokenised here if the tokenizer is in memory, which takes less time than a change of
/// threads.
pub fn start(engine: &Arc<Engine>, outbox: &Arc<Outbox>, id: u64, request: EmbedRequest) {
    let cancellation = outbox.open(id);
    let bytes: usize = request.texts.iter().map(String::len).sum();
    if bytes <= MAX_INLINE_BYTES
        && let Ok(queue) = engine.registry().queue(&request.model)
        && let Some(description) = queue.cached_description()
    {
        return submit(&queue, &description, outbox, id, cancellation, request);
    }
    let (engine, outbox) = (engine.clone(), outbox.clone());
    tokio::task::spawn_blocking(move || {
        let found = engine.registry().queue(&request.model).and_then(|queue| Ok((queue.describe()?, queue)));
        match found {
            Ok((description, queue)) => submit(&queue, &description, &outbox, id, cancellation, request),
            Err(error) => outbox.answer(id, Err(error)),
        }
    });
}

/// Maximum size of texts that are tokenised in the thread that serves the sockets; it takes about 0.3 ms.
const MAX_INLINE_BYTES: usize = 1 << 10;

fn submit(
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
    enqueue(queue, description, &job, slots, prefix, &request);
}

/// Tokenises the texts and puts them into the queue, a part at a time, so that the model can begin with the first.
fn enqueue(
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
    }
}

/// How many texts are put into the queue at a time: enough for the first batch to have texts of similar length.
const TEXTS_PER_PUSH: usize = 128;
