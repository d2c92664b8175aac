//! One request for embeddings, from its acceptance to its answer.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use ragstone_core::protocol::Vectors;
use tokio_util::sync::CancellationToken;

use super::{slots::QueueSlots, texts::QueueEntry};
use crate::{failure::Error, lock::lock, model::text::EncodedText};

/// An event that is sent to the client of a request.
#[derive(Debug)]
pub enum JobEvent {
    /// The model makes progress; the answer is not complete yet.
    Working,
    /// The answer. No other event follows.
    Ended(Result<Vectors, Error>),
}

/// Sends an event to the client.
pub type SendEvent = Box<dyn Fn(JobEvent) + Send>;

/// A request whose texts are in the queue or in a run.
pub struct EmbeddingJob {
    cancellation: CancellationToken,
    fingerprint: String,
    progress: Mutex<JobProgress>,
}

struct JobProgress {
    vectors: Vectors,
    remaining: usize,
    /// `None` once the answer is sent.
    send: Option<SendEvent>,
}

/// The embeddings of all texts of a request.
#[must_use]
pub struct CompleteAnswer {
    vectors: Vectors,
    send: Option<SendEvent>,
}

impl CompleteAnswer {
    /// Sends them to the client.
    pub fn send(self) {
        if let Some(send) = self.send {
            send(JobEvent::Ended(Ok(self.vectors)));
        }
    }
}

impl EmbeddingJob {
    /// A request of `vectors.tokens.len()` texts; `vectors.values` is filled here.
    pub fn new(mut vectors: Vectors, cancellation: CancellationToken, send: SendEvent) -> Arc<Self> {
        let texts = vectors.tokens.len();
        vectors.values = vec![0.0; texts * vectors.dimensions as usize];
        let fingerprint = vectors.fingerprint.clone();
        Arc::new(Self {
            cancellation,
            fingerprint,
            progress: Mutex::new(JobProgress { vectors, remaining: texts, send: Some(send) }),
        })
    }

    /// True if the client no longer wants the answer.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Fingerprint of the model whose tokenizer made the tokens.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Stores the embedding of one text. Returns the answer if it was the last.
    pub fn complete(&self, index: usize, text: &EncodedText, embedding: &[f32]) -> Option<CompleteAnswer> {
        let mut progress = self.progress();
        let dimensions = progress.vectors.dimensions as usize;
        progress.vectors.values[index * dimensions..][..dimensions].copy_from_slice(embedding);
        progress.vectors.tokens[index] = text.tokens_before_cut;
        progress.vectors.unknown += u32::from(text.is_unknown);
        progress.remaining -= 1;
        let is_last = progress.remaining == 0;
        is_last.then(|| CompleteAnswer {
            vectors: std::mem::take(&mut progress.vectors),
            send: progress.send.take(),
        })
    }

    /// Tells the client that the model works.
    pub fn report_work(&self) {
        // Sent under the lock, so that it cannot follow the answer.
        if let Some(send) = &self.progress().send {
            send(JobEvent::Working);
        }
    }

    /// Answers with an error. Texts of the request that still wait will be dropped.
    pub fn fail(&self, error: &Error) {
        self.cancellation.cancel();
        let send = self.progress().send.take();
        if let Some(send) = send {
            send(JobEvent::Ended(Err(error.clone())));
        }
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, JobProgress> {
        lock(&self.progress)
    }
}

impl Drop for EmbeddingJob {
    /// Answers a request that was lost, for example through a panic.
    fn drop(&mut self) {
        if !self.is_cancelled() {
            self.fail(&Error::Internal("a request was lost".into()));
        }
    }
}

/// One text of a request, in a queue.
pub struct QueuedText {
    /// The request.
    pub job: Arc<EmbeddingJob>,
    /// Position of the text in the request.
    pub index: usize,
    /// The tokens that the model reads.
    pub tokens: EncodedText,
    /// When the request arrived.
    pub since: Instant,
    /// The slot that it takes in the queue.
    pub slot: QueueSlots,
}

impl QueueEntry for QueuedText {
    fn tokens(&self) -> usize {
        self.tokens.ids.len()
    }

    fn is_cancelled(&self) -> bool {
        self.job.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_answer_is_in_the_order_of_the_request() {
        let (send, receive) = mpsc::channel();
        let vectors = Vectors { dimensions: 1, tokens: vec![0; 2], ..Vectors::default() };
        let job = EmbeddingJob::new(
            vectors,
            CancellationToken::new(),
            Box::new(move |answer| send.send(answer).unwrap()),
        );
        let text = |tokens_before_cut, is_unknown| EncodedText {
            tokens_before_cut,
            is_unknown,
            ids: Vec::new(),
            types: Vec::new(),
        };
        assert!(job.complete(1, &text(7, true), &[0.5]).is_none());
        job.complete(0, &text(6, false), &[0.25]).unwrap().send();
        let JobEvent::Ended(Ok(answer)) = receive.recv().unwrap() else { panic!("no embeddings") };
        assert_eq!((answer.values, answer.tokens, answer.unknown), (vec![0.25, 0.5], vec![6, 7], 1));
    }

    #[test]
    fn a_request_fails_once() {
        let (send, receive) = mpsc::channel();
        let vectors = Vectors { dimensions: 1, tokens: vec![0; 1], ..Vectors::default() };
        let job = EmbeddingJob::new(
            vectors,
            CancellationToken::new(),
            Box::new(move |answer| send.send(answer).unwrap()),
        );
        job.fail(&Error::Internal("a".into()));
        job.fail(&Error::Internal("b".into()));
        assert!(job.is_cancelled());
        assert_eq!(receive.iter().count(), 1);
    }
}
