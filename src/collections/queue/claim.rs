//! Claims work from the queue. Collections take turns. A session lock claims the key of a row, so that two
//! workers never process the same row, and a claim ends with the process that made it.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::{Key, PartialKey, fits};
use crate::collections::queue::Cause;
use crate::collections::queue::floors::Floors;
use pgrx::pg_sys::Oid;
use ragstone_pg::error::Result;
use ragstone_pg::own_lock::OwnLock;
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::plans::in_index_order;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, run};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::transactions::wait_for_invalidation;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

/// Number of queue entries that one claim considers, in addition to those in progress.
const QUEUE_WINDOW_ROWS: usize = 512;

/// Maximum number of source rows in one batch.
const MAX_BATCH_ROWS: usize = 128;

/// Time until a queue entry is tried again that was postponed because another transaction was changing its
/// row.
const POSTPONE_TIME: Duration = Duration::from_millis(100);

/// Time between two checks whether a restore has completed a collection, or whether its new owner has
/// accepted it.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Rows that failed before go last, but after this number of claims one of them has its turn.
const CLAIMS_PER_RETRY: u32 = 8;

/// Rows that failed and are due: some of each collection that is not excluded, so that rows of one collection
/// cannot hide those of others.
const DUE_FAILURES: &str = "
    SELECT f.collection, f.key FROM rag.collection c
    CROSS JOIN LATERAL (
      SELECT collection, key, retry_at FROM rag._failure
      WHERE collection = c.id AND retry_at IS NOT NULL AND retry_at <= clock_timestamp() ORDER BY retry_at LIMIT 16) f
    WHERE c.id <> ALL ($1) AND c.paused_at IS NULL ORDER BY f.retry_at";

/// Work that a worker has claimed.
pub enum Claim {
    /// Rows to index, each with its queue entries; the locks that were taken; why the rows are queued.
    Rows(Collection, Vec<(Key, Vec<i64>)>, Vec<OwnLock>, Cause),
    /// A comparison of all rows; the queue entries that request it.
    All(Collection, Vec<i64>),
    /// Keys that contain a NULL, whose rows must be listed as failed; their queue entries.
    Keyless(Collection, BTreeSet<PartialKey>, Vec<i64>),
    /// Queue entries that will not be indexed, with the collection's number: the collection was dropped, or
    /// the keys do not match its key columns.
    Orphans(i64, Vec<i64>),
}

/// The work of this worker that is in progress, and the work that it postpones.
#[derive(Default)]
pub struct InFlight {
    /// Queue entries in progress.
    ids: HashSet<i64>,
    /// Source rows in progress.
    keys: HashSet<(i64, Key)>,
    /// For each row of a batch that failed: the maximum number of rows in its next batch.
    batch_limits: HashMap<(i64, Key), usize>,
    /// Collections that are paused, and until when.
    pub paused: HashMap<i64, Instant>,
    /// Collections that wait for their providers.
    pub held_back: HashSet<i64>,
    /// Roles whose collections are left alone because several of them have held up the worker, and until
    /// when.
    resting_owners: HashMap<Oid, Instant>,
    /// Collections that are left alone for that reason and are not yet shown as waiting, and until when.
    pub left_alone: HashMap<i64, Instant>,
    /// The owners of the collections that have had a turn.
    owners: HashMap<i64, Oid>,
    /// Queue entries that are postponed, and until when.
    postponed: HashMap<i64, Instant>,
    floors: Floors,
    /// The collection of the last claim.
    last: i64,
    claims_since_retry: u32,
}

impl InFlight {
    /// Claims work of the next collection in turn. With `all`, the whole queue is read. The collections in
    /// `busy` are skipped.
    pub fn claim(&mut self, all: bool, busy: &[i64]) -> Result<Option<Claim>> {
        let now = Instant::now();
        self.postponed.retain(|_, until| *until > now);
        self.paused.retain(|_, until| *until > now);
        self.resting_owners.retain(|_, until| *until > now);
        self.floors.begin_claim(all);
        if self.claims_since_retry >= CLAIMS_PER_RETRY {
            self.claims_since_retry = 0;
            if let Some(claim) = self.claim_failed()? {
                return Ok(Some(claim));
            }
        }
        for id in self.turns(busy)? {
            if let Some(claim) = self.claim_of(id)? {
                self.last = id;
                self.claims_since_retry += 1;
                return Ok(Some(claim));
            }
        }
        self.claim_failed()
    }

    /// Forgets the limits of failed batches if nothing waits to be tried again: their rows were written or
    /// deleted.
    pub fn forget_failed_batches(&mut self) {
        if self.postponed.is_empty() && self.paused.is_empty() && self.held_back.is_empty() {
            self.batch_limits.clear();
        }
    }

    /// Leaves queue entries alone for [`POSTPONE_TIME`].
    pub fn postpone(&mut self, ids: impl IntoIterator<Item = i64>) {
        self.postpone_until(ids, Instant::now() + POSTPONE_TIME);
    }

