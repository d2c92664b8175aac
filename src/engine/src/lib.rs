//! The engine: one process per PostgreSQL server that holds the models and tokenizers, and computes for all sessions.
//!
//! It knows nothing of Postgres: bytes in over a Unix socket, bytes out. See `server` for the way of a request.
#![deny(unsafe_code)]

pub mod server;

pub mod scheduler;

pub mod providers;

pub mod ledger;

pub mod log;

pub mod mailbox;

pub mod pieces;

pub mod model;

pub mod runtime;

pub mod pull;

pub mod failure;
pub mod system;
