//! Shared code of Ragstone's integration tests and benches: temporary PostgreSQL servers, sessions that keep
//! their notices, waits on conditions, and retrieval collections with their measures.

pub mod asking;
pub mod beir;
pub mod bookindex;
pub mod chance;
pub mod copy;
pub mod folders;
pub mod harness;
pub mod install;
pub mod judged;
pub mod manual;
pub mod metrics;
pub mod pgbouncer;
pub mod preload;
pub mod process;
pub mod provider;
pub mod prose;
pub mod rebuilt;
pub mod sample;
pub mod searching;
pub mod server;
pub mod session;
pub mod stub;
pub mod template;
pub mod troubles;
pub mod wait;
pub mod writers;

/// Result of the fixtures; a test fails with the error's text.
pub type Result<T> = anyhow::Result<T>;
