//! Pauses of collections after failures.

use crate::background::provider_pauses::{ProviderPauses, store};
use crate::collections::queue::claim::InFlight;
use crate::collections::queue::failure;
use pgrx::log;
use ragstone_core::backoff::Backoff;
use ragstone_pg::blame::{Blame, blame, is_held_up, is_rejected};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::extension::is_installed;
use ragstone_pg::limited_transaction;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Pauses after a failure that no row has caused.
pub const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// Time for which other sessions may use a collection's rows before users see the collection as waiting.
const PATIENCE_FOR_ROWS: Duration = Duration::from_secs(1);

/// Time for which a collection that has held up the worker counts as a cause for resting its owner's
/// collections. A collection is retried much sooner.
const LATELY: Duration = Duration::from_secs(120);

/// The current pauses after failures: of single collections, of all collections of a provider, and of all
/// collections.
#[derive(Default)]
pub struct Pauses {
    /// The backoff of each collection that has failed since it was last written.
    collections: HashMap<i64, Pause>,
    providers: ProviderPauses,
    /// The backoff of all collections after failures of the environment. The worker itself pauses for the
    /// same time.
    environment: Option<Backoff>,
    /// The collections that users see as waiting because of the environment.
    shown: BTreeSet<i64>,
    /// Since when other sessions have been using all rows of a collection that were to be written.
    rows_in_use: HashMap<i64, RowsInUse>,
}

struct RowsInUse {
    since: Instant,
    shown_at: Option<Instant>,
}

struct Pause {
    backoff: Backoff,
    /// True if users see the collection as waiting.
    is_shown: bool,
    /// When the collection last held up the worker.
    held_up_at: Option<Instant>,
}

impl Pause {
    const NEW: Self = Self { backoff: BACKOFF, is_shown: false, held_up_at: None };

    fn has_held_up_lately(&self) -> bool {
        self.held_up_at.is_some_and(|at| at.elapsed() < LATELY)
    }
}

impl Pauses {
    /// Pauses a collection, and the other collections that the failure affects. If the collection or a row is
    /// the cause, the error is stored in the collection's row; otherwise the views show why collections wait,
    /// and until when.
    ///
    /// # Errors
    /// `error` itself if the environment has caused it; errors of storing it.
    pub fn pause(&mut self, in_flight: &mut InFlight, collection: i64, error: &Error) -> Result<()> {
        match blame(error) {
            Blame::Environment => {
                let length = self.environment.get_or_insert(BACKOFF).next_pause();
                store(|| {
                    self.shown = failure::set_waiting(None, length, error)?;
                    Ok(())
                })?;
                Err(error.clone())
            }
            Blame::Provider(scope) if self.providers.pause(collection, scope, error)? => Ok(()),
            blame => self.pause_alone(in_flight, collection, error, blame),
        }
    }

    fn pause_alone(
        &mut self,
        in_flight: &mut InFlight,
        collection: i64,
        error: &Error,
        blame: Blame,
    ) -> Result<()> {
        if is_held_up(error) {
            self.rest_owner_of(in_flight, collection, held_up_for(error));
        }
        let pause = self.collections.entry(collection).or_insert(Pause::NEW);
        let is_first = pause.backoff.is_idle();
        let length = pause.backoff.next_pause().max(held_up_for(error));
        in_flight.paused.insert(collection, Instant::now() + length);
        match blame {
            // A column may have been renamed after the collection was read. A persistent error occurs again
            // at the next try.
            Blame::Transient | Blame::Collection if is_first => Ok(()),
            Blame::Row | Blame::Collection => store(|| failure::set_error(collection, Some(error))),
            blame => {
                if blame == Blame::Blocked && !pause.is_shown {
                    let (code, message) = (error.code(), &error.message);
                    let cause = match is_held_up(error) {
                        true => " for another session or its owner's code",
                        false => "",
                    };
                    log!("ragstone worker: collection number {collection} waits{cause}: {code}: {message}");
                }
                pause.is_shown = true;
                let only = BTreeSet::from([collection]);
                store(|| failure::set_waiting(Some(&only), length, error).map(|_| ()))
            }
        }
    }

    /// Records that a collection has held up the worker. If several collections of its owner have, all of the
    /// owner's collections are left alone, because otherwise each of them would hold up the worker in turn.
    fn rest_owner_of(&mut self, in_flight: &mut InFlight, collection: i64, length: Duration) {
        self.collections.entry(collection).or_insert(Pause::NEW).held_up_at = Some(Instant::now());
        let mut held_up =
            self.collections.iter().filter(|(_, pause)| pause.has_held_up_lately()).map(|(id, _)| *id);
        if held_up.any(|other| other != collection && in_flight.have_same_owner(other, collection)) {
            in_flight.rest_owner_of(collection, Instant::now() + length);
        }
    }

