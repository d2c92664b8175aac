//! Takes work from the queue. A session advisory lock claims the key of a row, so that two workers never process the
//! same row, and a claim ends with the process that made it.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::{Key, fits};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::spi::{Arg, Rows, run};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::transactions::wait_for_invalidation;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Number of queue entries that one claim considers.
const QUEUE_WINDOW_ROWS: i32 = 512;

/// Maximum number of source rows in one batch.
const MAX_BATCH_ROWS: usize = 128;

/// Time after which a postponed queue entry is tried again, because another transaction was changing its row.
const POSTPONE_TIME: Duration = Duration::from_millis(100);

/// Time between checks whether a restore has completed a collection.
const RESTORE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Work that a worker has claimed.
pub enum Claim {
    /// These rows have changed, each with its queue entries; the advisory locks that were taken.
    Rows(Collection, Vec<(Key, Vec<i64>)>, Vec<i64>),
    /// All rows are to be compared; the queue entries that ask for it.
    All(Collection, Vec<i64>),
    /// Queue entries of a collection that was dropped.
    Orphans(Vec<i64>),
}

/// What this worker is processing, and what it leaves alone for now.
#[derive(Default)]
pub struct InFlight {
    /// Queue entries in progress.
    pub ids: HashSet<i64>,
    /// Source rows in progress.
    pub keys: HashSet<(i64, Key)>,
    /// Rows that get a batch of their own, because a batch with them failed.
    pub alone: HashSet<(i64, Key)>,
    /// Collections that are paused, and until when.
    pub paused: HashMap<i64, Instant>,
    /// Queue entries that are postponed, and until when.
    postponed: HashMap<i64, Instant>,
    /// The queue had no entry below this number when all of it was last read.
    floor: i64,
}

impl InFlight {
    /// Claims work, the oldest first. With `all`, the whole queue is read: numbers are assigned before a commit, so
    /// that a lower one may appear later.
    pub fn claim(&mut self, all: bool) -> Result<Option<Claim>> {
        let now = Instant::now();
        self.postponed.retain(|_, until| *until > now);
        self.paused.retain(|_, until| *until > now);
        if let Some(claim) = self.claim_failed()? {
            return Ok(Some(claim));
        }
        let floor = if all { 0 } else { self.floor };
        let busy = Arg::int8s(self.ids.iter().chain(self.postponed.keys()).copied());
        let paused = Arg::int8s(self.paused.keys().copied());
        let rows = as_owner(config_owner()?, || {
            run(
                "SELECT id, collection, key, writer FROM rag._queue
                 WHERE id >= $1 AND id <> ALL ($2) AND collection <> ALL ($3)
                 ORDER BY id LIMIT $4",
                &[Arg::new(floor), busy, paused, Arg::new(QUEUE_WINDOW_ROWS)],
            )
        })?;
        if let Some(first) = rows.int8(0, 0) {
            self.floor = self.ids.iter().copied().fold(first, i64::min);
        }
        let writers: HashSet<i64> = (0..rows.count).filter_map(|row| rows.int8(row, 3)).collect();
        writers.into_iter().for_each(wait_for_invalidation);
        self.choose(&rows)
    }

    /// Leaves queue entries alone for [`POSTPONE_TIME`].
    pub fn postpone(&mut self, ids: impl IntoIterator<Item = i64>) {
        let until = Instant::now() + POSTPONE_TIME;
        self.postponed.extend(ids.into_iter().map(|id| (id, until)));
    }

