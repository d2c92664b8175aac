//! Pauses after failures of providers. A failure pauses all collections that it affects: those with the same
//! server, key, model or budget. After the pause one of them sends a batch as a probe, and its outcome counts
//! for all. If a database has several workers, the one that met the failure first holds a lock for the pause,
//! shows which collections wait, and finds out when they can go on; the others leave these collections alone
//! while the lock is held. Before long work the worker releases the lock, and another worker takes over.

use crate::collections::queue::failure;
use pgrx::{log, pg_sys};
use ragstone_core::backoff::Backoff;
use ragstone_pg::blame::{ProviderScope, is_held_up};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::extension::is_installed;
use ragstone_pg::limited_transaction::{Limits, in_limited_transaction};
use ragstone_pg::own_lock::OwnLock;
use ragstone_pg::spi::{connect, run};
use ragstone_pg::switch_user::as_owner;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

/// Pauses after failures that usually pass without intervention.
const PASSING: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// Pauses after failures that seldom pass without intervention. A change of the server, the key or the budget
/// ends them.
const RESTING: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(60));

/// Interval at which collections, servers, keys and budgets are read again during a pause.
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// The pauses of all providers of the database's collections.
#[derive(Default)]
pub struct ProviderPauses {
    /// The pauses by the name of their scope, as given by [`ProviderUser`].
    paused: HashMap<String, ProviderPause>,
    users: HashMap<i64, ProviderUser>,
    read_at: Option<Instant>,
}

/// The properties that a collection's calls to its provider may share with those of other collections.
struct ProviderUser {
    server: String,
    key: String,
    model: String,
    budgets: Vec<String>,
    /// Changes whenever the server, the key or a budget is altered.
    version: String,
}

struct ProviderPause {
    backoff: Backoff,
    until: Instant,
    error: Error,
    /// The collection whose batch is the probe.
    probe: Option<i64>,
    /// The collections that users see as waiting.
    shown: BTreeSet<i64>,
    /// The lock that this worker holds for the pause. None if another worker holds it.
    lock: Option<OwnLock>,
}

impl ProviderPause {
    fn new(backoff: Backoff, error: Error, lock: Option<OwnLock>) -> Self {
        Self { backoff, until: Instant::now(), error, probe: None, shown: BTreeSet::new(), lock }
    }

    /// True if the pause is over, so that a batch may be sent as a probe.
    fn is_open(&self, now: Instant) -> bool {
        self.lock.is_some() && self.probe.is_none() && self.until <= now
    }
}

impl ProviderUser {
    fn name(&self, scope: ProviderScope) -> String {
        match scope {
            ProviderScope::Server => self.server.clone(),
            ProviderScope::Key => self.key.clone(),
            ProviderScope::Model => self.model.clone(),
            ProviderScope::Budget(id) => format!("budget {id}"),
        }
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        [&self.server, &self.key, &self.model].into_iter().chain(&self.budgets)
    }

    fn is_covered_by(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }
}

impl ProviderPauses {
    /// Pauses all collections that a failure of a collection's provider affects. Returns false if the
    /// collection has no provider.
    ///
    /// # Errors
    /// Errors of reading the collections and of storing why they wait.
    pub fn pause(&mut self, collection: i64, scope: ProviderScope, error: &Error) -> Result<bool> {
        self.read()?;
        let Some(user) = self.users.get(&collection) else { return Ok(false) };
        let name = user.name(scope);
        // The collection's probe of other pauses is complete: the new failure replaces theirs.
        self.end(|other, pause| other != name && pause.probe == Some(collection))?;
        let now = Instant::now();
        let backoff = if scope == ProviderScope::Server { PASSING } else { RESTING };
        let known = self.paused.remove(&name);
        let is_news = known
            .as_ref()
            .is_none_or(|pause| (pause.error.code(), &pause.error.message) != (error.code(), &error.message));
        let lock = match known.as_ref().and_then(|pause| pause.lock) {
            Some(lock) => Some(lock),
            None => take_lock(&name)?,
        };
        let mut pause = known.unwrap_or_else(|| ProviderPause::new(backoff, error.clone(), None));
        if pause.lock.is_none() {
            pause.backoff = backoff;
        }
        pause.lock = lock;
        if lock.is_none() {
            self.paused.insert(name, pause);
            return Ok(true);
        }
        // A batch that was sent before the pause started has met the same failure.
        let is_same_failure = pause.until > now && pause.probe != Some(collection);
        if !is_same_failure {
            pause.until = now + pause.backoff.next_pause();
            pause.probe = None;
        }
        if is_news {
            log!("ragstone worker: collections wait for a provider: {}: {}", error.code(), error.message);
            pause.error = error.clone();
        }
        self.paused.insert(name.clone(), pause);
        self.show(&name)?;
        Ok(true)
    }

