//! The answers that wait to be sent to a client.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use ragstone_core::protocol::{FrameError, MAX_FRAME, Response, encode};
use tokio::{net::unix::OwnedWriteHalf, sync::Notify};
use tokio_util::sync::CancellationToken;

use crate::{failure::Error, lock::lock};

/// Interval at which a waiting client gets a sign of progress. It is far below any useful `rag.request_timeout`.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The answers of one connection that are not sent yet, and its requests that have no answer yet.
pub struct Outbox {
    stream: OwnedWriteHalf,
    pending: Mutex<PendingFrames>,
    /// Notified when frames are pending that the socket did not take at once.
    blocked: Notify,
    requests: Mutex<HashMap<u64, CancellationToken>>,
}

#[derive(Default)]
struct PendingFrames {
    frames: VecDeque<Vec<u8>>,
    /// Bytes of the first frame that are already sent.
    written: usize,
    broken: bool,
}

impl Outbox {
    /// The writing half of a connection.
    pub fn new(stream: OwnedWriteHalf) -> Self {
        Self { stream, pending: Mutex::default(), blocked: Notify::new(), requests: Mutex::default() }
    }

    /// Registers a request that will be answered later, and returns the token that cancels it.
    pub fn open(&self, id: u64) -> CancellationToken {
        let cancellation = CancellationToken::new();
        if let Some(same_id) = lock(&self.requests).insert(id, cancellation.clone()) {
            same_id.cancel();
        }
        cancellation
    }

    /// Cancels a request. False if it was answered or cancelled already.
    pub fn cancel(&self, id: u64) -> bool {
        let request = lock(&self.requests).remove(&id);
        request.is_some_and(|cancellation| {
            let was_open = !cancellation.is_cancelled();
            cancellation.cancel();
            was_open
        })
    }

    /// Cancels all requests. False if there are none.
    pub fn cancel_all(&self) -> bool {
        let mut requests = lock(&self.requests);
        let any = !requests.is_empty();
        requests.drain().for_each(|(_, cancellation)| cancellation.cancel());
        any
    }

    /// Answers a request that was opened, unless it was cancelled.
    pub fn answer(&self, id: u64, answer: Result<Response, Error>) {
        if lock(&self.requests).remove(&id).is_some() {
            self.send(id, answer);
        }
    }

    /// Sends a piece of an answer or a sign of progress, unless the request was answered or cancelled.
    pub fn send_piece(&self, id: u64, piece: Response) {
        let requests = lock(&self.requests);
        // Sent under the lock, so that no piece follows the answer.
        if requests.contains_key(&id) {
            self.send(id, Ok(piece));
        }
    }

    /// Sends an answer, from any thread, without waiting: what the socket does not take at once is sent later.
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
            self.blocked.notify_one();
        }
    }

    /// Sends what could not be sent at once. Returns when the client has closed the connection.
    pub async fn flush_forever(&self) {
        loop {
            self.blocked.notified().await;
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

    /// Sends all pending frames, while the client reads.
    pub async fn flush(&self) {
        while self.stream.writable().await.is_ok() {
            if self.write(&mut lock(&self.pending)) {
                return;
            }
        }
    }

    /// Writes as much as the socket takes. True if nothing is left to write.
    fn write(&self, pending: &mut PendingFrames) -> bool {
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