    /// When the first paused collection or postponed entry is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.postponed.values().chain(self.paused.values()).min().copied()
    }

    fn choose(&mut self, rows: &Rows) -> Result<Option<Claim>> {
        let Some(id) = rows.int8(0, 1) else { return Ok(None) };
        let of_it = |row: &usize| rows.int8(*row, 1) == Some(id);
        let Some(collection) = Collection::find_by_id(id)?.filter(|found| found.source.is_some()) else {
            let ids = (0..rows.count).filter(of_it).filter_map(|row| rows.int8(row, 0)).collect();
            return Ok(Some(Claim::Orphans(ids)));
        };
        if collection.is_restoring() {
            self.paused.insert(id, Instant::now() + RESTORE_CHECK_INTERVAL);
            return self.claim(false);
        }
        let compare: Vec<i64> = (0..rows.count)
            .filter(of_it)
            .filter(|row| rows.datum(*row, 2).is_none())
            .filter_map(|row| rows.int8(row, 0))
            .collect();
        if !compare.is_empty() {
            return Ok(Some(Claim::All(collection, compare)));
        }
        // A key may be older than a restore that changed the collection's key. Such a collection is compared anyway.
        let unfit: Vec<i64> = (0..rows.count)
            .filter(of_it)
            .filter(|row| rows.texts(*row, 2).is_none_or(|key| !fits(&collection, &key)))
            .filter_map(|row| rows.int8(row, 0))
            .collect();
        if !unfit.is_empty() {
            return Ok(Some(Claim::Orphans(unfit)));
        }
        let mut wanted: Vec<(Key, Vec<i64>)> = Vec::new();
        let mut places: HashMap<Key, usize> = HashMap::new();
        for row in (0..rows.count).filter(of_it) {
            let (Some(number), Some(key)) = (rows.int8(row, 0), rows.texts(row, 2)) else { continue };
            match places.get(&key) {
                Some(place) => wanted[*place].1.push(number),
                None if wanted.len() < MAX_BATCH_ROWS && self.is_free(id, &key, wanted.is_empty()) => {
                    places.insert(key.clone(), wanted.len());
                    let alone = self.alone.contains(&(id, key.clone()));
                    wanted.push((key, vec![number]));
                    if alone {
                        break;
                    }
                }
                None => {}
            }
        }
        self.lock(collection, wanted)
    }

    fn is_free(&self, collection: i64, key: &Key, first: bool) -> bool {
        let place = (collection, key.clone());
        !self.keys.contains(&place) && (first || !self.alone.contains(&place))
    }

    /// Claims a row that failed and is due for another try.
    fn claim_failed(&mut self) -> Result<Option<Claim>> {
        let rows = as_owner(config_owner()?, || {
            run(
                "SELECT collection, key FROM rag._failure
                 WHERE retry_at <= clock_timestamp() AND collection <> ALL ($1) ORDER BY retry_at LIMIT 16",
                &[Arg::int8s(self.paused.keys().copied())],
            )
        })?;
        for row in 0..rows.count {
            let (Some(id), Some(key)) = (rows.int8(row, 0), rows.texts(row, 1)) else { continue };
            if self.keys.contains(&(id, key.clone())) {
                continue;
            }
            let usable =
                |found: &Collection| found.source.is_some() && !found.is_restoring() && fits(found, &key);
            let Some(collection) = Collection::find_by_id(id)?.filter(usable) else {
                continue;
            };
            self.alone.insert((id, key.clone()));
            if let Some(claim) = self.lock(collection, vec![(key, Vec::new())])? {
                return Ok(Some(claim));
            }
        }
        Ok(None)
    }

    fn lock(&mut self, collection: Collection, wanted: Vec<(Key, Vec<i64>)>) -> Result<Option<Claim>> {
        if wanted.is_empty() {
            return Ok(None);
        }
        let names =
            Arg::texts(wanted.iter().map(|(key, _)| format!("{} {}", collection.id, key.join("\u{1f}"))));
        let rows = run(
            "SELECT place, number, pg_try_advisory_lock(number)
             FROM (SELECT place, hashtextextended('ragstone row ' || name, 0) AS number
                   FROM unnest($1) WITH ORDINALITY t (name, place) OFFSET 0) locks
             ORDER BY place",
            &[names],
        )?;
        let (mut taken, mut locks) = (Vec::new(), Vec::new());
        for (row, (key, ids)) in wanted.into_iter().enumerate() {
            if rows.boolean(row, 2) != Some(true) {
                self.postpone(ids);
                continue;
            }
            locks.push(rows.int8(row, 1).ok_or_else(|| Error::internal("a lock has no number"))?);
            self.ids.extend(ids.iter().copied());
            self.keys.insert((collection.id, key.clone()));
            taken.push((key, ids));
        }
        Ok((!taken.is_empty()).then_some(Claim::Rows(collection, taken, locks)))
    }

    /// Ends the processing of a row, whether it succeeded or not.
    pub fn release(&mut self, collection: i64, key: &Key, ids: &[i64]) {
        self.keys.remove(&(collection, key.clone()));
        for id in ids {
            self.ids.remove(id);
        }
    }
}

/// Releases advisory locks.
pub fn unlock(locks: &[i64]) -> Result<()> {
    if !locks.is_empty() {
        run(
            "SELECT pg_advisory_unlock(number) FROM unnest($1) number",
            &[Arg::int8s(locks.iter().copied())],
        )?;
    }
    Ok(())
}
