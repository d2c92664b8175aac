//! How a backend reaches the engine and the background workers.
//!
//! [`settings`] are what an administrator or a session has set, [`processes`] the workers beside the backends: how they are
//! registered, found and woken, and [`engine`] the connections to the engine.

pub mod engine;
pub mod processes;
pub mod settings;
