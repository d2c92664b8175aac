//! Schedules the work of models: each model has a queue, and while it is loaded at least one thread that runs the
//! queue's texts in batches.
//!
//! Roles of databases have fair shares, and within a role its sessions. A batch consists of texts that wait at that
//! moment; no text is delayed to fill a batch.

pub mod model_queue;

pub mod runner;

mod runners;

pub mod job;

pub mod fair_queue;

pub mod texts;

pub mod shares;

pub mod slots;

pub mod pace;

pub mod turns;

pub mod tokenizer_turns;

pub mod host;

pub mod registry;

pub mod meter;
