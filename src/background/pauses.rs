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

/// Pauses after a failure that is not to be charged to a row.
pub const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// How long rows are in use by other sessions before users see their collection wait.
const PATIENCE_FOR_ROWS: Duration = Duration::from_secs(1);

/// How long it counts that a collection has held up the worker. One that goes on is tried again much sooner.
const LATELY: Duration = Duration::from_secs(120);

/// What is paused after failures: collections by themselves, those of a provider together, and all of them.
#[derive(Default)]
pub struct Pauses {
    /// The backoff of each collection that has failed since it was last written.
    collections: HashMap<i64, Pause>,
    providers: ProviderPauses,
    /// The backoff of all collections, after failures of the environment. The worker itself pauses for so long.
    environment: Option<Backoff>,
    /// The collections that are shown as waiting for the environment.
    shown: BTreeSet<i64>,
    /// Since when nothing of a collection could be written but what other sessions let go.
    rows_in_use: HashMap<i64, RowsInUse>,
}

struct RowsInUse {
    since: Instant,
    shown_at: Option<Instant>,
}

struct Pause {
    backoff: Backoff,
    /// Whether users see the collection wait.
    is_shown: bool,
    /// When the worker was last held up.
    held_up_at: Option<Instant>,
}

impl Pause {
    const NEW: Self = Self { backoff: BACKOFF, is_shown: false, held_up_at: None };

    fn has_held_up_lately(&self) -> bool {
        self.held_up_at.is_some_and(|at| at.elapsed() < LATELY)
    }
}

