//! Wakes the database's workers when a transaction commits that has created work for them.

use crate::processes::place::Place;
use crate::processes::slots;
use pgrx::{PgXactCallbackEvent, register_xact_callback};
use ragstone_pg::transactions::{SubtransactionEnd, current_subtransaction, on_subtransaction_end};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Once;

thread_local! {
    /// The wakeups of the transaction, each with the number of the subtransaction that created the work.
    static PENDING_WAKEUPS: RefCell<HashMap<Wakeup, u32>> = RefCell::new(HashMap::new());

    /// True if the callbacks for the end of the transaction are registered.
    static IS_REGISTERED: Cell<bool> = const { Cell::new(false) };

    /// True if the transaction has added to the log.
    static HAS_LOGGED: Cell<bool> = const { Cell::new(false) };
}

/// A reason to wake a worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Wakeup {
    /// A collection's source has changed.
    Collection(i64),
    /// A text index has a new segment.
    Segment,
    /// A job was submitted.
    Job(i64),
}

/// Wakes the worker that indexes at commit, for changes queued for a collection.
pub fn collection_at_commit(collection: i64) {
    add(Wakeup::Collection(collection));
}

/// Wakes the worker that indexes at commit, for a segment that may have to be merged with others.
pub fn segment_at_commit() {
    add(Wakeup::Segment);
}

/// Wakes the coordinator at commit, for a job.
pub fn job_at_commit(job: i64) {
    add(Wakeup::Job(job));
}

/// Ensures at commit that there is a coordinator, for entries of the log. A running coordinator finds them without being woken.
pub fn log_at_commit() {
    if HAS_LOGGED.replace(true) {
        return;
    }
    register_xact_callback(PgXactCallbackEvent::Commit, || {
        HAS_LOGGED.set(false);
        slots::ensure_after_commit(Place::Coordinator);
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
    // Code that runs after the commit must not allocate or raise, so everything that can fail runs before it.
    register_xact_callback(PgXactCallbackEvent::PreCommit, ensure_if_pending);
    register_xact_callback(PgXactCallbackEvent::PrePrepare, ensure_if_pending);
    register_xact_callback(PgXactCallbackEvent::Commit, || {
        let (has_rows, has_jobs) = (is_pending(Place::FIRST_INDEXER), is_pending(Place::Coordinator));
        clear_pending();
        if has_rows {
            slots::wake_indexer();
        }
        if has_jobs {
            slots::wake_for_jobs();
        }
    });
    register_xact_callback(PgXactCallbackEvent::Prepare, clear_pending);
    register_xact_callback(PgXactCallbackEvent::Abort, clear_pending);
}

impl Wakeup {
    /// The place of the worker that does the work.
    fn place(self) -> Place {
        match self {
            Self::Collection(_) | Self::Segment => Place::FIRST_INDEXER,
            Self::Job(_) => Place::Coordinator,
        }
    }
}

/// True if the worker of a place is to be woken.
fn is_pending(place: Place) -> bool {
    PENDING_WAKEUPS.with_borrow(|pending| pending.keys().any(|wakeup| wakeup.place() == place))
}

fn ensure_if_pending() {
    for place in [Place::FIRST_INDEXER, Place::Coordinator].into_iter().filter(|place| is_pending(*place)) {
        slots::ensure(place);
    }
}

/// Drops the wakeups of a subtransaction that was rolled back.
fn subtransaction_ended(number: u32, end: SubtransactionEnd) {
    PENDING_WAKEUPS.with_borrow_mut(|pending| match end {
        SubtransactionEnd::Released(parent) => {
            pending.values_mut().filter(|by| **by == number).for_each(|by| *by = parent);
        }
        SubtransactionEnd::RolledBack => pending.retain(|_, by| *by != number),
    });
}

/// True if this transaction has queued changes for a collection, which other processes cannot see yet.
pub fn is_collection_pending(collection: i64) -> bool {
    PENDING_WAKEUPS.with_borrow(|pending| pending.contains_key(&Wakeup::Collection(collection)))
}

/// True if this transaction has submitted a job, which other processes cannot see yet.
pub fn is_job_pending(job: i64) -> bool {
    PENDING_WAKEUPS.with_borrow(|pending| pending.contains_key(&Wakeup::Job(job)))
}

/// Drops the transaction's wakeups at its end.
fn clear_pending() {
    IS_REGISTERED.set(false);
    PENDING_WAKEUPS.with_borrow_mut(HashMap::clear);
}
