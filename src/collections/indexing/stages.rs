//! How long this process has worked at each stage of indexing since it was last told, for the log at level `debug1`.

use std::cell::RefCell;
use std::time::{Duration, Instant};

/// A stage of indexing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Rows are taken from the queue.
    Claim,
    /// They are read.
    Read,
    /// Their chunks are asked for and taken.
    Cut,
    /// Words and hashes of the chunks are found.
    Words,
    /// Embeddings that are known are looked for.
    Known,
    /// Embeddings are asked for and taken.
    Embed,
    /// Rows are locked and read again.
    Lock,
    /// Chunks are deleted and stored, with their indexes.
    Store,
    /// Words are counted.
    Terms,
    /// Rows are taken out of the queue.
    Done,
    /// A transaction that wrote is committed.
    Commit,
    /// The vector index is created after the first fill.
    Index,
    /// Segments of the text index are merged.
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

/// Runs `work`, and counts its time to a stage.
pub fn timed<T>(stage: Stage, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    add(stage, start.elapsed());
    done
}

/// Counts time to a stage.
pub fn add(stage: Stage, time: Duration) {
    TIMES.with_borrow_mut(|times| times[stage as usize] += time);
}

/// The time spent in the stages since the last call, in milliseconds; nothing where no rows were worked on.
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
