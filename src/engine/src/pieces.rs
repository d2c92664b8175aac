//! The pieces of jobs' answers: the process that runs a job posts them, and sessions read them while it runs. They are
//! kept here because no table shows what a transaction has not committed yet.
//!
//! Memory is bounded. A stream that grows too large or has a gap reports its pieces as lost; its readers then wait for
//! the job's result, which is complete.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use ragstone_core::protocol::{JobRun, Pieces};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::lock::lock;

/// Maximum bytes of one job's pieces.
const MAX_STREAM_BYTES: usize = 16 << 20;

/// Maximum bytes of the pieces of all jobs.
const MAX_TOTAL_BYTES: usize = 128 << 20;

/// Maximum number of streams.
const MAX_STREAMS: usize = 1000;

/// How long the pieces of a job are kept after the job's end.
const RETENTION: Duration = Duration::from_mins(10);

/// The pieces of the jobs of all databases.
#[derive(Default)]
pub struct PieceStreams {
    table: Mutex<StreamTable>,
}

#[derive(Default)]
struct StreamTable {
    streams: HashMap<JobRun, PieceStream>,
    /// Notified at each change of a stream. A reader may come before the first piece.
    readers: HashMap<JobRun, Arc<Notify>>,
    bytes: usize,
}

struct PieceStream {
    pieces: Vec<String>,
    bytes: usize,
    posted: u32,
    lost: bool,
    ended: Option<Instant>,
    last_post: Instant,
}

/// A reader that waits for the next piece of a stream. Its drop removes it from the table, also if the wait is cancelled.
struct Reader<'a> {
    streams: &'a PieceStreams,
    run: JobRun,
    changes: Arc<Notify>,
}

impl<'a> Reader<'a> {
    fn register(streams: &'a PieceStreams, run: JobRun) -> Self {
        let changes = streams.lock().readers.entry(run).or_default().clone();
        Self { streams, run, changes }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut table = self.streams.lock();
        // Two references are left: the table's and this reader's.
        if table.readers.get(&self.run).is_some_and(|changes| Arc::strong_count(changes) == 2) {
            table.readers.remove(&self.run);
        }
    }
}

impl PieceStreams {
    /// Keeps a piece, and wakes the readers that wait for it.
    pub fn post(&self, run: JobRun, seq: u32, piece: String) {
        let mut table = self.lock();
        let bytes = piece.len();
        let stream = table.get_or_create(run);
        stream.last_post = Instant::now();
        // A gap means that the pieces before this one went to an engine that has ended since.
        stream.lost |= seq != stream.posted + 1 || stream.bytes + bytes > MAX_STREAM_BYTES;
        stream.posted = seq;
        if !stream.lost {
            stream.bytes += bytes;
            stream.pieces.push(piece);
            table.bytes += bytes;
        }
        table.discard_lost_pieces(run);
        table.enforce_limits(run);
        table.wake_readers(run);
    }

    /// Marks the end of a job.
    pub fn end(&self, run: JobRun) {
        let mut table = self.lock();
        table.get_or_create(run).ended = Some(Instant::now());
        table.enforce_limits(run);
        table.wake_readers(run);
    }

    /// The pieces after number `after`. Waits up to `wait` for the first one, or for the end of the job.
    pub async fn next(&self, run: JobRun, after: u32, wait: Duration) -> Pieces {
        let deadline = Instant::now() + wait;
        let reader = Reader::register(self, run);
        loop {
            let change = reader.changes.notified();
            tokio::pin!(change);
            // Registers before reading, so that no change in between is missed.
            change.as_mut().enable();
            let pieces = self.read_after(run, after);
            if !pieces.pieces.is_empty() || pieces.ended || timeout_at(deadline, change).await.is_err() {
                return pieces;
            }
        }
    }

    fn read_after(&self, run: JobRun, after: u32) -> Pieces {
        let table = self.lock();
        let Some(stream) = table.streams.get(&run) else { return Pieces::default() };
        Pieces {
            pieces: stream.pieces.get(after as usize..).unwrap_or_default().to_vec(),
            posted: stream.posted,
            ended: stream.ended.is_some(),
            lost: stream.lost,
        }
    }

    fn lock(&self) -> MutexGuard<'_, StreamTable> {
        lock(&self.table)
    }
}

impl StreamTable {
    fn get_or_create(&mut self, run: JobRun) -> &mut PieceStream {
        self.streams.entry(run).or_insert_with(|| PieceStream {
            pieces: Vec::new(),
            bytes: 0,
            posted: 0,
            lost: false,
            ended: None,
            last_post: Instant::now(),
        })
    }

