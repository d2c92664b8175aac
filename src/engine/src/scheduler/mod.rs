//! The order of work: each model has a queue, and while it is loaded a thread that empties the queue in batches.
//!
//! Roles of databases have fair shares, and in these their sessions. A batch is made of texts that wait at the moment; no text is
//! delayed to fill a batch.

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

pub mod host;

pub mod registry;

pub mod meter;
