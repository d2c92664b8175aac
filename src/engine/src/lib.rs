//! The engine: one process per PostgreSQL server that holds the models and tokenizers, and computes for all sessions.
//!
//! It does not depend on Postgres: it reads requests from a Unix socket and writes answers to it. Start reading at `server`.
#![deny(unsafe_code)]

pub mod server;

pub mod scheduler;

pub mod providers;

pub mod ledger;

pub mod agent_log;

pub mod mailbox;

pub mod pieces;

pub mod model;

pub mod runtime;

pub mod parser;

pub mod pull;

pub mod outbox;

pub mod failure;

mod sandbox;

mod seccomp;

mod lock;

#[allow(unsafe_code)]
pub mod system;
