//! Pieces of jobs' answers on their way from the process that runs a job to whoever reads along: kept here, since no table
//! shows what a transaction has not committed yet.
//!
//! What is kept is bounded. A mailbox that grows too large, or whose pieces have a gap, says that pieces are lost: its
//! reader waits for the result, which is whole.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ragstone_core::protocol::{JobRun, Pieces};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// Most bytes of one job's pieces.
const MOST_OF_ONE: usize = 16 << 20;

/// Most bytes of the pieces of all jobs.
const MOST_OF_ALL: usize = 128 << 20;

/// Most mailboxes.
const MOST_BOXES: usize = 1000;

/// After a job's end its pieces are kept for so long.
const KEPT: Duration = Duration::from_mins(10);

/// The mailboxes of all databases.
#[derive(Default)]
pub struct Mailboxes {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    boxes: HashMap<JobRun, Mailbox>,
    /// Who waits for something to change; a reader may be there before the first piece.
    waiting: HashMap<JobRun, Arc<Notify>>,
    bytes: usize,
}

struct Mailbox {
    pieces: Vec<String>,
    bytes: usize,
    posted: u32,
    lost: bool,
    ended: Option<Instant>,
    touched: Instant,
}

impl Mailboxes {
    /// Keeps a piece, and hands it to whoever waits for it.
    pub fn post(&self, run: JobRun, seq: u32, piece: String) {
        let mut state = self.lock();
        let bytes = piece.len();
        let mailbox = state.open(run);
        mailbox.touched = Instant::now();
        // A gap: the pieces before this one went to an engine that has gone.
        mailbox.lost |= seq != mailbox.posted + 1 || mailbox.bytes + bytes > MOST_OF_ONE;
        mailbox.posted = seq;
        if !mailbox.lost {
            mailbox.bytes += bytes;
            mailbox.pieces.push(piece);
            state.bytes += bytes;
        }
        state.forget_lost(run);
        state.keep_within_bounds(run);
        state.wake(run);
    }

    /// The job has ended.
    pub fn end(&self, run: JobRun) {
        let mut state = self.lock();
        state.open(run).ended = Some(Instant::now());
        state.keep_within_bounds(run);
        state.wake(run);
    }

    /// Pieces after `after`, as soon as there are some, or what there is when the job has ended or the time is over.
    pub async fn next(&self, run: JobRun, after: u32, wait: Duration) -> Pieces {
        let deadline = Instant::now() + wait;
        let changes = self.lock().waiting.entry(run).or_default().clone();
        let found = loop {
            let change = changes.notified();
            tokio::pin!(change);
            // From here on no change goes unnoticed.
            change.as_mut().enable();
            let found = self.look(run, after);
            if !found.pieces.is_empty() || found.ended || timeout_at(deadline, change).await.is_err() {
                break found;
            }
        };
        drop(changes);
        let mut state = self.lock();
        if state.waiting.get(&run).is_some_and(|changes| Arc::strong_count(changes) == 1) {
            state.waiting.remove(&run);
        }
        found
    }