    /// The collections that must not be claimed now: their pause is not over, or a probe of another
    /// collection is in progress.
    ///
    /// # Errors
    /// Errors of reading the collections and of storing why they wait.
    pub fn held_back(&mut self) -> Result<HashSet<i64>> {
        if self.read_at.is_none() {
            self.read()?;
            self.find_those_of_others()?;
        }
        if self.paused.is_empty() {
            return Ok(HashSet::new());
        }
        if self.read_at.is_none_or(|at| at.elapsed() >= READ_INTERVAL) {
            self.read()?;
            self.take_over_those_of_others()?;
            // Other collections may have begun to use the provider.
            let is_outdated =
                |(name, pause): &(&String, &ProviderPause)| pause.shown != self.covered_by(name);
            let outdated: Vec<String> =
                self.paused.iter().filter(is_outdated).map(|(name, _)| name.clone()).collect();
            outdated.iter().try_for_each(|name| self.show(name))?;
        }
        let now = Instant::now();
        let closed: Vec<&String> =
            self.paused.iter().filter(|(_, pause)| !pause.is_open(now)).map(|(name, _)| name).collect();
        let is_held = |user: &ProviderUser| closed.iter().any(|name| user.is_covered_by(name));
        Ok(self.users.iter().filter(|(_, user)| is_held(user)).map(|(id, _)| *id).collect())
    }

    /// Makes the next batch of a collection the probe of all pauses that affect the collection.
    pub fn probe(&mut self, collection: i64) {
        let Some(user) = self.users.get(&collection) else { return };
        for (name, pause) in &mut self.paused {
            if user.is_covered_by(name) {
                pause.probe = Some(collection);
            }
        }
    }

    /// Ends all pauses that affect a collection, because its provider has responded.
    ///
    /// # Errors
    /// Errors of removing the stored reasons.
    pub fn end_all(&mut self, collection: i64) -> Result<()> {
        let Some(user) = self.users.get(&collection) else { return Ok(()) };
        let is_covering = |name: &&String| user.is_covered_by(name);
        let covering: BTreeSet<String> = self.paused.keys().filter(is_covering).cloned().collect();
        let own =
            covering.iter().filter_map(|name| self.paused.get(name)).filter(|pause| pause.lock.is_some());
        for pause in own {
            log!("ragstone worker: collections no longer wait for a provider: {}", pause.error.message);
        }
        self.end(|name, _| covering.contains(name))
    }

    /// Allows another batch to be the probe, because this collection's batch ended without an outcome.
    pub fn release_probe(&mut self, collection: i64) {
        let probed = self.paused.values_mut().filter(|pause| pause.probe == Some(collection));
        probed.for_each(|pause| pause.probe = None);
    }

    /// The time at which the last pause that affects a collection ends; now if there is none.
    pub fn until(&self, collection: i64) -> Instant {
        let user = self.users.get(&collection);
        let covers = |name: &String| user.is_some_and(|user| user.is_covered_by(name));
        let untils = self.paused.iter().filter(|(name, _)| covers(name)).map(|(_, pause)| pause.until);
        untils.max().unwrap_or_else(Instant::now)
    }

