//! Rows that a collection lacks, of which a search says so: a user would take their absence for an answer.
//!
//! Beside ordinary writes some rows are always queued for a moment. These are spoken of where nothing was found, and a collection that is
//! not indexing at all in any case.

use crate::collections::catalog::collection::{Collection, Sync};
use crate::collections::queue;
use pgrx::PgLogLevel;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::relation::has_row_security;

/// Whether rows of the source wait to be indexed, or the collection does not follow it. A manual collection follows its source when it is
/// refreshed.
pub fn is_behind(collection: &Collection) -> Result<bool> {
    let follows = collection.filled
        && collection.error.is_none()
        && !collection.is_restoring()
        && !collection.is_given_away();
    Ok(!follows || has_queued(collection)?)
}

/// Says that rows are missing where the collection is filled for the first time, or indexes none now.
pub fn notice_missing(collection: &Collection) -> Result<()> {
    let name = &collection.name;
    let unfinished = |message: String| Error::information(message).hint("rag.collections has its state.");
    let notice = if let Some(error) = &collection.error {
        unfinished(format!("collection \"{name}\" does not follow its source: {error}"))
    } else if collection.is_restoring() {
        unfinished(format!("collection \"{name}\" is being restored from a dump"))
    } else if collection.is_given_away() {
        unfinished(format!(
            "collection \"{name}\" waits until the new owner of its source calls rag.refresh_collection"
        ))
    } else if collection.is_paused && has_queued(collection)? {
        unfinished(format!("collection \"{name}\" is paused and lacks rows that have changed since"))
            .hint("Resume it with rag.resume_collection.")
    } else if let Some(reason) = collection.waits_for.as_ref().filter(|_| collection.sync != Sync::Manual)
        && has_queued(collection)?
    {
        unfinished(format!("collection \"{name}\" lacks rows that wait to be indexed: {reason}"))
    } else if !collection.filled {
        filling(collection)?
    } else {
        return Ok(());
    };
    notice.notice(PgLogLevel::NOTICE);
    Ok(())
}

/// Says that rows are queued, to a caller for whom nothing was found.
pub fn notice_queued(collection: &Collection) -> Result<()> {
    // What has been said already is not said twice.
    if collection.filled && collection.waits_for.is_none() && has_queued(collection)? {
        Error::information(format!("rows of collection \"{}\" wait to be indexed", collection.name))
            .hint("Wait for them with rag.wait_until_current.")
            .notice(PgLogLevel::NOTICE);
    }
    Ok(())
}

fn has_queued(collection: &Collection) -> Result<bool> {
    Ok(collection.sync != Sync::Manual && queue::has_work(collection.id)?)
}

/// A collection in its first fill lacks rows and indexes.
fn filling(collection: &Collection) -> Result<Error> {
    let mut message = format!("collection \"{}\" is being filled", collection.name);
    // To others the number tells of rows that they may not see.
    if !has_row_security(collection.source_of_any_owner()?.oid) {
        let mut counted = collection.clone();
        with_safe_search_path(|| counted.count())?;
        message += &format!(": {} rows are indexed so far", counted.source_rows);
    }
    Ok(Error::information(message).hint("Wait for the others with rag.wait_until_current."))
}
