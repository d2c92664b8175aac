//! How a backend reaches the engine and the background workers.
//!
//! [`settings`] are what an administrator or a session has set, [`processes`] the workers beside the backends: how they are
//! registered, found and woken, and [`engine`] the connections to the engine.
#![deny(unsafe_code)]

pub mod engine;
#[allow(unsafe_code, reason = "calls the operating system, and registers background workers")]
pub mod processes;
pub mod settings;
