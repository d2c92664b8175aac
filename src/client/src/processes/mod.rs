//! The background workers: how each kind is registered, and who holds which place.

pub mod file_lock;
pub mod job_registry;
pub mod launcher;
pub mod register;
pub mod slots;
pub mod supervisor;
pub mod system;
pub mod wake;
pub mod worker_process;
