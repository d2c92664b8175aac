//! What a transaction noted for its database's worker, told to the worker when it commits.

use crate::processes::slots;
use pgrx::{PgXactCallbackEvent, register_xact_callback};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;

thread_local! {
    /// What the transaction has noted.
    static NOTED: RefCell<HashSet<Note>> = RefCell::new(HashSet::new());

    /// Whether it has added to the log.
    static LOGGED: Cell<bool> = const { Cell::new(false) };
}

/// Work for the worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Note {
    /// Something has changed in a collection's source.
    Collection(i64),
    /// A job was submitted.
    Job(i64),
}

/// The transaction has noted something for a collection.
pub fn at_commit(collection: i64) {
    note(Note::Collection(collection));
}

/// The transaction has submitted a job.
pub fn job_at_commit(job: i64) {
    note(Note::Job(job));
}

/// The transaction has added to the log. A worker that is there looks for that by itself.
pub fn log_at_commit() {
    if LOGGED.replace(true) {
        return;
    }
    register_xact_callback(PgXactCallbackEvent::Commit, || {
        LOGGED.set(false);
        slots::ensure_after_commit();
    });
    register_xact_callback(PgXactCallbackEvent::Prepare, || LOGGED.set(false));
    register_xact_callback(PgXactCallbackEvent::Abort, || LOGGED.set(false));
}

fn note(note: Note) {
    let first = NOTED.with_borrow_mut(|noted| {
        let first = noted.is_empty();
        noted.insert(note);
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
    NOTED.with_borrow(|noted| noted.contains(&Note::Collection(collection)))
}

/// Whether the transaction has submitted a job, which nobody else can see.
pub fn is_job_noted(job: i64) -> bool {
    NOTED.with_borrow(|noted| noted.contains(&Note::Job(job)))
}

fn forget() {
    NOTED.with_borrow_mut(HashSet::clear);
}
