//! Starts the engine from a session by registering a supervisor. Any role may do this, and it works without preload.

use crate::processes::file_lock::FileLock;
use crate::processes::own_files;
use crate::processes::supervisor;
use crate::processes::system::is_accessible;
use crate::settings;
use crate::settings::paths;
use pgrx::bgworkers::{BackgroundWorkerStatus, DynamicBackgroundWorker};
use ragstone_pg::error::{Error, Result};
use std::time::{Duration, Instant};

/// Maximum wait if no worker slot is free: the supervisor of another session may have taken the last one, and start the engine.
const MAX_SLOT_WAIT: Duration = Duration::from_millis(1500);

/// Maximum number of supervisors that one call registers.
const MAX_REGISTRATIONS: u32 = 3;

/// The progress of starting the engine, in the session that needs it.
#[derive(Default)]
pub struct Launch {
    worker: Option<DynamicBackgroundWorker>,
    registrations: u32,
    no_slot_since: Option<Instant>,
}

impl Launch {
    /// Takes the next step, if one is due. The caller repeats this until the socket accepts connections.
    pub fn advance(&mut self) -> Result<()> {
        if let Some(worker) = &self.worker {
            if !matches!(worker.pid(), Err(BackgroundWorkerStatus::Stopped)) {
                return Ok(());
            }
            self.worker = None;
        }
        if FileLock::holder(&paths::supervisor_lock()).is_some() {
            return Ok(());
        }
        if self.registrations >= MAX_REGISTRATIONS {
            return Err(did_not_start());
        }
        check_installation()?;
        match supervisor::register() {
            Ok(worker) => {
                self.worker = Some(worker);
                self.registrations += 1;
                Ok(())
            }
            Err(_) => {
                let since = *self.no_slot_since.get_or_insert_with(Instant::now);
                if since.elapsed() < MAX_SLOT_WAIT { Ok(()) } else { Err(no_slot()) }
            }
        }
    }

    /// The error for an engine that did not listen in time.
    pub fn too_slow(&self) -> Error {
        did_not_start()
            .detail(format!("It did not listen on its socket within {} ms.", settings::request_timeout()))
    }
}

fn did_not_start() -> Error {
    Error::engine_unreachable("the engine did not start")
        .hint("Look for lines of ragstone-engine and \"ragstone supervisor\" in the server's log.")
}

fn no_slot() -> Error {
    Error::engine_unreachable("no background worker slot is free to start the engine")
        .hint("Raise max_worker_processes by 2 or more and restart the server.")
}

fn check_installation() -> Result<()> {
    let engine = paths::engine();
    if !is_accessible(&engine, libc::X_OK) {
        return Err(Error::engine_unreachable(format!(
            "the engine's program \"{}\" cannot be executed",
            engine.display()
        ))
        .hint("Run make install, or set rag.engine_path."));
    }
    let folder = paths::socket_directory();
    let hint = "Set rag.socket_directory to a folder in which only the server's user can write.";
    if !is_accessible(&folder, libc::W_OK | libc::X_OK) {
        return Err(Error::engine_unreachable(format!(
            "the engine's socket directory \"{}\" is not writable",
            folder.display()
        ))
        .hint(hint));
    }
    own_files::check_directory().map_err(|error| {
        Error::engine_unreachable(format!(
            "the engine's socket directory \"{}\" cannot be used",
            folder.display()
        ))
        .detail(error.to_string())
        .hint(hint)
    })
}
