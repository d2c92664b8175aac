//! Time that this process has spent in each stage of indexing since the last report, for the server log at
//! level `debug1`.

use std::cell::RefCell;
use std::time::{Duration, Instant};

/// A stage of indexing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Claiming rows from the queue.
    Claim,
    /// Reading rows.
    Read,
    /// Splitting rows: sending the requests and taking the chunks.
    Cut,
    /// Finding words and hashes of the chunks.
    Words,
    /// Looking up known embeddings.
    Known,
    /// Embedding: sending the requests and taking the embeddings.
    Embed,
    /// Locking rows and reading them again.
    Lock,
    /// Deleting and storing chunks, with their indexes.
    Store,
    /// Writing words to the text index.
    Terms,
    /// Removing rows from the queue.
    Done,
    /// Committing a transaction that wrote.
    Commit,
    /// Creating the vector index after the first fill.
    Index,
    /// Merging segments of the text index.
    Merge,
}

/// The stages, in their order.
const STAGES: [(Stage, &str); 13] = [
    (Stage::Claim, "claim"),
    (Stage::Read, "read"),
    (Stage::Cut, "cut"),
    (Stage::Words, "words"),
    (Stage::Known, "known"),
    (Stage::Embed, "embed"),
    (Stage::Lock, "lock"),
    (Stage::Store, "store"),
    (Stage::Terms, "terms"),
    (Stage::Done, "done"),
    (Stage::Commit, "commit"),
    (Stage::Index, "index"),
    (Stage::Merge, "merge"),
];

thread_local! {
    static TIMES: RefCell<[Duration; STAGES.len()]> = const { RefCell::new([Duration::ZERO; STAGES.len()]) };
}

/// Runs `work`, and adds the elapsed time to a stage.
pub fn timed<T>(stage: Stage, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    add(stage, start.elapsed());
    done
}

/// Adds time to a stage.
pub fn add(stage: Stage, time: Duration) {
    TIMES.with_borrow_mut(|times| times[stage as usize] += time);
}

/// The time spent in each stage since the last call, in milliseconds; None if no rows were processed.
pub fn take_report() -> Option<String> {
    let worked =
        TIMES.with_borrow(|times| times.iter().skip(Stage::Claim as usize + 1).any(|time| !time.is_zero()));
    if !worked {
        return None;
    }
    let times = TIMES.take();
    let parts: Vec<_> = STAGES
        .iter()
        .map(|(stage, name)| format!("{name} {:.1}", times[*stage as usize].as_secs_f64() * 1e3))
        .collect();
    Some(parts.join(", "))
}
