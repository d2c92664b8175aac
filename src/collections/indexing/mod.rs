//! Turns rows into chunks. [`bulk`] fills a whole collection, [`batch`] and [`write`](mod@write) process queued rows,
//! and [`immediate`] does so in the writer's transaction. All of them split rows with [`chunking`], make a [`passage`]
//! of each chunk, and count words in [`terms`]; [`held`] keeps embeddings of batches that failed, [`orphans`] deletes
//! chunks of deleted rows, and [`progress`] reports how far the work is.

pub mod batch;
pub mod bulk;
pub mod chunking;
pub mod held;
pub mod immediate;
pub mod orphans;
pub mod passage;
pub mod progress;
pub mod terms;
pub mod write;
