//! Immediate collections: rows are indexed in the transaction that changes them.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::Key;
use crate::collections::indexing::batch::{MAX_BATCH_BYTES, RowBatch};
use crate::collections::indexing::held::HeldEmbeddings;
use crate::collections::indexing::write;
use ragstone_client::engine::client::Pending;
use ragstone_core::protocol::Lane;
use ragstone_pg::error::Result;
use ragstone_pg::spi::connect;

/// Maximum number of embedding requests in flight.
const MAX_REQUESTS: usize = 8;

/// Indexes rows in the transaction that changed them. Returns false if the collection was paused meanwhile, so that
/// the rows have to be queued.
pub fn index_now(collection: &Collection, keys: &[Key]) -> Result<bool> {
    let mut rest: Vec<_> = keys.iter().map(|key| (key.clone(), Vec::new())).collect();
    rest.sort();
    rest.dedup();
    while !rest.is_empty() {
        let mut batch = connect(|| RowBatch::new(collection.clone(), rest))?;
        let later = connect(|| batch.read(MAX_BATCH_BYTES))?;
        batch.begin_cut()?;
        batch.advance_cut(Pending::wait_next)?;
        embed(&mut batch)?;
        write::write(&mut batch)?;
        if batch.collection.is_paused {
            return Ok(false);
        }
        rest = later.into_iter().map(|item| (item.key, item.ids)).collect();
    }
    Ok(true)
}

fn embed(batch: &mut RowBatch) -> Result<()> {
    let held = HeldEmbeddings::default();
    while !batch.is_analysed() {
        batch.analyse_next(&held)?;
    }
    while !batch.is_embedded() {
        while batch.slices.has_waiting() && batch.slices.unanswered() < MAX_REQUESTS {
            batch.send(Lane::Bulk, usize::MAX)?;
        }
        batch.take_embeddings(Pending::wait_next)?;
    }
    batch.spread();
    batch.refused.first().map_or(Ok(()), |(_, error)| Err(error.clone()))
}
