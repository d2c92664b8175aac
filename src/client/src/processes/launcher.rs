//! How the launcher is registered.

use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::pg_sys;

/// Postgres starts the launcher with the server where the library is preloaded, and not on a standby.
pub fn register_if_preloaded() {
    // SAFETY: plain reads of the server's state.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress && !pg_sys::IsBinaryUpgrade } {
        BackgroundWorkerBuilder::new("ragstone launcher")
            .set_type("ragstone launcher")
            .set_library("ragstone")
            .set_function("ragstone_launcher_main")
            .enable_spi_access()
            .set_restart_time(None)
            .load();
    }
}
