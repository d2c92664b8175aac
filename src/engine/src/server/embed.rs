//! From a request for embeddings to texts in a model's queue.

use std::{sync::Arc, time::Instant};

use ragstone_core::protocol::{Kind, Lane, MAX_FRAME, Response, Vectors};

use super::{engine::Engine, outbox::Outbox};
use crate::{
    failure::Error,
    scheduler::{
        job::{Gone, Item, Job, Places},
        station::{Description, Station},
    },
};

/// What a client asks for.
pub struct Wanted {
    /// Name of the model.
    pub model: String,
    /// Which prefix.
    pub kind: Kind,
    /// Which lane.
    pub lane: Lane,
    /// The texts.
    pub texts: Vec<String>,
}

/// Starts a request. A short one of a known model is tokenised right here, which takes less than going elsewhere.
pub fn start(engine: &Arc<Engine>, outbox: &Arc<Outbox>, id: u64, wanted: Wanted) {
    let gone = outbox.open(id);
    let bytes: usize = wanted.texts.iter().map(String::len).sum();
    if bytes <= SHORT
        && let Ok(station) = engine.registry().station(&wanted.model)
        && let Some(description) = station.known()
    {
        return submit(&station, &description, outbox, id, gone, wanted);
    }
    let (engine, outbox) = (engine.clone(), outbox.clone());
    tokio::task::spawn_blocking(move || {
        let found =
            engine.registry().station(&wanted.model).and_then(|station| Ok((station.describe()?, station)));
        match found {
            Ok((description, station)) => submit(&station, &description, &outbox, id, gone, wanted),
            Err(error) => outbox.answer(id, Err(error)),
        }
    });
}

/// Bytes that are tokenised in the thread that serves the sockets: about 0.3 ms.
const SHORT: usize = 1 << 10;

fn submit(
    station: &Arc<Station>,
    description: &Description,
    outbox: &Arc<Outbox>,
    id: u64,
    gone: Gone,
    wanted: Wanted,
) {
    let manifest = &description.manifest;
    let vectors = Vectors {
        dimensions: manifest.dimensions,
        values: Vec::new(),
        tokens: vec![0; wanted.texts.len()],
        max_tokens: manifest.max_tokens,
        fingerprint: description.fingerprint.clone(),
    };
    if wanted.texts.is_empty() {
        return outbox.answer(id, Ok(Response::Vectors(vectors)));
    }
    let actual = wanted.texts.len() * manifest.dimensions as usize * size_of::<f32>();
    if actual > MAX_FRAME {
        return outbox.answer(id, Err(Error::Frame { what: "an answer", actual, limit: MAX_FRAME }));
    }
    let places = match station.reserve(wanted.texts.len()) {
        Ok(places) => places,
        Err(error) => return outbox.answer(id, Err(error)),
    };
    let reply = {
        let outbox = outbox.clone();
        Box::new(move |answer: Result<Vectors, Error>| outbox.answer(id, answer.map(Response::Vectors)))
    };
    let job = Job::new(vectors, gone, reply);
    let prefix = match wanted.kind {
        Kind::Query => &manifest.query_prefix,
        Kind::Document => &manifest.document_prefix,
    };
    enqueue(station, description, &job, places, prefix, &wanted);
}

/// Tokenises the texts and puts them into the queue, a few at a time, so that the model can begin.
fn enqueue(
    station: &Arc<Station>,
    description: &Description,
    job: &Arc<Job>,
    mut places: Places,
    prefix: &str,
    wanted: &Wanted,
) {
    let since = Instant::now();
    for (slice, texts) in wanted.texts.chunks(SLICE).enumerate() {
        let mut items = Vec::with_capacity(texts.len());
        for (position, text) in texts.iter().enumerate() {
            if job.is_gone() {
                return;
            }
            let encoded = if prefix.is_empty() {
                description.encoder.encode(text)
            } else {
                description.encoder.encode(&format!("{prefix}{text}"))
            };
            match encoded {
                Ok(tokens) => items.push(Item {
                    job: job.clone(),
                    index: slice * SLICE + position,
                    tokens,
                    since,
                    place: places.split(),
                }),
                Err(reason) => {
                    return job.fail(&Error::Argument(format!("cannot tokenise a text: {reason}")));
                }
            }
        }
        station.push(wanted.lane, items);
    }
}

/// Texts that are put into the queue together. Enough to find neighbours of similar length at once.
const SLICE: usize = 128;
