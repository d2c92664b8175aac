//! How calls to providers come to be on record: the engine keeps those that have ended until the database's worker has
//! written them down in a transaction of its own, whatever becomes of the caller's.

mod books;
mod write;

pub use books::{Books, has_calls_left};