    /// Frees the pieces of a stream that is reported as lost.
    fn discard_lost_pieces(&mut self, run: JobRun) {
        if let Some(stream) = self.streams.get_mut(&run)
            && stream.lost
        {
            self.bytes -= std::mem::take(&mut stream.bytes);
            stream.pieces = Vec::new();
        }
    }

    /// Removes streams whose retention is over, then the oldest streams while a limit is exceeded, ended ones first.
    fn enforce_limits(&mut self, current: JobRun) {
        let now = Instant::now();
        let is_expired =
            |stream: &PieceStream| stream.ended.is_some_and(|ended| now.duration_since(ended) > RETENTION);
        let expired: Vec<_> =
            self.streams.iter().filter(|(_, stream)| is_expired(stream)).map(|(run, _)| *run).collect();
        expired.into_iter().for_each(|run| self.remove(run));
        while self.streams.len() > MAX_STREAMS || self.bytes > MAX_TOTAL_BYTES {
            let others = self.streams.iter().filter(|(run, _)| **run != current);
            let oldest = others
                .min_by_key(|(_, stream)| (stream.ended.is_none(), stream.ended.unwrap_or(stream.last_post)));
            match oldest.map(|(run, _)| *run) {
                Some(run) => self.remove(run),
                None => return,
            }
        }
    }

    fn remove(&mut self, run: JobRun) {
        if let Some(stream) = self.streams.remove(&run) {
            self.bytes -= stream.bytes;
        }
    }

    fn wake_readers(&self, run: JobRun) {
        if let Some(changes) = self.readers.get(&run) {
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
            let streams = PieceStreams::default();
            streams.post(run(1), 1, "one".into());
            streams.post(run(1), 2, "two".into());
            assert_eq!(streams.next(run(1), 0, LONG).await.pieces, ["one", "two"]);
            streams.post(run(1), 3, "three".into());
            assert_eq!(streams.next(run(1), 2, LONG).await.pieces, ["three"]);
            streams.end(run(1));
            let last = streams.next(run(1), 3, LONG).await;
            assert_eq!(last, Pieces { pieces: vec![], posted: 3, ended: true, lost: false });
        });
    }

    #[test]
    fn a_reader_who_waits_is_woken_by_a_piece_and_by_the_end() {
        in_runtime(async {
            let streams = Arc::new(PieceStreams::default());
            for ends in [false, true] {
                let reader = tokio::spawn({
                    let streams = streams.clone();
                    async move { streams.next(run(u64::from(ends)), 0, LONG).await }
                });
                tokio::task::yield_now().await;
                if ends {
                    streams.end(run(1))
                } else {
                    streams.post(run(0), 1, "piece".into())
                }
                let found = reader.await.unwrap();
                assert_eq!((found.ended, found.pieces.len()), (ends, usize::from(!ends)));
            }
            assert!(streams.lock().readers.is_empty());
        });
    }

    #[test]
    fn a_wait_ends_when_its_time_is_over() {
        in_runtime(async {
            let streams = PieceStreams::default();
            assert_eq!(streams.next(run(1), 0, Duration::from_millis(1)).await, Pieces::default());
        });
    }

    #[test]
    fn a_gap_and_too_many_bytes_lose_the_pieces_but_not_the_end() {
        in_runtime(async {
            let streams = PieceStreams::default();
            streams.post(run(1), 5, "after a gap".into());
            streams.post(run(2), 1, "x".repeat(MAX_STREAM_BYTES));
            streams.post(run(2), 2, "one too many".into());
            for job in [1, 2] {
                assert!(streams.read_after(run(job), 0).lost);
                streams.post(run(job), 6, "more".into());
                streams.end(run(job));
                let found = streams.next(run(job), 0, LONG).await;
                assert!(found.lost && found.ended && found.pieces.is_empty());
            }
            assert_eq!(streams.lock().bytes, 0);
        });
    }

    #[test]
    fn streams_of_ended_jobs_make_room() {
        let streams = PieceStreams::default();
        in_runtime(async {
            streams.post(run(0), 1, "still running".into());
            for job in 1..=MAX_STREAMS as u64 {
                streams.post(run(job), 1, "piece".into());
                streams.end(run(job));
            }
            assert_eq!(streams.lock().streams.len(), MAX_STREAMS);
            assert_eq!(streams.read_after(run(0), 0).pieces, ["still running"]);
            assert_eq!(streams.read_after(run(1), 0), Pieces::default());
            let large = "x".repeat(MAX_STREAM_BYTES);
            for job in 2000..2020 {
                streams.post(run(job), 1, large.clone());
            }
            assert!(streams.lock().bytes <= MAX_TOTAL_BYTES);
        });
    }
}
