//! The SQL interface, one file for each family of functions. A function here converts its arguments, makes
//! one call and raises the error.

mod accounting;
mod agents;
mod ask;
mod chat;
pub mod chunk;
mod collections;
mod counts;
mod documents;
mod embed;
mod embed_batch;
mod evaluate;
pub mod generate;
mod job_arguments;
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
mod variants;
