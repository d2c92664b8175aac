//! Records of calls to providers, in `rag.calls`. The engine keeps a finished call until the database's
//! coordinator has written it in a transaction of its own, so that the record outlives a rollback of the
//! caller's transaction.
//!
//! [`writer`] takes the calls from the engine, [`rows`] writes and deletes rows.

mod writer;
mod rows;

pub use writer::{CallRecordWriter, has_calls_left};
