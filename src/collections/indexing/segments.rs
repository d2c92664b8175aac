//! The segments of a collection's text index: listing, counting and merging them.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::index_changes::NewPages;
use ragstone_core::text_index::header::FORMAT;
use ragstone_core::text_index::merge::merge;
use ragstone_core::text_index::rank::TextIndex;
use ragstone_core::text_index::worthwhile::{WORTHWHILE_SEGMENTS, are_many_deleted, worthwhile_segments};
use ragstone_core::text_index::{PageReader, Segment};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_lock::OwnLock;
use ragstone_pg::page_table::{PageTable, ReadAt};
use ragstone_pg::plans::by_index;
use ragstone_pg::spi::{Arg, connect, run, select};
use ragstone_pg::switch_user::as_owner;
use std::collections::HashSet;

/// Number of chunks that one statement looks up.
const LOOKED_UP: usize = 10_000;

/// Which segments to merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeExtent {
    /// All segments.
    All,
    /// The segments that are worth merging.
    Worthwhile,
}

/// Opens the text index of a collection, as the transaction sees it. The caller must have the rights of the
/// tables' owner.
///
/// # Errors
/// XX001 if the index is damaged.
pub fn open_index(collection: &Collection, at: ReadAt) -> Result<TextIndex<PageTable>> {
    let numbers = numbers(collection, at)?;
    TextIndex::open(PageTable::open(collection.terms()?.oid, at)?, numbers)
        .map_err(|error| index_error(collection, error))
}

/// Adds the name of the collection to an error of its text index.
pub fn index_error(collection: &Collection, error: Error) -> Error {
    error.with_fact(format!("The text index belongs to collection \"{}\".", collection.name))
}

fn numbers(collection: &Collection, at: ReadAt) -> Result<Vec<i64>> {
    let statement = format!("SELECT segment FROM {} WHERE page = 0", collection.terms()?.name);
    let rows = by_index(|| if at == ReadAt::Now { run(&statement, &[]) } else { select(&statement, &[]) })?;
    Ok((0..rows.count).filter_map(|row| rows.int8(row, 0)).collect())
}

impl Collection {
    /// Stores the numbers of rows and chunks that the text index counts.
    pub fn count(&mut self) -> Result<()> {
        let owner = self.terms()?.owner;
        let counts = connect(|| as_owner(owner, || Ok::<_, Error>(open_index(self, ReadAt::Now)?.counts())))?;
        (self.source_rows, self.chunk_count) = (counts.rows, counts.chunks);
        Ok(())
    }
}

/// True if a collection has segments of an older format, which cannot be read. The caller must have the
/// rights of the tables' owner.
pub fn has_older_format(collection: &Collection) -> Result<bool> {
    // Page 0 of a segment begins with one byte, the format's number.
    let statement = format!(
        "SELECT EXISTS (SELECT FROM {} WHERE page = 0 AND data < decode('{FORMAT:02x}', 'hex') AND data <> '')",
        collection.terms()?.name
    );
    let rows = by_index(|| run(&statement, &[]))?;
    Ok(rows.boolean(0, 0) == Some(true))
}

/// True if a collection may have segments that are worth merging: it has enough segments or enough deleted
/// chunks, or segments of an older format.
pub fn may_have_worthwhile_segments(collection: &Collection) -> Result<bool> {
    let terms = collection.terms()?;
    let statement = format!("SELECT FROM {} WHERE page = 0 LIMIT {}", terms.name, WORTHWHILE_SEGMENTS);
    as_owner(terms.owner, || {
        if has_older_format(collection)? {
            return Ok(true);
        }
        let segments = by_index(|| run(&statement, &[]))?.count;
        // A transaction that deletes chunks of a segment adds another segment, so a single one has none deleted.
        if segments < 2 || segments == WORTHWHILE_SEGMENTS {
            return Ok(segments == WORTHWHILE_SEGMENTS);
        }
        let index = open_index(collection, ReadAt::Now)?;
        Ok(are_many_deleted(index.chunks().0, index.counts().chunks))
    })
}

fn merge_lock(collection: &Collection) -> OwnLock {
    OwnLock::new("segments", collection.id)
}

/// Waits until no other session merges segments of a collection, and prevents merges by others until the
/// transaction ends.
pub fn keep_others_from_merging(collection: &Collection) {
    merge_lock(collection).wait_for_transaction();
}

/// Merges segments of a collection. Does nothing if another session is merging them.
pub fn merge_segments(collection: &Collection, extent: MergeExtent) -> Result<()> {
    if !merge_lock(collection).try_for_transaction() {
        return Ok(());
    }
    connect(|| as_owner(collection.terms()?.owner, || merge_some(collection, extent)))
}

fn merge_some(collection: &Collection, extent: MergeExtent) -> Result<()> {
    let index = open_index(collection, ReadAt::Now)?;
    let mut segments = index.segments().to_vec();
    segments.sort_by_key(|segment| segment.header.docs);
    let merged = match extent {
        MergeExtent::All => segments.len(),
        MergeExtent::Worthwhile => worthwhile(&index, &segments),
    };
    segments.truncate(merged);
    let is_clean = index.counts().chunks.unsigned_abs() == index.chunks().0;
    if merged == 0 || (merged == 1 && is_clean) {
        return Ok(());
    }
    drop(index);
    let mut pages = NewPages::new(collection)?;
    let mut reader = PageReader::new(PageTable::open(collection.terms()?.oid, ReadAt::Now)?);
    let is_there = |chunks: &[i64]| are_there(collection, chunks);
    merge(&segments, &mut reader, is_there, |page, bytes| pages.add(page, bytes))
        .map_err(|error| index_error(collection, error))?;
    pages.write()?;
    let statement = format!("DELETE FROM {} WHERE segment = ANY ($1)", collection.terms()?.name);
    by_index(|| run(&statement, &[Arg::int8s(segments.iter().map(|segment| segment.number))]))?;
    Ok(())
}

/// The number of segments, from the smallest on, that are worth merging.
fn worthwhile(index: &TextIndex<PageTable>, segments: &[Segment]) -> usize {
    if are_many_deleted(index.chunks().0, index.counts().chunks) {
        return segments.len();
    }
    let docs: Vec<u64> = segments.iter().map(|segment| u64::from(segment.header.docs)).collect();
    worthwhile_segments(&docs)
}

/// For each of these chunks, true if it still exists.
fn are_there(collection: &Collection, chunks: &[i64]) -> Result<Vec<bool>> {
    let statement = format!("SELECT chunk_id FROM {} WHERE chunk_id = ANY ($1)", collection.chunks()?.name);
    let mut are_there = Vec::with_capacity(chunks.len());
    for slice in chunks.chunks(LOOKED_UP) {
        let rows = by_index(|| run(&statement, &[Arg::int8s(slice.iter().copied())]))?;
        let found: HashSet<i64> = (0..rows.count).filter_map(|row| rows.int8(row, 0)).collect();
        are_there.extend(slice.iter().map(|chunk| found.contains(chunk)));
    }
    Ok(are_there)
}
