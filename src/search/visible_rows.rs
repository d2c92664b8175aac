//! The rows of a source that row-level security lets the caller see: their share of all rows, and their
//! chunks if they are few.

use crate::collections::catalog::collection::Collection;
use crate::search::filter::MAX_EXACT_CHUNKS;
use crate::search::key_batch::{KeyBatch, key_at};
use ragstone_pg::error::Result;
use ragstone_pg::estimate::Estimate;
use ragstone_pg::identifier::quoted;
use ragstone_pg::plans::by_index;
use ragstone_pg::relation::has_row_security;
use ragstone_pg::spi::{run_once, select};
use ragstone_pg::switch_user::as_owner;

/// Maximum cost, in the planner's units, of reading the keys of all visible rows. This is about 100 MB of a
/// table that has no index for its policy, which takes tens of milliseconds.
const MAX_COST: f64 = 25_000.0;

/// Time for reading a visible row and comparing its chunk, relative to the time for ranking and looking up a
/// candidate.
const COST_OF_A_ROW: f64 = 0.3;

/// The rows of a source that row-level security lets the caller see.
pub struct VisibleRows<'a> {
    collection: &'a Collection,
    /// The planner's estimate for reading their keys.
    estimate: Estimate,
    /// True if there were too many visible rows to compare all of them.
    are_many: bool,
}

impl<'a> VisibleRows<'a> {
    /// None if no policy applies to the caller.
    pub fn find(collection: &'a Collection) -> Result<Option<Self>> {
        if !has_row_security(collection.source_of_any_owner()?.oid) {
            return Ok(None);
        }
        Ok(Some(Self { collection, estimate: Estimate::of(&keys(collection)?)?, are_many: false }))
    }

    /// The share of the rows that the planner expects to be visible, from 0 to 1.
    pub fn expected_share(&self) -> f64 {
        (self.estimate.rows / self.collection.source_rows.max(1) as f64).clamp(0.0, 1.0)
    }

    /// The chunks of all visible rows, with their lengths in words. None unless comparing all of them is
    /// faster than making rankings of `wanted` visible chunks; `share` is the share of visible rows.
    pub fn few_chunks(&mut self, share: f64, wanted: usize) -> Result<Option<Vec<(i64, u32)>>> {
        let rows = share * self.collection.source_rows.max(1) as f64;
        let candidates = wanted as f64 / share.max(f64::MIN_POSITIVE);
        let is_worth_it = rows <= MAX_EXACT_CHUNKS as f64 && rows * COST_OF_A_ROW <= candidates;
        if !is_worth_it || self.are_many || self.estimate.cost > MAX_COST {
            return Ok(None);
        }
        let chunks = self.chunks()?;
        self.are_many = chunks.is_none();
        Ok(chunks)
    }

    /// The chunks of all visible rows; None if there are too many.
    fn chunks(&self) -> Result<Option<Vec<(i64, u32)>>> {
        let too_many = MAX_EXACT_CHUNKS as usize + 1;
        // The statement is planned anew each time, because the best plan depends on the caller.
        let rows = run_once(&format!("{} LIMIT {too_many}", keys(self.collection)?))?;
        if rows.count >= too_many {
            return Ok(None);
        }
        let keyed = (0..rows.count).filter_map(|row| Some((key_at(&rows, row, 0, self.collection)?, ())));
        let keyed: Vec<_> = keyed.collect();
        let mut chunks = Vec::with_capacity(keyed.len());
        let table = self.collection.chunks()?;
        for batch in KeyBatch::of(keyed) {
            let statement = format!(
                "SELECT c.chunk_id, c.words FROM {} JOIN {} c ON {} LIMIT {too_many}",
                batch.list(),
                table.name,
                batch.is_key_of_chunk(self.collection)?
            );
            let rows = as_owner(table.owner, || by_index(|| select(&statement, &batch.arguments())))?;
            let chunk = |row| Some((rows.int8(row, 0)?, rows.int4(row, 1)?.max(0).unsigned_abs()));
            chunks.extend((0..rows.count).filter_map(chunk));
            if chunks.len() >= too_many {
                return Ok(None);
            }
        }
        Ok(Some(chunks))
    }
}

/// The SELECT statement for the keys of all rows that the caller may see.
fn keys(collection: &Collection) -> Result<String> {
    let columns: Vec<_> = collection.key.iter().map(|column| quoted(column)).collect();
    Ok(format!("SELECT {} FROM {}", columns.join(", "), collection.source_of_any_owner()?.name))
}
