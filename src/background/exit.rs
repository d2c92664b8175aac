//! Why a database's worker exits, and whether work is left then.

use crate::agent_log::{has_entries_left, has_steps_left};
use crate::call_log::has_calls_left;
use crate::jobs::has_jobs;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::error::Result;
use ragstone_pg::extension::is_installed;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::spi::{connect, run};
use ragstone_pg::switch_user::as_owner;

/// Why a worker exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The extension has been dropped, or a command needs the database without other connections.
    NotWanted,
    /// The idle timeout has passed.
    Idle,
    /// Another database waits for a worker.
    SlotNeeded,
    /// Another database may wait for a worker, and work here has to be retried later.
    Unfinished,
}

/// Whether there is work for a worker of the database, or the engine holds entries that will become work.
pub fn has_work_left(database: u32) -> bool {
    has_mail_left(database) || has_steps_left() || has_rows_left().unwrap_or(false)
}

/// Whether the engine's mailboxes hold anything of the database that is not written.
pub fn has_mail_left(database: u32) -> bool {
    has_calls_left(database) || has_entries_left(database)
}

fn has_rows_left() -> Result<bool> {
    let look = || {
        if !is_installed()? {
            return Ok(false);
        }
        let queued = as_owner(config_owner()?, || run("SELECT EXISTS (SELECT FROM rag._queue)", &[]))?;
        Ok(queued.boolean(0, 0) == Some(true) || has_jobs()?)
    };
    in_transaction(|| with_safe_search_path(|| connect(look)))
}