impl Pauses {
    /// Pauses a collection, and the others that the failure covers. The collection's row has the error if the collection or a row is
    /// the cause; else the views say why collections wait, and until when.
    ///
    /// # Errors
    /// The error itself if the environment caused it; an error of storing it.
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
            // A column may have been renamed since the collection was read. A lasting error occurs again the next time.
            Blame::Transient | Blame::Collection if is_first => Ok(()),
            Blame::Row | Blame::Collection => store(|| failure::set_error(collection, Some(error))),
            blame => {
                if blame == Blame::Blocked && !pause.is_shown {
                    let (code, message) = (error.code(), &error.message);
                    let cause = match is_held_up(error) {
                        true => " for another session or its owner's code",
                        false => "",
                    };
                    log!("ragstone worker: a collection waits{cause}: {code}: {message}");
                }
                pause.is_shown = true;
                let only = BTreeSet::from([collection]);
                store(|| failure::set_waiting(Some(&only), length, error).map(|_| ()))
            }
        }
    }

    /// Notes that a collection has held up the worker, and leaves all tables of its owner alone if several of them have: each would do so
    /// in its turn.
    fn rest_owner_of(&mut self, in_flight: &mut InFlight, collection: i64, length: Duration) {
        self.collections.entry(collection).or_insert(Pause::NEW).held_up_at = Some(Instant::now());
        let mut held_up =
            self.collections.iter().filter(|(_, pause)| pause.has_held_up_lately()).map(|(id, _)| *id);
        if held_up.any(|other| other != collection && in_flight.have_same_owner(other, collection)) {
            in_flight.rest_owner_of(collection, Instant::now() + length);
        }
    }

    /// Shows the collections as waiting that were left alone since their owner's tables rest.
    ///
    /// # Errors
    /// That of storing it.
    pub fn show_left_alone(&mut self, in_flight: &mut InFlight) -> Result<()> {
        for (collection, until) in std::mem::take(&mut in_flight.left_alone) {
            self.collections.entry(collection).or_insert(Pause::NEW).is_shown = true;
            let error = Error::lock_not_available("other tables of the same owner hold up the worker")
                .hint("See rag.stat_collection for the reasons why collections of the same owner wait.");
            let left = until.saturating_duration_since(Instant::now());
            store(|| failure::set_waiting(Some(&BTreeSet::from([collection])), left, &error).map(|_| ()))?;
        }
        Ok(())
    }

    /// Brings up to date which collections wait for their providers. To be called before work is claimed.
    ///
    /// # Errors
    /// Those of reading the collections and of storing why they wait.
    pub fn hold_back(&mut self, in_flight: &mut InFlight) -> Result<()> {
        in_flight.held_back = self.providers.held_back()?;
        Ok(())
    }

    /// Notes that a batch of a collection begins.
    pub fn batch_begins(&mut self, collection: i64) {
        self.providers.probe(collection);
    }

    /// Notes how a batch of a collection has ended: whether its provider was asked and has answered, or the error.
    ///
    /// # Errors
    /// That of withdrawing what users see.
    pub fn batch_ended(&mut self, collection: i64, answered: Result<bool, &Error>) -> Result<()> {
        match answered {
            Ok(true) => self.providers.end_all(collection),
            Err(error) if is_rejected(error) => self.providers.end_all(collection),
            // What follows pauses it again.
            Err(error) if matches!(blame(error), Blame::Provider(_)) => Ok(()),
            _ => {
                self.providers.release_probe(collection);
                Ok(())
            }
        }
    }

    /// When the last of the pauses of a collection's provider passes.
    pub fn until(&self, collection: i64) -> Instant {
        self.providers.until(collection)
    }

    /// Notes that a batch of a collection was dropped.
    pub fn batch_dropped(&mut self, collection: i64) {
        self.providers.release_probe(collection);
    }

    /// Leaves providers to other workers, since this one is about to be busy for long.
    pub fn hand_over_providers(&mut self) {
        self.providers.hand_over();
    }

    /// When the first of the providers is tried again.
    pub fn next_due(&self) -> Option<Instant> {
        self.providers.next_due()
    }

    /// Notes that all rows of a batch are locked or being changed by other sessions, so that nothing was written. They are tried
    /// again soon; what takes longer is shown.
    ///
    /// # Errors
    /// That of storing it.
    pub fn rows_in_use(&mut self, collection: i64) -> Result<()> {
        let now = Instant::now();
        let rows = self.rows_in_use.entry(collection).or_insert(RowsInUse { since: now, shown_at: None });
        let is_due = now.duration_since(rows.shown_at.unwrap_or(rows.since)) >= PATIENCE_FOR_ROWS;
        if !is_due {
            return Ok(());
        }
        rows.shown_at = Some(now);
        let error = Error::lock_not_available(
            "rows that are to be indexed are locked or being changed by other sessions",
        )
        .hint("See pg_stat_activity for transactions that have been open for long.");
        let only = BTreeSet::from([collection]);
        store(|| failure::set_waiting(Some(&only), PATIENCE_FOR_ROWS, &error).map(|_| ()))
    }

    /// Withdraws what former workers have said that collections wait for: this one finds out anew.
    pub fn forget_former() {
        let forget = || if is_installed()? { failure::clear_all_waiting() } else { Ok(()) };
        if let Err(error) = store(forget) {
            log!("ragstone worker: could not withdraw what collections waited for: {}", error.message);
        }
    }

    /// Forgets the failures of a collection after a success.
    ///
    /// # Errors
    /// That of withdrawing what users see.
    pub fn clear(&mut self, collection: i64) -> Result<()> {
        let is_paused = self.collections.remove(&collection).is_some_and(|pause| pause.is_shown);
        let has_rows_in_use =
            self.rows_in_use.remove(&collection).is_some_and(|rows| rows.shown_at.is_some());
        if is_paused || has_rows_in_use { self.withdraw(BTreeSet::from([collection])) } else { Ok(()) }
    }

    /// Forgets the failures of the environment after a batch was written.
    ///
    /// # Errors
    /// That of withdrawing what users see.
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

/// How long the failure has held up the other collections, which go on at least as long before it is tried again.
fn held_up_for(error: &Error) -> Duration {
    match is_held_up(error) {
        true if error.is_lock_not_available() => error.held_up().max(limited_transaction::LOCK_TIMEOUT),
        true => error.held_up().max(limited_transaction::TIMEOUT),
        false => Duration::ZERO,
    }
}