    /// Shows collections as waiting that are left alone because of their owner's other collections.
    ///
    /// # Errors
    /// Errors of storing it.
    pub fn show_left_alone(&mut self, in_flight: &mut InFlight) -> Result<()> {
        for (collection, until) in std::mem::take(&mut in_flight.left_alone) {
            self.collections.entry(collection).or_insert(Pause::NEW).is_shown = true;
            let error = Error::lock_not_available("other collections of the same owner hold up the worker")
                .hint("See rag.stat_collection for the reasons why collections of the same owner wait.");
            let left = until.saturating_duration_since(Instant::now());
            store(|| failure::set_waiting(Some(&BTreeSet::from([collection])), left, &error).map(|_| ()))?;
        }
        Ok(())
    }

    /// Updates the set of collections that wait for their providers. Must be called before work is claimed.
    ///
    /// # Errors
    /// Errors of reading the collections and of storing why they wait.
    pub fn hold_back(&mut self, in_flight: &mut InFlight) -> Result<()> {
        in_flight.held_back = self.providers.held_back()?;
        Ok(())
    }

    /// Must be called when a batch of a collection starts.
    pub fn batch_begins(&mut self, collection: i64) {
        self.providers.probe(collection);
    }

    /// Must be called when a batch of a collection ends. `answered` is true if its provider was called and
    /// responded, or holds the error.
    ///
    /// # Errors
    /// Errors of removing the stored reasons.
    pub fn batch_ended(&mut self, collection: i64, answered: Result<bool, &Error>) -> Result<()> {
        match answered {
            Ok(true) => self.providers.end_all(collection),
            Err(error) if is_rejected(error) => self.providers.end_all(collection),
            // The caller pauses the collection next.
            Err(error) if matches!(blame(error), Blame::Provider(_)) => Ok(()),
            _ => {
                self.providers.release_probe(collection);
                Ok(())
            }
        }
    }

    /// The time at which the last pause of a collection's provider ends.
    pub fn until(&self, collection: i64) -> Instant {
        self.providers.until(collection)
    }

    /// Must be called when a batch of a collection is dropped.
    pub fn batch_dropped(&mut self, collection: i64) {
        self.providers.release_probe(collection);
    }

    /// Hands the pauses of providers over to other workers, because this worker is about to be busy for a
    /// long time.
    pub fn hand_over_providers(&mut self) {
        self.providers.hand_over();
    }

    /// The time at which a provider is tried next.
    pub fn next_due(&self) -> Option<Instant> {
        self.providers.next_due()
    }

    /// Must be called when nothing of a batch was written because other sessions lock or change all of its
    /// rows. The rows are tried again soon; if this lasts, users see the collection as waiting.
    ///
    /// # Errors
    /// Errors of storing it.
    pub fn rows_in_use(&mut self, collection: i64) -> Result<()> {
        let now = Instant::now();
        let rows = self.rows_in_use.entry(collection).or_insert(RowsInUse { since: now, shown_at: None });
        let is_due = now.duration_since(rows.shown_at.unwrap_or(rows.since)) >= PATIENCE_FOR_ROWS;
        if !is_due {
            return Ok(());
        }
        rows.shown_at = Some(now);
        let error =
            Error::lock_not_available("other sessions lock or change the rows that are to be indexed")
                .hint("See pg_stat_activity for long-running transactions.");
        let only = BTreeSet::from([collection]);
        store(|| failure::set_waiting(Some(&only), PATIENCE_FOR_ROWS, &error).map(|_| ()))
    }

    /// Deletes the reasons for waiting that former workers have stored. This worker finds out itself which
    /// collections have to wait.
    pub fn forget_former() {
        let forget = || if is_installed()? { failure::clear_all_waiting() } else { Ok(()) };
        if let Err(error) = store(forget) {
            log!(
                "ragstone worker: could not clear the reasons for which collections waited: {}",
                error.message
            );
        }
    }

    /// Ends the pauses of a collection after a success.
    ///
    /// # Errors
    /// Errors of removing the stored reasons.
    pub fn clear(&mut self, collection: i64) -> Result<()> {
        let is_paused = self.collections.remove(&collection).is_some_and(|pause| pause.is_shown);
        let has_rows_in_use =
            self.rows_in_use.remove(&collection).is_some_and(|rows| rows.shown_at.is_some());
        if is_paused || has_rows_in_use { self.withdraw(BTreeSet::from([collection])) } else { Ok(()) }
    }

    /// Ends the pause of all collections after a batch was written.
    ///
    /// # Errors
    /// Errors of removing the stored reasons.
    pub fn clear_environment(&mut self) -> Result<()> {
        self.environment = None;
        let shown = std::mem::take(&mut self.shown);
        self.withdraw(shown)
    }

    fn withdraw(&self, mut shown: BTreeSet<i64>) -> Result<()> {
        let is_paused = |id: &i64| self.collections.get(id).is_some_and(|pause| pause.is_shown);
        shown.retain(|id| !self.providers.shows(*id) && !is_paused(id));
        if shown.is_empty() { Ok(()) } else { store(|| failure::clear_waiting(&shown)) }
    }
}

/// Time for which the failure has held up the other collections. They run for at least this time before the
/// collection is tried again.
fn held_up_for(error: &Error) -> Duration {
    match is_held_up(error) {
        true if error.is_lock_not_available() => error.held_up().max(limited_transaction::LOCK_TIMEOUT),
        true => error.held_up().max(limited_transaction::TIMEOUT),
        false => Duration::ZERO,
    }
}