    /// The time at which the next pause ends.
    pub fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let is_to_pass = |pause: &&ProviderPause| pause.probe.is_none() && pause.until > now;
        self.paused.values().filter(is_to_pass).map(|pause| pause.until).min()
    }

    /// Finds the pauses of other workers when this worker starts.
    fn find_those_of_others(&mut self) -> Result<()> {
        let names: BTreeSet<String> = self.users.values().flat_map(ProviderUser::names).cloned().collect();
        for name in names {
            match take_lock(&name)? {
                Some(lock) => lock.release(),
                None => {
                    let error = Error::unavailable("another worker waits for the provider");
                    self.paused.insert(name, ProviderPause::new(PASSING, error, None));
                }
            }
        }
        Ok(())
    }

    /// Releases the locks of all pauses, so that other workers take them over, because this worker is about
    /// to be busy for a long time. Later it takes back the locks that no other worker has taken.
    pub fn hand_over(&mut self) {
        let locks = self.paused.values_mut().filter_map(|pause| pause.lock.take());
        locks.for_each(OwnLock::release);
    }

    /// Takes over the pauses that other workers have handed over or left when they exited, and ends those
    /// that are over, which are the pauses for which no collection is shown as waiting.
    fn take_over_those_of_others(&mut self) -> Result<()> {
        let names =
            self.paused.iter().filter(|(_, pause)| pause.lock.is_none()).map(|(name, _)| name.clone());
        for name in names.collect::<Vec<_>>() {
            let lock = take_lock(&name)?;
            let mut shown = BTreeSet::new();
            if lock.is_some() {
                let covered = self.covered_by(&name);
                store(|| {
                    shown = failure::waiting(&covered)?;
                    Ok(())
                })?;
            }
            let Some(pause) = self.paused.get_mut(&name) else { continue };
            pause.shown = shown;
            match lock {
                Some(lock) if pause.shown.is_empty() => {
                    lock.release();
                    self.paused.remove(&name);
                }
                taken => pause.lock = taken,
            }
        }
        Ok(())
    }

    /// True if users see the collection as waiting.
    pub fn shows(&self, collection: i64) -> bool {
        self.paused.values().any(|pause| pause.shown.contains(&collection))
    }

    fn end(&mut self, is_over: impl Fn(&str, &ProviderPause) -> bool) -> Result<()> {
        let mut shown = BTreeSet::new();
        for (_, pause) in self.paused.extract_if(|name, pause| is_over(name, pause)) {
            shown.extend(pause.shown);
            pause.lock.into_iter().for_each(OwnLock::release);
        }
        let is_shown_too = |pause: &ProviderPause| !pause.shown.is_disjoint(&shown);
        let others =
            self.paused.iter().filter(|(_, pause)| is_shown_too(pause)).map(|(name, _)| name.clone());
        others.collect::<Vec<_>>().into_iter().try_for_each(|name| self.show(&name))?;
        self.withdraw(shown)
    }

    /// Shows all collections that a pause affects as waiting.
    fn show(&mut self, name: &str) -> Result<()> {
        let covered = self.covered_by(name);
        let Some(pause) = self.paused.get_mut(name).filter(|pause| pause.lock.is_some()) else {
            return Ok(());
        };
        let shown = std::mem::replace(&mut pause.shown, covered);
        let left = pause.until.saturating_duration_since(Instant::now());
        store(|| failure::set_waiting(Some(&pause.shown), left, &pause.error).map(|_| ()))?;
        self.withdraw(shown)
    }

    /// Deletes the stored reasons of collections that no pause affects any more.
    fn withdraw(&self, mut shown: BTreeSet<i64>) -> Result<()> {
        shown.retain(|id| !self.shows(*id));
        if shown.is_empty() { Ok(()) } else { store(|| failure::clear_waiting(&shown)) }
    }

    /// The collections that a pause affects.
    fn covered_by(&self, name: &str) -> BTreeSet<i64> {
        self.users.iter().filter(|(_, user)| user.is_covered_by(name)).map(|(id, _)| *id).collect()
    }

    /// Reads which provider, key and budgets each collection uses. Collections for which these have changed
    /// are tried at once.
    fn read(&mut self) -> Result<()> {
        let Some(users) = in_limited_transaction(Limits::LocksAndTime, || connect(read_users))? else {
            self.paused.values().filter_map(|pause| pause.lock).for_each(OwnLock::release);
            *self = Self::default();
            return Ok(());
        };
        for (id, user) in &users {
            if self.users.get(id).is_some_and(|old| old.version != user.version) {
                let covering = self.paused.iter_mut().filter(|(name, _)| user.is_covered_by(name));
                covering.for_each(|(_, pause)| pause.until = Instant::now());
            }
        }
        self.users = users;
        self.read_at = Some(Instant::now());
        // The key, budget or collection of a pause was dropped.
        let unused: HashSet<String> =
            self.paused.keys().filter(|name| self.covered_by(name).is_empty()).cloned().collect();
        self.end(|name, _| unused.contains(name))
    }
}

/// Takes the lock for a pause. None if another worker of the database holds it.
fn take_lock(name: &str) -> Result<Option<OwnLock>> {
    let lock = OwnLock::new("provider pause", name);
    let mut is_taken = false;
    let committed = in_limited_transaction(Limits::LocksAndTime, || {
        is_taken = lock.try_for_session();
        Ok(())
    });
    if committed.is_err() && is_taken {
        lock.release();
    }
    committed.map(|()| is_taken.then_some(lock))
}

/// The provider, key and budgets that each collection uses; None if the extension was dropped.
fn read_users() -> Result<Option<HashMap<i64, ProviderUser>>> {
    if !is_installed()? {
        return Ok(None);
    }
    let superuser = pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID);
    let rows = as_owner(superuser, || run(include_str!("../../sql/queries/provider_users.sql"), &[]))?;
    let user = |row: usize| {
        let text = |column| rows.text(row, column);
        let budgets = rows.texts(row, 4)?;
        let user =
            ProviderUser { server: text(1)?, key: text(2)?, model: text(3)?, budgets, version: text(5)? };
        Some((rows.int8(row, 0)?, user))
    };
    Ok(Some((0..rows.count).filter_map(user).collect()))
}

/// Stores the reasons that users see. It does not wait for a session that has changed the collection in an
/// open transaction, and returns Ok in that case: the change is handled after that session's commit.
///
/// # Errors
/// Errors of writing, except for a lock that is not available.
pub fn store(write: impl FnOnce() -> Result<()>) -> Result<()> {
    match in_limited_transaction(Limits::LocksAndTime, || connect(write)) {
        Err(error) if is_held_up(&error) => Ok(()),
        stored => stored,
    }
}
