//! Connects backends with the engine and the background workers.
//!
//! [`settings`] has the GUCs, [`processes`] registers, finds and wakes background workers, and [`engine`] has the
//! connections to the engine.
#![deny(unsafe_code)]

pub mod engine;
#[allow(unsafe_code, reason = "calls the operating system, and registers background workers")]
pub mod processes;
pub mod settings;
