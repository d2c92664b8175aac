//! Registers the supervisor.

use pgrx::bgworkers::{
    BackgroundWorkerBuilder, BgWorkerStartTime, DynamicBackgroundWorker, DynamicBackgroundWorkerLoadError,
};
use ragstone_pg::session;
use std::time::Duration;

/// If the library is preloaded, PostgreSQL starts the supervisor with the server.
pub fn register_if_preloaded() {
    if session::is_preloading() && !session::is_binary_upgrade() {
        builder().set_restart_time(Some(Duration::from_secs(5))).load();
    }
}

/// Registers a supervisor from a session of any role.
pub fn register() -> Result<DynamicBackgroundWorker, DynamicBackgroundWorkerLoadError> {
    if session::is_binary_upgrade() {
        return Err(DynamicBackgroundWorkerLoadError);
    }
    builder().set_restart_time(None).set_notify_pid(session::pid()).load_dynamic()
}

fn builder() -> BackgroundWorkerBuilder {
    BackgroundWorkerBuilder::new("ragstone supervisor")
        .set_type("ragstone supervisor")
        .set_library("ragstone")
        .set_function("ragstone_supervisor_main")
        .enable_shmem_access(None)
        .set_start_time(BgWorkerStartTime::ConsistentState)
}
