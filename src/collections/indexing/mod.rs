//! Turns rows into chunks. [`bulk`] fills a whole collection, [`batch`] and [`write`](mod@write) process queued rows,
//! and [`immediate`] does so in the writer's transaction. All of them have rows [`cut`] as [`chunking`] says, make a [`passage`]
//! of each chunk, with a [`prefix`] of title and headings, whose words are [`index_changes`] of the text index, written as [`segments`] which are merged later; [`slices`] asks for embeddings and divides requests that are refused, [`store`] stores
//! chunks, [`held`] keeps the embeddings of batches that failed, [`orphans`] deletes chunks of deleted rows, [`progress`] reports how far
//! the work is, and [`stages`] what takes the time.

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
