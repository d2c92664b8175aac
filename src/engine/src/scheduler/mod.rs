//! The order of work: each model has a queue with two lanes, and while it is loaded a thread that empties the queue in batches.
//!
//! A batch is made of the texts of all sessions that wait at the moment; no text is delayed to fill a batch.

pub mod model_queue;

pub mod job;

pub mod priority_queue;

pub mod host;

pub mod registry;

pub mod meter;
