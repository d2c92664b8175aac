//! Kinds of jobs that consist of more than one call of their SQL function. The module that implements such a
//! kind has a handler, which `_PG_init` registers, so that this module depends on none of them.

use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use std::sync::OnceLock;

/// Writes the result of a job, in the open transaction.
pub type WriteResult<'a> = &'a dyn Fn(&Jsonb) -> Result<()>;

/// A kind of job and its implementation. A job may be started again at any time: the handler continues after
/// the committed work.
#[derive(Debug)]
pub struct Handler {
    /// Name of the kind.
    pub kind: &'static str,
    /// The function in the schema `rag` that defines the arguments of such a job, and whose row is its
    /// result.
    pub function: &'static str,
    /// Executes a job with these arguments, in transactions of its own, and writes its result with `done`.
    pub run: fn(job: i64, args: &Jsonb, done: WriteResult) -> Result<()>,
    /// Called when a job has failed or was cancelled, in the transaction that stores the error, as the owner
    /// of the table of jobs.
    pub failed: fn(job: i64, error: &Error) -> Result<()>,
    /// Deletes rows older than `rag.jobs_retention`. Called as the owner of the table of jobs.
    pub forget_old: fn() -> Result<()>,
}

static HANDLERS: OnceLock<&'static [Handler]> = OnceLock::new();

/// Registers all handlers, once in a process.
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
