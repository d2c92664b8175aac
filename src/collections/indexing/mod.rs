//! Turns rows into chunks. [`bulk`] fills a whole collection, [`batch`] and [`write`](mod@write) process
//! queued rows, and [`immediate`] does so in the writer's transaction. All of them use these modules:
//!
//! - [`cut`] has the engine split rows, with the sizes from [`chunking`].
//! - [`passage`] makes a passage of each chunk, with a [`prefix`] of title and headings.
//! - [`index_changes`] collects the words of passages, which are written as [`segments`] of the text index
//!   and merged later.
//! - [`slices`] sends texts to be embedded, and divides requests that are refused.
//! - [`store`] stores chunks, and [`orphans`] deletes chunks of deleted rows.
//! - [`held`] keeps the embeddings of batches that failed.
//! - [`progress`] reports the progress, and [`stages`] the time spent in each stage.

pub mod batch;
pub mod bulk;
pub mod chunking;
pub mod cut;
pub mod held;
pub mod immediate;
pub mod index_changes;
pub mod languages;
pub mod orphans;
pub mod passage;
mod prefix;
pub mod progress;
pub mod segments;
pub mod slices;
pub mod stages;
pub mod store;
pub mod write;
