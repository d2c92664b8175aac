//! The computations of Ragstone that need neither PostgreSQL nor a model, I/O or a clock.
#![forbid(unsafe_code)]

pub mod agent;
pub mod analysis;
pub mod ask;
pub mod backoff;
pub mod bm25;
pub mod chat;
pub mod chunk;
pub mod failure;
pub mod filter;
pub mod fusion;
pub mod jsonb;
pub mod log;
pub mod metrics;
pub mod protocol;
pub mod provider;
pub mod query_syntax;
pub mod suggest;
pub mod text_index;
pub mod tsvector;
pub mod typos;
pub mod window;
