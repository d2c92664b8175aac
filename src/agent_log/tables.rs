//! Access to the tables of the log as their owner, and the sequences that number their rows.

use crate::agent_log::send;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::{slots, wake};
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::catalogue::{extension_relation_owner, next_in_sequence};
use ragstone_pg::error::Result;
use ragstone_pg::extension::is_installed;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::spi::connect;
use ragstone_pg::switch_user::{as_extension_owner, as_owner as as_role, with_settings};
use ragstone_pg::transactions;
use std::cell::Cell;
use std::ffi::CStr;
use std::time::{Duration, Instant};

/// Interval at which a session that writes checks that its database has a coordinator.
const COORDINATOR_CHECK_INTERVAL: Duration = Duration::from_secs(1);

thread_local! {
    static COORDINATOR_CHECKED_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Makes sure that the database has a coordinator, which creates partitions and adds the entries of this
/// transaction to the reports.
pub fn ensure_coordinator() {
    wake::log_at_commit();
    if COORDINATOR_CHECKED_AT.get().is_none_or(|at| at.elapsed() >= COORDINATOR_CHECK_INTERVAL) {
        COORDINATOR_CHECKED_AT.set(Some(Instant::now()));
        slots::ensure(Place::Coordinator);
    }
}

/// Runs `work` as the owner of the log's tables, in the open transaction. Its statements must name every
/// object with its schema.
pub fn as_owner<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    as_extension_owner(extension_relation_owner(c"_steps")?, work)
}

/// Runs `work` as the owner of the log's tables in a transaction of the coordinator. Waits for no lock longer
/// than `lock_timeout`. Returns None if the extension has been dropped.
pub fn as_log_owner<T>(lock_timeout: &str, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    in_own_transaction(lock_timeout, || {
        with_safe_search_path(|| {
            connect(|| if is_installed()? { as_role(config_owner()?, work).map(Some) } else { Ok(None) })
        })
    })
}

/// Runs `work` in a transaction of the coordinator that waits for no lock longer than `lock_timeout`.
pub fn in_own_transaction<T>(lock_timeout: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    in_transaction(|| with_settings(&[("lock_timeout", lock_timeout)], work))
}

/// The next run's number. Must be called as the owner of the tables.
pub fn next_run() -> Result<i64> {
    next(c"_run_id")
}

/// The next step's number. Must be called as the owner of the tables.
pub fn next_step() -> Result<i64> {
    next(c"_step_id")
}

/// The next number of a sequence. A read-only transaction may log as well, if another transaction writes its
/// entries.
fn next(sequence: &CStr) -> Result<i64> {
    let number = || next_in_sequence(sequence);
    if send::is_autonomous() { transactions::allowing_writes(number) } else { number() }
}

/// A number for a step that is logged later, so that other steps can refer to it as their parent before that.
pub fn reserve() -> Result<i64> {
    as_owner(next_step)
}
