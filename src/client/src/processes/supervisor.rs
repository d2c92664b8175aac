//! How the supervisor is registered.

use pgrx::bgworkers::{
    BackgroundWorkerBuilder, BgWorkerStartTime, DynamicBackgroundWorker, DynamicBackgroundWorkerLoadError,
};
use pgrx::pg_sys;
use std::time::Duration;

/// Postgres starts the supervisor with the server where the library is preloaded.
pub fn register_if_preloaded() {
    // SAFETY: plain reads of the server's state.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress && !pg_sys::IsBinaryUpgrade } {
        builder().set_restart_time(Some(Duration::from_secs(5))).load();
    }
}

/// Registers a supervisor from a session of any role.
pub fn register() -> Result<DynamicBackgroundWorker, DynamicBackgroundWorkerLoadError> {
    // SAFETY: plain reads of the server's state.
    let (upgrading, own_pid) = unsafe { (pg_sys::IsBinaryUpgrade, pg_sys::MyProcPid) };
    if upgrading {
        return Err(DynamicBackgroundWorkerLoadError);
    }
    builder().set_restart_time(None).set_notify_pid(own_pid).load_dynamic()
}

fn builder() -> BackgroundWorkerBuilder {
    BackgroundWorkerBuilder::new("ragstone supervisor")
        .set_type("ragstone supervisor")
        .set_library("ragstone")
        .set_function("ragstone_supervisor_main")
        .enable_shmem_access(None)
        .set_start_time(BgWorkerStartTime::ConsistentState)
}
