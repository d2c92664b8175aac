//! Writes a batch into the collection's tables and removes it from the queue, in one transaction.

use crate::collections::catalog::collection::{Collection, Sync, TableUse};
use crate::collections::catalog::keys::{Key, KeyColumns};
use crate::collections::indexing::batch::{QueuedRow, RowBatch, RowStatus};
use crate::collections::indexing::index_changes::IndexChanges;
use crate::collections::indexing::passage::Passage;
use crate::collections::indexing::stages::{Stage, timed};
use crate::collections::indexing::store::store;
use crate::collections::queue;
use crate::collections::queue::failure;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::plans::by_index;
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, connect, run};
use std::collections::HashSet;

/// Result of writing a batch.
#[derive(Debug, Default)]
pub struct WriteCounts {
    /// Number of source rows that are up to date.
    pub rows: usize,
    /// Number of segments added to the text index.
    pub segments: usize,
    /// Rows that another transaction is changing or has changed, or all rows if the collection is paused. They stay
    /// in the queue.
    pub postponed: Vec<QueuedRow>,
}

/// Writes a batch. A row that has changed since it was read, or that another transaction is changing, is
/// postponed; a row that the model refused is recorded as failed.
pub fn write(batch: &mut RowBatch) -> Result<WriteCounts> {
    let found = connect(|| Collection::find_to_use(batch.collection.id, Some(TableUse::Writing)))?;
    let Some(collection) = found else { return Ok(WriteCounts::default()) };
    let finds_others = !collection.finds_words_as(&batch.collection);
    batch.collection = collection;
    if batch.collection.is_paused {
        return Ok(WriteCounts { postponed: batch.items.clone(), ..WriteCounts::default() });
    }
    batch.keys = connect(|| KeyColumns::of(&batch.collection))?;
    if finds_others {
        batch.analyse_again()?;
    }
    let stale = |item: &QueuedRow| matches!(item.status, RowStatus::Stale(_));
    let unchanged: HashSet<usize> = timed(Stage::Lock, || connect(|| lock_unchanged(batch)))?;
    let mut changes = IndexChanges::default();
    let replaced: Vec<&Key> = unchanged.iter().map(|place| &batch.items[*place].key).collect();
    timed(Stage::Store, || connect(|| delete_chunks(batch, &replaced, false, &mut changes)))?;
    let gone: Vec<&Key> =
        batch.items.iter().filter(|item| item.status == RowStatus::Missing).map(|item| &item.key).collect();
    connect(|| delete_chunks(batch, &gone, true, &mut changes))?;
    timed(Stage::Store, || store_passages(batch, &unchanged, &mut changes))?;
    let segments = timed(Stage::Terms, || changes.write(&batch.collection))?;

    let (mut done, mut postponed) = (Vec::new(), Vec::new());
    for (place, item) in batch.items.iter().enumerate() {
        if stale(item) && !unchanged.contains(&place) {
            postponed.push(item.clone())
        } else if item.status != RowStatus::Refused {
            done.push(item)
        }
    }
    let ids: Vec<i64> = done.iter().flat_map(|item| item.ids.iter().copied()).collect();
    for (place, error) in &batch.refused {
        let item = &batch.items[*place];
        failure::record(batch.collection.id, &item.key, &item.ids, error)?;
    }
    timed(Stage::Done, || {
        connect(|| {
            failure::clear_failures(batch.collection.id, done.iter().map(|item| &item.key))?;
            queue::delete(batch.collection.id, &ids)
        })
    })?;
    Ok(WriteCounts { rows: done.len(), segments, postponed })
}

/// Indexes of the rows that have not changed since they were read. They are locked against deletion until the
/// transaction ends. In an immediate collection they are also locked against updates, because a writer
/// updates the chunks together with the content.
fn lock_unchanged(batch: &RowBatch) -> Result<HashSet<usize>> {
    let (collection, keys) = (&batch.collection, &batch.keys);
    let stale = batch.items.iter().enumerate().filter_map(|(place, item)| match &item.status {
        RowStatus::Stale(hash) => Some((place, &item.key, hash.as_slice())),
        _ => None,
    });
    let stale: Vec<_> = stale.collect();
    if stale.is_empty() {
        return Ok(HashSet::new());
    }
    let lock = match (collection.source_kind.as_deref(), collection.sync) {
        (Some("r" | "p"), Sync::Immediate) => "FOR SHARE OF s SKIP LOCKED",
        (Some("r" | "p"), _) => "FOR KEY SHARE OF s SKIP LOCKED",
        _ => "",
    };
    let statement = collection.select_unchanged(keys, lock)?;
    let mut arguments = keys.arguments(stale.iter().map(|(_, key, _)| *key));
    arguments.push(Arg::byteas(stale.iter().map(|(_, _, hash)| *hash)));
    let rows = as_source_owner(collection.source()?.owner, || by_index(|| run(&statement, &arguments)))?;
    let place = |row| Some(stale.get(rows.int8(row, 0)? as usize - 1)?.0);
    Ok((0..rows.count).filter_map(place).collect())
}

/// Deletes the chunks of rows; with `gone`, only of rows that do not exist.
fn delete_chunks(batch: &RowBatch, keys: &[&Key], gone: bool, changes: &mut IndexChanges) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let statement = batch.collection.delete_keyed(&batch.keys, gone)?;
    let arguments = batch.keys.arguments(keys.iter().copied());
    let rows: Rows =
        as_source_owner(batch.collection.chunks()?.owner, || by_index(|| run(&statement, &arguments)))?;
    changes.count_deleted(&rows);
    Ok(())
}

fn store_passages(batch: &RowBatch, unchanged: &HashSet<usize>, changes: &mut IndexChanges) -> Result<()> {
    let wanted = batch.passages.iter().filter(|(passage, _)| unchanged.contains(&passage.row.place));
    let embedded: Vec<(&Passage, &[f32])> = wanted
        .map(|(passage, embedding)| {
            let embedding =
                embedding.as_deref().ok_or_else(|| Error::internal("a passage has no embedding"))?;
            Ok((passage, embedding))
        })
        .collect::<Result<_>>()?;
    store(&batch.collection, &batch.collection.fingerprint, &embedded, changes)
}
