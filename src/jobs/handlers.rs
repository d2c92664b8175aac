//! Kinds of jobs that are no single call of their function. The folder that does such a kind registers its handler when the
//! library is loaded, so that this folder needs to know none of them.

use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use std::sync::OnceLock;

/// Writes down a job's result, in the transaction that is open.
pub type WriteResult<'a> = &'a dyn Fn(&Jsonb) -> Result<()>;

/// How jobs of one kind are done.
#[derive(Debug)]
pub struct Handler {
    /// The kind, as users call it.
    pub kind: &'static str,
    /// Does a job with these arguments, in transactions of its own.
    pub run: fn(job: i64, args: &Jsonb, done: WriteResult) -> Result<()>,
    /// The job ended with this error. Called in the transaction that writes it down, as the owner of the table of jobs.
    pub failed: fn(job: i64, error: &Error) -> Result<()>,
    /// Deletes what is kept longer than `rag.jobs_retention`. Called as the owner of the table of jobs.
    pub forget_old: fn() -> Result<()>,
}

static HANDLERS: OnceLock<&'static [Handler]> = OnceLock::new();

/// Registers all handlers, once for the life of the process.
pub fn register(handlers: &'static [Handler]) {
    let _ = HANDLERS.set(handlers);
}

/// All handlers.
pub fn all() -> impl Iterator<Item = &'static Handler> {
    HANDLERS.get().copied().unwrap_or_default().iter()
}

/// The handler of a kind, if it has one.
pub fn of(kind: &str) -> Option<&'static Handler> {
    all().find(|handler| handler.kind == kind)
}
