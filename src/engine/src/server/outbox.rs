//! Answers on their way to a client.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use ragstone_core::protocol::{FrameError, MAX_FRAME, Response, encode};
use tokio::{net::unix::OwnedWriteHalf, sync::Notify};

use crate::{
    failure::Error,
    scheduler::{job::Gone, registry::lock},
};

/// A client's answers, and its requests that have none yet.
pub struct Outbox {
    stream: OwnedWriteHalf,
    pending: Mutex<Pending>,
    wake: Notify,
    requests: Mutex<HashMap<u64, Gone>>,
}

#[derive(Default)]
struct Pending {
    frames: VecDeque<Vec<u8>>,
    /// Bytes of the first frame that are written.
    written: usize,
    broken: bool,
}

impl Outbox {
    /// The writing half of a connection.
    pub fn new(stream: OwnedWriteHalf) -> Self {
        Self { stream, pending: Mutex::default(), wake: Notify::new(), requests: Mutex::default() }
    }

    /// Notes a request that will be answered later.
    pub fn open(&self, id: u64) -> Gone {
        let gone = Gone::default();
        if let Some(twin) = lock(&self.requests).insert(id, gone.clone()) {
            twin.cancel();
        }
        gone
    }

    /// Marks a request as not waited for. False if it was answered already.
    pub fn cancel(&self, id: u64) -> bool {
        let request = lock(&self.requests).remove(&id);
        request.is_some_and(|gone| {
            let was_waited_for = !gone.is_cancelled();
            gone.cancel();
            was_waited_for
        })
    }

    /// Marks all requests as not waited for. False if there are none.
    pub fn cancel_all(&self) -> bool {
        let mut requests = lock(&self.requests);
        let any = !requests.is_empty();
        requests.drain().for_each(|(_, gone)| gone.cancel());
        any
    }

    /// Answers a request that was opened, unless it was cancelled.
    pub fn answer(&self, id: u64, answer: Result<Response, Error>) {
        if lock(&self.requests).remove(&id).is_some() {
            self.send(id, answer);
        }
    }

    /// Sends a part of an answer, unless the request was answered or cancelled.
    pub fn piece(&self, id: u64, part: Response) {
        let requests = lock(&self.requests);
        // Sent under the lock, so that nothing follows what says that the request is over.
        if requests.contains_key(&id) {
            self.send(id, Ok(part));
        }
    }

    /// Sends an answer, from any thread, without waiting: what the socket does not take at once is written later.
    pub fn send(&self, id: u64, answer: Result<Response, Error>) {
        let response = answer.unwrap_or_else(|error| Response::Failed((&error).into()));
        let encoded = encode(id, &response).or_else(|error| {
            let error = match error {
                FrameError::TooLong(actual) => Error::Frame { what: "an answer", actual, limit: MAX_FRAME },
                FrameError::Malformed(error) => Error::Internal(error.to_string()),
            };
            encode(id, Response::Failed((&error).into()))
        });
        let Ok(frame) = encoded else { return };
        let mut pending = lock(&self.pending);
        pending.frames.push_back(frame);
        if pending.frames.len() == 1 && !self.write(&mut pending) {
            self.wake.notify_one();
        }
    }

    /// Writes what could not be written at once. Ends when the client is gone.
    pub async fn flush_forever(&self) {
        loop {
            self.wake.notified().await;
            loop {
                if self.stream.writable().await.is_err() {
                    return;
                }
                let mut pending = lock(&self.pending);
                if self.write(&mut pending) {
                    break;
                }
            }
            if lock(&self.pending).broken {
                return;
            }
        }
    }

    /// Writes what is left, for as long as the client reads.
    pub async fn flush(&self) {
        while self.stream.writable().await.is_ok() {
            if self.write(&mut lock(&self.pending)) {
                return;
            }
        }
    }

    /// Writes what the socket takes. True when nothing is left to write.
    fn write(&self, pending: &mut Pending) -> bool {
        while let Some(frame) = pending.frames.front() {
            match self.stream.try_write(&frame[pending.written..]) {
                Ok(0) => {}
                Ok(bytes) if pending.written + bytes < frame.len() => pending.written += bytes,
                Ok(_) => {
                    pending.frames.pop_front();
                    pending.written = 0;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    pending.frames.clear();
                    pending.broken = true;
                }
            }
        }
        true
    }
}
