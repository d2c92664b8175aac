//! The loop of a worker that indexes the collections of a database. It sleeps only while no transaction is
//! open.

use crate::agent_log::has_steps_left;
use crate::background::exit::{ExitReason, MAX_SLEEP, has_jobs_left, reload_after_sighup};
use crate::background::indexer::{Indexer, Progress};
use crate::background::pauses::BACKOFF;
use pgrx::log;
use ragstone_client::engine::client;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::slots;
use ragstone_client::settings;
use ragstone_core::backoff::Backoff;
use ragstone_pg::error::Error;
use ragstone_pg::{activity, databases, wait};
use std::time::{Duration, Instant};

/// How long a worker whose collections all wait keeps a slot that another database needs.
const MAX_WAITING: Duration = Duration::from_secs(5);

struct Worker {
    database: u32,
    place: Place,
    indexer: Indexer,
    /// Pauses of all work, after failures of the environment.
    backoff: Backoff,
    idle_since: Instant,
}

/// Runs the worker until its idle timeout has passed or it must exit.
pub fn run(database: u32, place: Place) -> ExitReason {
    let is_first = place == Place::FIRST_INDEXER;
    let mut worker = Worker {
        database,
        place,
        indexer: Indexer::new(database, is_first),
        backoff: BACKOFF,
        idle_since: Instant::now(),
    };
    // Work of the coordinator may be left from before the server was started.
    if is_first && (has_jobs_left() || has_steps_left()) {
        slots::ensure(Place::Coordinator);
    }
    loop {
        wait::serve_interrupts();
        reload_after_sighup();
        activity::report_statistics();
        slots::serve_requests_at_intervals();
        if databases::is_wanted_exclusively(database) {
            return ExitReason::NotWanted;
        }
        match worker.indexer.step() {
            Ok(Progress::NoExtension) => return ExitReason::NotWanted,
            Ok(Progress::Nothing) if worker.may_exit() => return worker.exit_reason(),
            Ok(Progress::Nothing) if worker.gives_way() => return ExitReason::Waiting,
            Ok(Progress::Nothing) => worker.sleep(),
            Ok(Progress::Waiting) => {
                worker.idle_since = Instant::now();
                client::wait_for_event(MAX_SLEEP);
            }
            Ok(Progress::Worked) => worker.idle_since = Instant::now(),
            Ok(Progress::Written) => {
                worker.backoff.reset();
                worker.idle_since = Instant::now();
            }
            Err(error) => {
                worker.back_off(&error);
                worker.idle_since = Instant::now();
            }
        }
    }
}

impl Worker {
    /// Pauses all work after a failure that no row or collection has caused.
    fn back_off(&mut self, error: &Error) {
        if self.backoff.is_idle() {
            log!("ragstone worker: {}: {}", error.code(), error.message);
        }
        self.indexer.drop_batches(|_| true);
        let pause = self.backoff.next_pause();
        activity::report(&format!("ragstone: waiting {pause:?} after a failure"));
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            // A changed setting may remove the cause.
            if databases::is_wanted_exclusively(self.database) || reload_after_sighup() {
                return;
            }
            client::wait_for_event(left.min(MAX_SLEEP));
        }
    }

    fn exit_reason(&self) -> ExitReason {
        if slots::is_room_needed(self.place) { ExitReason::SlotNeeded } else { ExitReason::Idle }
    }

    fn may_exit(&self) -> bool {
        let idle = self.idle_since.elapsed();
        let is_replaceable = || self.place != Place::FIRST_INDEXER || slots::is_room_needed(self.place);
        idle > MAX_SLEEP
            && self.indexer.is_done()
            && (idle > settings::sync_idle_timeout() || is_replaceable())
    }

    /// True if all that is left has waited for a while, for example for a provider or an owner, and another database waits
    /// for a worker.
    fn gives_way(&self) -> bool {
        self.idle_since.elapsed() > MAX_WAITING && slots::is_room_needed(self.place)
    }

    /// Sleeps until a waiting row or collection is due, the latch is set or a response arrives.
    fn sleep(&mut self) {
        activity::report_idle();
        let timeout =
            self.indexer.next_due().map_or(MAX_SLEEP, |at| at.saturating_duration_since(Instant::now()));
        client::wait_for_event(timeout.clamp(Duration::from_millis(1), MAX_SLEEP));
    }
}