    /// Leaves queue entries alone until this time.
    pub fn postpone_until(&mut self, ids: impl IntoIterator<Item = i64>, until: Instant) {
        self.postponed.extend(ids.into_iter().map(|id| (id, until)));
    }

    /// The time at which the first paused collection or postponed entry is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.postponed.values().chain(self.paused.values()).min().copied()
    }

    /// Limits the next batches of these rows to half the size of their last one, because that batch failed.
    pub fn divide(&mut self, collection: i64, items: &[(Key, Vec<i64>)]) {
        let limit = (items.len() / 2).max(1);
        self.batch_limits.extend(items.iter().map(|(key, _)| ((collection, key.clone()), limit)));
        self.postpone(items.iter().flat_map(|(_, ids)| ids.iter().copied()));
    }

    /// True if a batch with the row failed, and the row now gets a batch of its own.
    pub fn is_alone(&self, collection: i64, key: &Key) -> bool {
        self.batch_limits.get(&(collection, key.clone())) == Some(&1)
    }

    /// Lifts the limits of rows that were written.
    pub fn lift_limits<'k>(&mut self, collection: i64, keys: impl Iterator<Item = &'k Key>) {
        if !self.batch_limits.is_empty() {
            for key in keys {
                self.batch_limits.remove(&(collection, key.clone()));
            }
        }
    }

    /// The collections that have queue entries and are neither paused nor busy, beginning after the
    /// collection of the last claim.
    fn turns(&self, busy: &[i64]) -> Result<Vec<i64>> {
        let mut ids = self.floors.queued_collections()?;
        let next = ids.partition_point(|id| *id <= self.last);
        ids.rotate_left(next);
        ids.retain(|id| !self.paused.contains_key(id) && !self.held_back.contains(id) && !busy.contains(id));
        Ok(ids)
    }

    fn claim_of(&mut self, id: i64) -> Result<Option<Claim>> {
        let Some(collection) = Collection::find_by_id(id)?.filter(|found| found.source.is_some()) else {
            let (changes, fills) = (self.read(id, false)?, self.read(id, true)?);
            let ids: Vec<i64> = changes.ids().chain(fills.ids()).collect();
            return Ok((!ids.is_empty()).then_some(Claim::Orphans(id, ids)));
        };
        if collection.is_restoring() || collection.is_given_away() {
            self.paused.insert(id, Instant::now() + CHECK_INTERVAL);
            return Ok(None);
        }
        if collection.is_paused || self.rests(&collection) {
            return Ok(None);
        }
        for cause in [Cause::Change, Cause::Fill] {
            let window = self.read(id, cause == Cause::Fill)?;
            if let Some(claim) = self.choose(&collection, &window, cause)? {
                return Ok(Some(claim));
            }
        }
        Ok(None)
    }

    /// Leaves a collection alone if its owner's collections are left alone.
    fn rests(&mut self, collection: &Collection) -> bool {
        let Some(owner) = collection.accepted_owner else { return false };
        self.owners.insert(collection.id, owner);
        let Some(until) = self.resting_owners.get(&owner) else { return false };
        self.paused.insert(collection.id, *until);
        self.left_alone.insert(collection.id, *until);
        true
    }

    /// True if a collection is paused, or if its owner's collections are left alone.
    pub fn rests_now(&self, collection: i64) -> bool {
        let is_ahead = |until: &Instant| *until > Instant::now();
        let owner_rests = |owner| self.resting_owners.get(owner).is_some_and(is_ahead);
        self.paused.get(&collection).is_some_and(is_ahead)
            || self.owners.get(&collection).is_some_and(owner_rests)
    }

    /// True if two collections have the same owner.
    pub fn have_same_owner(&self, first: i64, second: i64) -> bool {
        self.owners.get(&first).is_some_and(|owner| self.owners.get(&second) == Some(owner))
    }

    /// Leaves all collections of this collection's owner alone until this time.
    pub fn rest_owner_of(&mut self, collection: i64, until: Instant) {
        if let Some(owner) = self.owners.get(&collection) {
            self.resting_owners.insert(*owner, until);
        }
    }

    /// The first entries of a collection that are neither in progress nor postponed.
    fn read(&mut self, id: i64, is_fill: bool) -> Result<Window> {
        let floor = self.floors.get(id, is_fill);
        let most = QUEUE_WINDOW_ROWS + self.ids.len() + self.postponed.len();
        let arguments = [Arg::new(id), Arg::new(is_fill), Arg::new(floor), Arg::new(most as i64)];
        let rows = as_owner(config_owner()?, || {
            in_index_order(|| {
                run(
                    "SELECT id, key, writer FROM rag._queue WHERE collection = $1 AND is_fill = $2 AND id >= $3
                     ORDER BY id LIMIT $4",
                    &arguments,
                )
            })
        })?;
        self.floors.learn(id, is_fill, &rows);
        let is_free = |number: i64| !self.ids.contains(&number) && !self.postponed.contains_key(&number);
        let free: Vec<usize> = (0..rows.count)
            .filter(|row| rows.int8(*row, 0).is_some_and(is_free))
            .take(QUEUE_WINDOW_ROWS)
            .collect();
        let writers: HashSet<i64> = free.iter().filter_map(|row| rows.int8(*row, 2)).collect();
        writers.into_iter().for_each(wait_for_invalidation);
        Ok(Window { rows, free })
    }

    fn choose(&mut self, collection: &Collection, window: &Window, cause: Cause) -> Result<Option<Claim>> {
        let Window { rows, free } = window;
        let numbers = |wanted: &dyn Fn(usize) -> bool| -> Vec<i64> {
            free.iter().filter(|row| wanted(**row)).filter_map(|row| rows.int8(*row, 0)).collect()
        };
        let compare = numbers(&|row| rows.is_null(row, 1));
        if !compare.is_empty() {
            return Ok(Some(Claim::All(collection.clone(), compare)));
        }
        let partial = |row| {
            let key = rows.optional_texts(row, 1)?;
            (key.len() == collection.key.len() && key.contains(&None)).then_some(key)
        };
        let keyless: BTreeSet<_> = free.iter().filter_map(|row| partial(*row)).collect();
        if !keyless.is_empty() {
            let ids = numbers(&|row| partial(row).is_some());
            return Ok(Some(Claim::Keyless(collection.clone(), keyless, ids)));
        }
        // A key may be older than a restore that changed the collection's key. All rows of such a collection
        // are compared anyway.
        let unfit = numbers(&|row| rows.texts(row, 1).is_none_or(|key| !fits(collection, &key)));
        if !unfit.is_empty() {
            return Ok(Some(Claim::Orphans(collection.id, unfit)));
        }
        let mut wanted: Vec<(Key, Vec<i64>)> = Vec::new();
        let mut places: HashMap<Key, usize> = HashMap::new();
        let mut most = MAX_BATCH_ROWS;
        for row in free {
            let (Some(number), Some(key)) = (rows.int8(*row, 0), rows.texts(*row, 1)) else { continue };
            if let Some(place) = places.get(&key) {
                wanted[*place].1.push(number);
                continue;
            }
            let place = (collection.id, key);
            let limit = self.batch_limits.get(&place).copied().unwrap_or(MAX_BATCH_ROWS);
            if wanted.len() < most.min(limit) && !self.keys.contains(&place) {
                most = most.min(limit);
                places.insert(place.1.clone(), wanted.len());
                wanted.push((place.1, vec![number]));
            }
        }
        Ok(self.lock(collection, wanted, cause))
    }

    /// Claims a row that failed and is due for another try.
    fn claim_failed(&mut self) -> Result<Option<Claim>> {
        let rows = as_owner(config_owner()?, || {
            in_index_order(|| {
                let due =
                    "SELECT FROM rag._failure WHERE retry_at <= clock_timestamp() ORDER BY retry_at LIMIT 1";
                if run(due, &[])?.count == 0 {
                    return Ok(None);
                }
                let left_out = self.paused.keys().chain(&self.held_back).copied();
                run(DUE_FAILURES, &[Arg::int8s(left_out)]).map(Some)
            })
        })?;
        let Some(rows) = rows else { return Ok(None) };
        for row in 0..rows.count {
            let (Some(id), Some(key)) = (rows.int8(row, 0), rows.texts(row, 1)) else { continue };
            if self.keys.contains(&(id, key.clone())) {
                continue;
            }
            let usable =
                |found: &Collection| found.source().is_ok() && !found.is_restoring() && fits(found, &key);
            let Some(collection) = Collection::find_by_id(id)?.filter(usable) else {
                continue;
            };
            if self.rests(&collection) {
                continue;
            }
            self.batch_limits.insert((id, key.clone()), 1);
            if let Some(claim) = self.lock(&collection, vec![(key, Vec::new())], Cause::Fill) {
                return Ok(Some(claim));
            }
        }
        Ok(None)
    }

    fn lock(&mut self, collection: &Collection, wanted: Vec<(Key, Vec<i64>)>, cause: Cause) -> Option<Claim> {
        let (mut taken, mut locks) = (Vec::new(), Vec::new());
        for (key, ids) in wanted {
            let lock = OwnLock::new("row", (collection.id, &key));
            if !lock.try_for_session() {
                self.postpone(ids);
                continue;
            }
            locks.push(lock);
            self.ids.extend(ids.iter().copied());
            self.keys.insert((collection.id, key.clone()));
            taken.push((key, ids));
        }
        (!taken.is_empty()).then(|| Claim::Rows(collection.clone(), taken, locks, cause))
    }

    /// Ends the processing of a row, whether it succeeded or not.
    pub fn release(&mut self, collection: i64, key: &Key, ids: &[i64]) {
        self.keys.remove(&(collection, key.clone()));
        self.floors.count_deleted(collection, ids.len());
        for id in ids {
            self.ids.remove(id);
        }
    }
}

/// Some entries of the queue.
struct Window {
    rows: Rows,
    /// Indexes of the entries that are neither in progress nor postponed.
    free: Vec<usize>,
}

impl Window {
    fn ids(&self) -> impl Iterator<Item = i64> {
        self.free.iter().filter_map(|row| self.rows.int8(*row, 0))
    }
}
