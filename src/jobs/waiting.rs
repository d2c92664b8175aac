//! The reasons why queued jobs wait, for the view `rag.jobs`. They are determined when the view is read, so
//! that no row has to change while jobs wait.

use crate::jobs::capacity::Capacity;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::{missing_slot, slots};
use ragstone_pg::session;
use std::cell::RefCell;

thread_local! {
    /// The limits that apply to all jobs of the database, determined once per statement; with the start time
    /// of the statement.
    static FOUND: RefCell<Option<(i64, WorkerLimits)>> = const { RefCell::new(None) };
}

/// The limits that may prevent jobs of this database from starting.
struct WorkerLimits {
    /// True if the database has a coordinator, which starts jobs.
    has_coordinator: bool,
    /// True if the coordinator waits for a slot that coordinators of other databases use.
    is_coordinator_waiting: bool,
    lacks_slot: bool,
    capacity: Capacity,
}

/// The setting that prevents a queued job of `role` from starting; None if it is about to start.
pub fn waits_for(role: u32) -> Option<&'static str> {
    if session::is_standby() {
        return None;
    }
    let statement = session::statement_start();
    FOUND.with_borrow_mut(|found| {
        let (_, limits) = match found.take_if(|(start, _)| *start == statement) {
            Some(known) => found.insert(known),
            None => found.insert((statement, WorkerLimits::now())),
        };
        limits.of(role)
    })
}

impl WorkerLimits {
    fn now() -> Self {
        let has_coordinator = slots::has_coordinator();
        Self {
            has_coordinator,
            is_coordinator_waiting: !has_coordinator && !slots::has_room(Place::Coordinator),
            lacks_slot: missing_slot::is_noted_for_jobs(session::database()),
            capacity: Capacity::now(),
        }
    }

    fn of(&self, role: u32) -> Option<&'static str> {
        if self.is_coordinator_waiting {
            Some("rag.max_sync_workers")
        } else if self.has_coordinator && self.capacity.is_exhausted_for(role) {
            Some("rag.max_job_workers_per_role")
        } else if self.has_coordinator && self.capacity.is_exhausted() {
            Some("rag.max_job_workers")
        } else {
            self.lacks_slot.then_some("max_worker_processes")
        }
    }
}
