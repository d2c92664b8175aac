//! The background workers: their registration, the query for running ones, and calls to the operating system.

pub mod file_lock;
pub mod job_registry;
pub mod launcher;
pub mod missing_slot;
pub mod own_files;
pub mod place;
pub mod register;
pub mod slots;
pub mod supervisor;
pub mod system;
pub mod wake;
pub mod worker_process;
