//! The tables of the log: whose they are, and the numbers of their rows.

use crate::agent_log::send;
use ragstone_client::processes::{slots, wake};
use ragstone_pg::catalogue::{extension_relation_owner, next_in_sequence};
use ragstone_pg::error::Result;
use ragstone_pg::switch_user::as_extension_owner;
use ragstone_pg::transactions;
use std::cell::Cell;
use std::ffi::CStr;
use std::time::{Duration, Instant};

/// A session that writes looks so often whether its database has a worker, which makes the partitions.
const LOOK: Duration = Duration::from_secs(1);

thread_local! {
    static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Sees to it that somebody makes partitions, and adds to reports what the transaction adds to the log.
pub fn ensure_worker() {
    wake::log_at_commit();
    if LOOKED.get().is_none_or(|at| at.elapsed() >= LOOK) {
        LOOKED.set(Some(Instant::now()));
        slots::ensure();
    }
}

/// Does `work`, statements on the log's tables that name every object with its schema, as the owner of these.
pub fn as_owner<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    as_extension_owner(extension_relation_owner(c"_steps")?, work)
}

/// The next run's number. To be called as the owner.
pub fn next_run() -> Result<i64> {
    next(c"_run_id")
}

/// The next step's number. To be called as the owner.
pub fn next_step() -> Result<i64> {
    next(c"_step_id")
}

/// A transaction that reads only may log what another one writes.
fn next(sequence: &CStr) -> Result<i64> {
    let number = || next_in_sequence(sequence);
    if send::is_autonomous() { transactions::allowing_writes(number) } else { number() }
}

/// A number for a step that is logged later, and that other steps are already parts of.
pub fn reserve() -> Result<i64> {
    as_owner(next_step)
}
