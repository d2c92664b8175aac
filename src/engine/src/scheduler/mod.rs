//! Who is served when: a queue with two lanes per model, and a thread per loaded model that empties it in batches.
//!
//! A batch is made of whatever waits at the moment, over all sessions; nothing is ever delayed in the hope of more.

pub mod station;

pub mod job;

pub mod lanes;

pub mod registry;

pub mod meter;
