//! The lower bounds of the queue's entries. Deleted entries stay in the index while a transaction that began
//! earlier is open, for example during a dump of the database. A claim that scanned the index from its start
//! would read more of them each time, so it starts where the previous claim found its first entry.

use ragstone_pg::error::Result;
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::plans::in_index_order;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, run};
use ragstone_pg::switch_user::as_owner;
use std::collections::HashMap;

/// The index is not read from its start for a collection of which this number of entries was deleted. Most
/// collections have fewer entries.
const MIN_DELETED: usize = 1_000;

/// Maximum number of collections that are skipped while the collections with entries are listed. Each takes
/// up to two additional look-ups.
const MAX_SKIPPED: usize = 8;

/// The lower bound for the entries of each collection and kind, if it is known.
#[derive(Default)]
pub struct Floors {
    /// When the whole queue was last read, no entry was below this number.
    floors: HashMap<(i64, bool), i64>,
    /// Number of entries that this process has deleted.
    deleted: HashMap<i64, usize>,
    /// True if the current claim reads all entries.
    are_ignored: bool,
}

impl Floors {
    /// Begins a claim. With `all` the claim reads all entries: numbers are assigned before the commit, so an
    /// entry with a lower number may become visible later.
    pub fn begin_claim(&mut self, all: bool) {
        self.are_ignored = all;
    }

    /// The number of the entry at which to start.
    pub fn get(&self, collection: i64, is_fill: bool) -> i64 {
        if self.are_ignored { 0 } else { self.floors.get(&(collection, is_fill)).copied().unwrap_or(0) }
    }

    /// Sets the lower bound to the first entry that was found; the first column has the entries' numbers.
    /// Without entries the bound stays.
    pub fn learn(&mut self, collection: i64, is_fill: bool, rows: &Rows) {
        if let Some(first) = rows.int8(0, 0) {
            self.floors.insert((collection, is_fill), first);
        }
    }

    /// Counts entries that were processed, nearly all of which were deleted.
    pub fn count_deleted(&mut self, collection: i64, entries: usize) {
        *self.deleted.entry(collection).or_default() += entries;
    }

    /// The numbers of the collections that have entries, in ascending order.
    pub fn queued_collections(&self) -> Result<Vec<i64>> {
        let mut found = Vec::new();
        let mut after = i64::MIN;
        for skipped in self.skipped() {
            append_between(after, skipped, &mut found)?;
            if self.has_entries(skipped)? {
                found.push(skipped);
            }
            after = skipped;
        }
        append_between(after, i64::MAX, &mut found)?;
        Ok(found)
    }

    /// The collections with the most deleted entries, in ascending order.
    fn skipped(&self) -> Vec<i64> {
        if self.are_ignored {
            return Vec::new();
        }
        let mut large: Vec<_> = self.deleted.iter().filter(|(_, deleted)| **deleted >= MIN_DELETED).collect();
        large.sort_unstable_by_key(|(_, deleted)| std::cmp::Reverse(**deleted));
        let mut skipped: Vec<_> =
            large.into_iter().take(MAX_SKIPPED).map(|(collection, _)| *collection).collect();
        skipped.sort_unstable();
        skipped
    }

    fn has_entries(&self, collection: i64) -> Result<bool> {
        for is_fill in [false, true] {
            let arguments =
                [Arg::new(collection), Arg::new(is_fill), Arg::new(self.get(collection, is_fill))];
            let sql = "SELECT FROM rag._queue WHERE collection = $1 AND is_fill = $2 AND id >= $3 LIMIT 1";
            if look(sql, &arguments)?.count > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Appends the collections with entries whose numbers are between `after` and `before`, with one index
/// look-up for each.
fn append_between(mut after: i64, before: i64, found: &mut Vec<i64>) -> Result<()> {
    let sql = "SELECT collection FROM rag._queue WHERE collection > $1 AND collection < $2 ORDER BY collection LIMIT 1";
    while let Some(collection) = look(sql, &[Arg::new(after), Arg::new(before)])?.int8(0, 0) {
        found.push(collection);
        after = collection;
    }
    Ok(())
}

fn look(sql: &str, arguments: &[Arg]) -> Result<Rows> {
    as_owner(config_owner()?, || in_index_order(|| run(sql, arguments)))
}
