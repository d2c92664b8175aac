//! The tables of the log: whose they are, and the numbers of their rows.

use crate::pg::catalogue::{next_of_ours, owner_of_ours};
use crate::pg::error::Outcome;
use crate::pg::switch_user::as_owner_of_ours;

/// Does `work`, statements on the log's tables that name every object with its schema, as the owner of these.
pub fn as_owner<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    as_owner_of_ours(owner_of_ours(c"_steps")?, work)
}

/// The next run's number. To be called as the owner.
pub fn next_run() -> Outcome<i64> {
    next_of_ours(c"_run_id")
}

/// The next step's number. To be called as the owner.
pub fn next_step() -> Outcome<i64> {
    next_of_ours(c"_step_id")
}
