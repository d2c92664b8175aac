//! The processes beside the backends, and how a backend talks to them.

pub mod call;
pub mod client;
mod connection;
mod database;
pub mod inbox;
pub mod job;
mod launch;
pub mod launcher;
pub mod letterbox;
mod lock;
pub mod slots;
pub mod supervisor;
pub mod wake;
