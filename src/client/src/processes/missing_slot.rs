//! Handles a lack of slots for background workers (`max_worker_processes`). Work then waits. A message in the server log
//! reports the beginning; a file reports it to sessions that show what waits, and to workers that can make room.

use crate::processes::file_lock::files_with_prefix;
use crate::processes::own_files;
use crate::processes::place::Place;
use crate::settings::paths;
use pgrx::log;
use std::fmt::{self, Display, Formatter};
use std::fs;

/// The process for which a slot is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// A worker of a database.
    Worker(Place),
    /// A job's worker, which the coordinator registers.
    Job,
}

/// Records whether a slot for a worker of the database `is_missing`.
pub fn note(database: u32, waiting: Waiting, is_missing: bool) {
    let path = paths::missing_slot(database, waiting);
    if !is_missing {
        let _ = fs::remove_file(path);
    } else if own_files::create_new(&path).is_ok() {
        let who = match waiting {
            Waiting::Worker(Place::Coordinator) => "a database waits for its coordinator",
            Waiting::Worker(Place::Indexer(_)) => "a database waits for its worker",
            Waiting::Job => "a job waits for its worker",
        };
        log!(
            "ragstone: {who}: PostgreSQL has no free slot for a background worker; raise max_worker_processes"
        );
    }
}

/// True if a job of the database waits for a slot, its own or the coordinator's.
pub fn is_noted_for_jobs(database: u32) -> bool {
    [Waiting::Job, Waiting::Worker(Place::Coordinator)]
        .into_iter()
        .any(|waiting| paths::missing_slot(database, waiting).exists())
}

/// True if, in any database, a slot is missing that a worker in `place` can free. A coordinator does not exit for the sake
/// of jobs, which it has to start itself.
pub fn is_noted_for(place: Place) -> bool {
    files_with_prefix("slotless-")
        .any(|name| place != Place::Coordinator || !name.ends_with(&format!("-{}", Waiting::Job)))
}

/// The form in file names.
impl Display for Waiting {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(place) => place.fmt(to),
            Self::Job => to.write_str("job"),
        }
    }
}
