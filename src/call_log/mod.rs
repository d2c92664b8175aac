//! How calls to providers come to be on record: the engine keeps those that have ended until the database's worker has
//! written them down in a transaction of its own, whatever becomes of the caller's.

mod writer;
mod rows;

pub use writer::{Books, has_calls_left};
