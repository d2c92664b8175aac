//! One request for embeddings, from its acceptance to its answer.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use ragstone_core::protocol::Vectors;
use tokio_util::sync::CancellationToken;

use super::lanes::Waiting;
use crate::{failure::Error, model::text::Tokens};

/// Sends the answer; called at most once.
pub type Reply = Box<dyn FnOnce(Result<Vectors, Error>) + Send>;

/// Cancelled when nobody waits for a request any more.
pub type Gone = CancellationToken;

/// A request whose texts are on their way through the queue.
pub struct Job {
    gone: Gone,
    fingerprint: String,
    progress: Mutex<Progress>,
}

struct Progress {
    vectors: Vectors,
    remaining: usize,
    reply: Option<Reply>,
}

impl Job {
    /// A request of `vectors.tokens.len()` texts; `vectors.values` is filled here.
    pub fn new(mut vectors: Vectors, gone: Gone, reply: Reply) -> Arc<Self> {
        let texts = vectors.tokens.len();
        vectors.values = vec![0.0; texts * vectors.dimensions as usize];
        let fingerprint = vectors.fingerprint.clone();
        Arc::new(Self {
            gone,
            fingerprint,
            progress: Mutex::new(Progress { vectors, remaining: texts, reply: Some(reply) }),
        })
    }

    /// Whether nobody waits for it any more.
    pub fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// The model that its tokens are for.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Keeps the embedding of one text, and answers if it was the last. True if so.
    pub fn complete(&self, index: usize, whole: u32, embedding: &[f32]) -> bool {
        let mut progress = self.progress();
        let dimensions = progress.vectors.dimensions as usize;
        progress.vectors.values[index * dimensions..][..dimensions].copy_from_slice(embedding);
        progress.vectors.tokens[index] = whole;
        progress.remaining -= 1;
        if progress.remaining > 0 {
            return false;
        }
        let (vectors, reply) = (std::mem::take(&mut progress.vectors), progress.reply.take());
        drop(progress);
        if let Some(reply) = reply {
            reply(Ok(vectors));
        }
        true
    }

    /// Answers with an error; its texts that still wait will be dropped.
    pub fn fail(&self, error: &Error) {
        self.gone.cancel();
        let reply = self.progress().reply.take();
        if let Some(reply) = reply {
            reply(Err(error.clone()));
        }
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Job {
    /// A request that is lost, by a panic say, is answered all the same.
    fn drop(&mut self) {
        if !self.is_gone() {
            self.fail(&Error::Internal("a request was lost".into()));
        }
    }
}

/// One text of a request, in a queue.
pub struct Item {
    /// Its request.
    pub job: Arc<Job>,
    /// Its place in the request.
    pub index: usize,
    /// What the model reads.
    pub tokens: Tokens,
    /// When it was asked for.
    pub since: Instant,
    /// Its place in the queue, given back when it leaves.
    pub place: Places,
}

impl Waiting for Item {
    fn tokens(&self) -> usize {
        self.tokens.ids.len()
    }

    fn is_gone(&self) -> bool {
        self.job.is_gone()
    }
}

/// Places in a bounded queue, given back when dropped.
#[derive(Debug)]
pub struct Places {
    taken: Arc<AtomicUsize>,
    count: usize,
}

impl Places {
    /// Takes `count` places if the queue of `limit` places has them, else says how many are taken.
    ///
    /// # Errors
    /// The places taken by others.
    pub fn take(taken: &Arc<AtomicUsize>, count: usize, limit: usize) -> Result<Self, usize> {
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            now.checked_add(count).filter(|sum| *sum <= limit)
        })?;
        Ok(Self { taken: taken.clone(), count })
    }

    /// One of these places.
    pub fn split(&mut self) -> Self {
        let one = self.count.min(1);
        self.count -= one;
        Self { taken: self.taken.clone(), count: one }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn places_come_back_one_by_one() {
        let taken = Arc::new(AtomicUsize::new(0));
        let mut places = Places::take(&taken, 3, 3).unwrap();
        assert_eq!(Places::take(&taken, 1, 3).unwrap_err(), 3);
        drop(places.split());
        assert_eq!(taken.load(Ordering::Relaxed), 2);
        drop(places);
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_answer_is_in_the_order_of_the_request() {
        let (send, receive) = mpsc::channel();
        let vectors = Vectors { dimensions: 1, tokens: vec![0; 2], ..Vectors::default() };
        let job = Job::new(vectors, Gone::default(), Box::new(move |answer| send.send(answer).unwrap()));
        assert!(!job.complete(1, 7, &[0.5]));
        assert!(job.complete(0, 6, &[0.25]));
        let answer = receive.recv().unwrap().unwrap();
        assert_eq!((answer.values, answer.tokens), (vec![0.25, 0.5], vec![6, 7]));
    }

    #[test]
    fn a_request_fails_once() {
        let (send, receive) = mpsc::channel();
        let vectors = Vectors { dimensions: 1, tokens: vec![0; 1], ..Vectors::default() };
        let job = Job::new(vectors, Gone::default(), Box::new(move |answer| send.send(answer).unwrap()));
        job.fail(&Error::Internal("a".into()));
        job.fail(&Error::Internal("b".into()));
        assert!(job.is_gone());
        assert_eq!(receive.iter().count(), 1);
    }
}
