//! How a database's worker leaves, and what it must not leave behind.

use crate::agent_log::{has_entries_left, has_steps_left};
use crate::call_log::has_calls_left;
use crate::jobs::has_jobs;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::error::Result;
use ragstone_pg::extension::is_installed;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::spi::{connect, run};
use ragstone_pg::switch_user::as_owner;

/// Why a worker leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The extension has gone, or somebody wants the database for himself.
    ForGood,
    /// There was nothing to do for long.
    Idle,
    /// Another database waits for a worker.
    ForOthers,
    /// As before, and something here has to be tried again.
    Unfinished,
}

/// Whether something is noted for a database's worker, or will be as soon as it is written down.
pub fn has_work_left(database: u32) -> bool {
    has_mail_left(database) || has_steps_left() || has_rows_left().unwrap_or(false)
}

/// Whether there is mail of a database that is not written down, or will be.
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
