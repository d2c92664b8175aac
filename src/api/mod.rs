//! The SQL surface, a file per family. A function here converts, makes one call and maps the error.

mod accounting;
mod agents;
mod ask;
mod chat;
pub mod chunk;
mod collections;
mod embed;
mod embed_batch;
pub mod generate;
mod jobs;
mod models;
mod owners;
mod parse_log;
mod providers;
mod rerank;
mod reports;
mod runs;
mod search;
mod spans;
mod stat_log;
mod status;
mod sync;
mod tools;
