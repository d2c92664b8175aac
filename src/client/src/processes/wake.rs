//! Wakes the database's worker when a transaction commits that has made work for it.

use crate::processes::slots;
use pgrx::{PgXactCallbackEvent, register_xact_callback};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;

thread_local! {
    /// What the transaction will wake the worker for.
    static PENDING_WAKEUPS: RefCell<HashSet<Wakeup>> = RefCell::new(HashSet::new());

    /// Whether the transaction has added to the log.
    static HAS_LOGGED: Cell<bool> = const { Cell::new(false) };
}

/// A reason to wake the worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Wakeup {
    /// Something has changed in a collection's source.
    Collection(i64),
    /// A job was submitted.
    Job(i64),
}

/// Wakes the worker at commit, for changes queued for a collection.
pub fn collection_at_commit(collection: i64) {
    add(Wakeup::Collection(collection));
}

/// Wakes the worker at commit, for a job.
pub fn job_at_commit(job: i64) {
    add(Wakeup::Job(job));
}

/// Makes sure at commit that there is a worker, for rows of the log. A running worker finds them without being woken.
pub fn log_at_commit() {
    if HAS_LOGGED.replace(true) {
        return;
    }
    register_xact_callback(PgXactCallbackEvent::Commit, || {
        HAS_LOGGED.set(false);
        slots::ensure_after_commit();
    });
    register_xact_callback(PgXactCallbackEvent::Prepare, || HAS_LOGGED.set(false));
    register_xact_callback(PgXactCallbackEvent::Abort, || HAS_LOGGED.set(false));
}

fn add(wakeup: Wakeup) {
    let first = PENDING_WAKEUPS.with_borrow_mut(|pending| {
        let first = pending.is_empty();
        pending.insert(wakeup);
        first
    });
    if !first {
        return;
    }
    // Code after the commit must not allocate or raise, so what can fail runs before it.
    register_xact_callback(PgXactCallbackEvent::PreCommit, slots::ensure);
    register_xact_callback(PgXactCallbackEvent::PrePrepare, slots::ensure);
    register_xact_callback(PgXactCallbackEvent::Commit, || {
        clear_pending();
        slots::wake();
    });
    register_xact_callback(PgXactCallbackEvent::Prepare, clear_pending);
    register_xact_callback(PgXactCallbackEvent::Abort, clear_pending);
}

/// Whether this transaction has queued changes for a collection, which no other process can see yet.
pub fn is_collection_pending(collection: i64) -> bool {
    PENDING_WAKEUPS.with_borrow(|pending| pending.contains(&Wakeup::Collection(collection)))
}

/// Whether this transaction has submitted a job, which no other process can see yet.
pub fn is_job_pending(job: i64) -> bool {
    PENDING_WAKEUPS.with_borrow(|pending| pending.contains(&Wakeup::Job(job)))
}

fn clear_pending() {
    PENDING_WAKEUPS.with_borrow_mut(HashSet::clear);
}
