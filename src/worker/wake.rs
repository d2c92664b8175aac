//! What a transaction noted for its database's worker, told to the worker when it commits.

use crate::worker::slots;
use pgrx::{PgXactCallbackEvent, register_xact_callback};
use std::cell::RefCell;
use std::collections::HashSet;

thread_local! {
    /// Collections for which the transaction has noted something.
    static NOTED: RefCell<HashSet<i64>> = RefCell::new(HashSet::new());
}

/// The transaction has noted something for a collection.
pub fn at_commit(collection: i64) {
    let first = NOTED.with_borrow_mut(|noted| {
        let first = noted.is_empty();
        noted.insert(collection);
        first
    });
    if !first {
        return;
    }
    // Nothing may be allocated or raised after the commit: what can fail is done before it.
    register_xact_callback(PgXactCallbackEvent::PreCommit, slots::ensure);
    register_xact_callback(PgXactCallbackEvent::PrePrepare, slots::ensure);
    register_xact_callback(PgXactCallbackEvent::Commit, || {
        forget();
        slots::wake();
    });
    register_xact_callback(PgXactCallbackEvent::Prepare, forget);
    register_xact_callback(PgXactCallbackEvent::Abort, forget);
}

/// Whether the transaction has noted something for a collection, which nobody else can see.
pub fn is_noted(collection: i64) -> bool {
    NOTED.with_borrow(|noted| noted.contains(&collection))
}

fn forget() {
    NOTED.with_borrow_mut(HashSet::clear);
}
