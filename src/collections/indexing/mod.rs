//! Rows become chunks: read, cut, embedded, written.

pub mod batch;
pub mod bulk;
pub mod chunking;
pub mod immediate;
pub mod orphans;
pub mod passage;
pub mod progress;
pub mod terms;
pub mod write;
