//! What happens when Postgres has no slot for a background worker (`max_worker_processes`): work waits, so the server's log says so
//! when that begins, and a file says so to the sessions that look at what waits.

use crate::settings::paths;
use pgrx::log;
use std::fs::{self, File};

/// Notes that a slot for a worker of the database `is_missing`, or that there was one. `waiting` says what waits.
pub fn note(database: u32, is_missing: bool, waiting: &str) {
    let path = paths::missing_slot(database);
    if !is_missing {
        let _ = fs::remove_file(path);
    } else if File::create_new(path).is_ok() {
        log!(
            "ragstone: {waiting}: PostgreSQL has no free slot for a background worker; raise max_worker_processes"
        );
    }
}

/// Whether the database waits for a slot.
pub fn is_noted(database: u32) -> bool {
    paths::missing_slot(database).exists()
}
