//! The reasons for which a database's worker exits, and the checks whether work is left.

use crate::agent_log::{has_entries_left, has_steps_left};
use crate::call_log::has_calls_left;
use crate::jobs::has_jobs;
use pgrx::bgworkers::BackgroundWorker;
use ragstone_client::processes::place::Place;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::error::Result;
use ragstone_pg::extension::is_installed;
use ragstone_pg::guc::reload_configuration;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::plans::in_index_order;
use ragstone_pg::spi::{connect, run};
use ragstone_pg::switch_user::as_owner;
use std::time::Duration;

/// Maximum sleep. After it a worker checks whether a command needs exclusive use of the database, and whether
/// another worker needs its slot.
pub const MAX_SLEEP: Duration = Duration::from_secs(1);

/// Why a worker exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The extension has been dropped, or a command needs exclusive use of the database.
    NotWanted,
    /// The idle timeout has passed.
    Idle,
    /// Another worker waits for a slot.
    SlotNeeded,
    /// All work that is left waits, and another worker waits for a slot.
    Waiting,
    /// Work must be retried later, and another database may wait for a worker meanwhile.
    Unfinished,
}

/// True if there is work for a worker of this database in this place, or if the engine holds entries that
/// will become work.
pub fn has_work_left(database: u32, place: Place) -> bool {
    match place {
        Place::Coordinator => has_mail_left(database) || has_steps_left() || has_jobs_left(),
        Place::Indexer(_) => has_rows_left(),
    }
}

/// True if the engine's mailboxes hold entries of the database that are not written yet.
pub fn has_mail_left(database: u32) -> bool {
    has_calls_left(database) || has_entries_left(database)
}

/// True if there are jobs that have not ended.
pub fn has_jobs_left() -> bool {
    is_true(has_jobs)
}

/// True if rows are queued.
pub fn has_rows_left() -> bool {
    is_true(|| {
        let first = "SELECT FROM rag._queue ORDER BY collection, is_fill, id LIMIT 1";
        let queued = as_owner(config_owner()?, || in_index_order(|| run(first, &[])))?;
        Ok(queued.count > 0)
    })
}

/// The result of `look`, which reads the extension's tables; false if the extension is not installed or an
/// error occurs.
fn is_true(look: impl FnOnce() -> Result<bool>) -> bool {
    let found = in_transaction(|| with_safe_search_path(|| connect(|| Ok(is_installed()? && look()?))));
    found.unwrap_or(false)
}

/// Reads the settings again after a SIGHUP. Returns true if there was one. Must not be called inside a
/// transaction.
pub fn reload_after_sighup() -> bool {
    let received = BackgroundWorker::sighup_received();
    if received {
        reload_configuration();
    }
    received
}