    fn look(&self, run: JobRun, after: u32) -> Pieces {
        let state = self.lock();
        let Some(mailbox) = state.boxes.get(&run) else { return Pieces::default() };
        Pieces {
            pieces: mailbox.pieces.get(after as usize..).unwrap_or_default().to_vec(),
            posted: mailbox.posted,
            ended: mailbox.ended.is_some(),
            lost: mailbox.lost,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&mut self, run: JobRun) -> &mut Mailbox {
        self.boxes.entry(run).or_insert_with(|| Mailbox {
            pieces: Vec::new(),
            bytes: 0,
            posted: 0,
            lost: false,
            ended: None,
            touched: Instant::now(),
        })
    }

    /// Frees what nobody will be given any more.
    fn forget_lost(&mut self, run: JobRun) {
        if let Some(mailbox) = self.boxes.get_mut(&run)
            && mailbox.lost
        {
            self.bytes -= std::mem::take(&mut mailbox.bytes);
            mailbox.pieces = Vec::new();
        }
    }

    /// Drops mailboxes that ended long ago, then the oldest while there are too many, ended ones first.
    fn keep_within_bounds(&mut self, current: JobRun) {
        let now = Instant::now();
        let old = |mailbox: &Mailbox| mailbox.ended.is_some_and(|ended| now.duration_since(ended) > KEPT);
        let gone: Vec<_> = self.boxes.iter().filter(|(_, it)| old(it)).map(|(run, _)| *run).collect();
        gone.into_iter().for_each(|run| self.remove(run));
        while self.boxes.len() > MOST_BOXES || self.bytes > MOST_OF_ALL {
            let others = self.boxes.iter().filter(|(run, _)| **run != current);
            let oldest = others.min_by_key(|(_, it)| (it.ended.is_none(), it.ended.unwrap_or(it.touched)));
            match oldest.map(|(run, _)| *run) {
                Some(run) => self.remove(run),
                None => return,
            }
        }
    }

    fn remove(&mut self, run: JobRun) {
        if let Some(mailbox) = self.boxes.remove(&run) {
            self.bytes -= mailbox.bytes;
        }
    }

    fn wake(&self, run: JobRun) {
        if let Some(changes) = self.waiting.get(&run) {
            changes.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(job: u64) -> JobRun {
        JobRun { database: 1, table: 2, job, attempt: 1 }
    }

    fn in_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_reader_gets_each_piece_once_and_then_the_end() {
        in_runtime(async {
            let boxes = Mailboxes::default();
            boxes.post(run(1), 1, "one".into());
            boxes.post(run(1), 2, "two".into());
            assert_eq!(boxes.next(run(1), 0, LONG).await.pieces, ["one", "two"]);
            boxes.post(run(1), 3, "three".into());
            assert_eq!(boxes.next(run(1), 2, LONG).await.pieces, ["three"]);
            boxes.end(run(1));
            let last = boxes.next(run(1), 3, LONG).await;
            assert_eq!(last, Pieces { pieces: vec![], posted: 3, ended: true, lost: false });
        });
    }

    #[test]
    fn a_reader_who_waits_is_woken_by_a_piece_and_by_the_end() {
        in_runtime(async {
            let boxes = Arc::new(Mailboxes::default());
            for ends in [false, true] {
                let reader = tokio::spawn({
                    let boxes = boxes.clone();
                    async move { boxes.next(run(u64::from(ends)), 0, LONG).await }
                });
                tokio::task::yield_now().await;
                if ends {
                    boxes.end(run(1))
                } else {
                    boxes.post(run(0), 1, "piece".into())
                }
                let found = reader.await.unwrap();
                assert_eq!((found.ended, found.pieces.len()), (ends, usize::from(!ends)));
            }
            assert!(boxes.lock().waiting.is_empty());
        });
    }

    #[test]
    fn a_wait_ends_when_its_time_is_over() {
        in_runtime(async {
            let boxes = Mailboxes::default();
            assert_eq!(boxes.next(run(1), 0, Duration::from_millis(1)).await, Pieces::default());
        });
    }

    #[test]
    fn a_gap_and_too_many_bytes_lose_the_pieces_but_not_the_end() {
        in_runtime(async {
            let boxes = Mailboxes::default();
            boxes.post(run(1), 5, "after a gap".into());
            boxes.post(run(2), 1, "x".repeat(MOST_OF_ONE));
            boxes.post(run(2), 2, "one too many".into());
            for job in [1, 2] {
                assert!(boxes.look(run(job), 0).lost);
                boxes.post(run(job), 6, "more".into());
                boxes.end(run(job));
                let found = boxes.next(run(job), 0, LONG).await;
                assert!(found.lost && found.ended && found.pieces.is_empty());
            }
            assert_eq!(boxes.lock().bytes, 0);
        });
    }

    #[test]
    fn mailboxes_of_ended_jobs_make_room() {
        let boxes = Mailboxes::default();
        in_runtime(async {
            boxes.post(run(0), 1, "still running".into());
            for job in 1..=MOST_BOXES as u64 {
                boxes.post(run(job), 1, "piece".into());
                boxes.end(run(job));
            }
            assert_eq!(boxes.lock().boxes.len(), MOST_BOXES);
            assert_eq!(boxes.look(run(0), 0).pieces, ["still running"]);
            assert_eq!(boxes.look(run(1), 0), Pieces::default());
            let large = "x".repeat(MOST_OF_ONE);
            for job in 2000..2020 {
                boxes.post(run(job), 1, large.clone());
            }
            assert!(boxes.lock().bytes <= MOST_OF_ALL);
        });
    }
}
