//! Registers the launcher.

use pgrx::bgworkers::BackgroundWorkerBuilder;
use ragstone_pg::session;

/// If the library is preloaded, PostgreSQL starts the launcher with the server, but not on a standby.
pub fn register_if_preloaded() {
    if session::is_preloading() && !session::is_binary_upgrade() {
        BackgroundWorkerBuilder::new("ragstone launcher")
            .set_type("ragstone launcher")
            .set_library("ragstone")
            .set_function("ragstone_launcher_main")
            .enable_spi_access()
            .set_restart_time(None)
            .load();
    }
}
