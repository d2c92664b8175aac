//! Wakes the database's worker when a transaction commits that has made work for it.

use crate::processes::slots;
use pgrx::{PgXactCallbackEvent, register_xact_callback};
use ragstone_pg::transactions::{SubtransactionEnd, current_subtransaction, on_subtransaction_end};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Once;

thread_local! {
    /// What the transaction will wake the worker for, each with the number of the subtransaction that made it work to do.
    static PENDING_WAKEUPS: RefCell<HashMap<Wakeup, u32>> = RefCell::new(HashMap::new());

    /// Whether the callbacks of the transaction's end are registered.
    static IS_REGISTERED: Cell<bool> = const { Cell::new(false) };

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
    static ONCE: Once = Once::new();
    ONCE.call_once(|| on_subtransaction_end(subtransaction_ended));
    let subtransaction = current_subtransaction();
    PENDING_WAKEUPS.with_borrow_mut(|pending| *pending.entry(wakeup).or_insert(subtransaction));
    if IS_REGISTERED.replace(true) {
        return;
    }
    // Code after the commit must not allocate or raise, so what can fail runs before it.
    register_xact_callback(PgXactCallbackEvent::PreCommit, ensure_if_pending);
    register_xact_callback(PgXactCallbackEvent::PrePrepare, ensure_if_pending);
    register_xact_callback(PgXactCallbackEvent::Commit, || {
        let has_jobs = has_pending_jobs();
        if clear_pending() {
            slots::wake(has_jobs);
        }
    });
    register_xact_callback(PgXactCallbackEvent::Prepare, || _ = clear_pending());
    register_xact_callback(PgXactCallbackEvent::Abort, || _ = clear_pending());
}

fn has_pending_jobs() -> bool {
    PENDING_WAKEUPS.with_borrow(|pending| pending.keys().any(|wakeup| matches!(wakeup, Wakeup::Job(_))))
}

fn ensure_if_pending() {
    if PENDING_WAKEUPS.with_borrow(|pending| !pending.is_empty()) {
        slots::ensure();
    }
}

/// Forgets what a subtransaction did if it was rolled back.
fn subtransaction_ended(number: u32, end: SubtransactionEnd) {
    PENDING_WAKEUPS.with_borrow_mut(|pending| match end {
        SubtransactionEnd::Released(parent) => {
            pending.values_mut().filter(|by| **by == number).for_each(|by| *by = parent);
        }
        SubtransactionEnd::RolledBack => pending.retain(|_, by| *by != number),
    });
}

/// Whether this transaction has queued changes for a collection, which no other process can see yet.
pub fn is_collection_pending(collection: i64) -> bool {
    PENDING_WAKEUPS.with_borrow(|pending| pending.contains_key(&Wakeup::Collection(collection)))
}

/// Whether this transaction has submitted a job, which no other process can see yet.
pub fn is_job_pending(job: i64) -> bool {
    PENDING_WAKEUPS.with_borrow(|pending| pending.contains_key(&Wakeup::Job(job)))
}

/// Forgets the transaction's wakeups when it has ended. Returns whether there were any.
fn clear_pending() -> bool {
    IS_REGISTERED.set(false);
    PENDING_WAKEUPS.with_borrow_mut(|pending| {
        let any = !pending.is_empty();
        pending.clear();
        any
    })
}
