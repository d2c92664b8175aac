//! The processes beside the backends, and how a backend talks to them.

pub mod client;
mod connection;
mod launch;
mod lock;
pub mod supervisor;
