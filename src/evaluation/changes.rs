//! Notices that a collection has changed while it was searched.

use crate::collections::catalog::collection::Collection;
use pgrx::PgLogLevel;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{select, with_latest_snapshot};
use ragstone_pg::switch_user::as_owner;

/// The chunk that was inserted last, as the calling statement sees it; None for an empty collection.
pub fn newest_chunk(collection: &Collection) -> Result<Option<i64>> {
    let table = collection.chunks()?;
    let rows = as_owner(table.owner, || {
        select(&format!("SELECT pg_catalog.max(chunk_id) FROM {}", table.name), &[])
    })?;
    Ok(rows.int8(0, 0))
}

/// Says that chunks were inserted by transactions that the calling statement does not see.
pub fn notice_change(collection: &Collection) -> Result<()> {
    if newest_chunk(collection)? != with_latest_snapshot(|| newest_chunk(collection))? {
        Error::information(format!("collection \"{}\" has changed during the evaluation", collection.name))
            .detail("All searches saw it as it was at the beginning of the statement.")
            .notice(PgLogLevel::NOTICE);
    }
    Ok(())
}
