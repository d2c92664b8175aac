//! The loop of a database's worker: it drives the indexing and, in the first worker of a database, the jobs, the mailboxes and the
//! maintenance of the log. It sleeps without an open transaction.

use crate::agent_log::{Partitions, Rollup, has_steps_left};
use crate::background::exit::{ExitReason, has_mail_left};
use crate::background::indexer::{Indexer, Progress};
use crate::background::mailbox_readers::MailboxReaders;
use crate::background::pauses::BACKOFF;
use crate::jobs;
use crate::jobs::Dispatch;
use pgrx::bgworkers::BackgroundWorker;
use pgrx::log;
use ragstone_client::engine::client;
use ragstone_client::processes::slots;
use ragstone_client::settings;
use ragstone_core::backoff::Backoff;
use ragstone_pg::error::Error;
use ragstone_pg::guc::reload_configuration;
use ragstone_pg::{activity, databases, wait};
use std::time::{Duration, Instant};

/// Maximum sleep. After it a worker checks whether a command needs the database without other connections.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// Maximum time spent draining mailboxes before the worker handles other work.
const MAX_MAILBOX_TIME: Duration = Duration::from_millis(100);

/// Maximum wait for the engine's next mailbox batch.
const NEXT_DELIVERY_TIMEOUT: Duration = Duration::from_millis(5);

struct Worker {
    database: u32,
    place: i32,
    indexer: Indexer,
    /// Only in the first worker of a database.
    mailboxes: Option<MailboxReaders>,
    /// Pauses of all work, after failures of the environment.
    backoff: Backoff,
    idle_since: Instant,
    jobs: Dispatch,
    /// The log's partitions, which the first worker of a database maintains.
    partitions: Partitions,
    /// The sums of reports, which the first worker of a database maintains.
    rollup: Rollup,
}

/// Runs the worker until it has been idle for long or must exit.
pub fn run(database: u32, place: i32) -> ExitReason {
    let mut worker = Worker {
        database,
        place,
        indexer: Indexer::new(database, place == 0),
        mailboxes: (place == 0).then(|| MailboxReaders::new(database)),
        backoff: BACKOFF,
        idle_since: Instant::now(),
        jobs: Dispatch::new(database),
        partitions: Partitions::new(),
        rollup: Rollup::new(),
    };
    loop {
        wait::serve_interrupts();
        reload_after_sighup();
        activity::report_statistics();
        if databases::is_wanted_exclusively(database) {
            jobs::end_workers(database);
            return ExitReason::NotWanted;
        }
        worker.poll_mailboxes();
        let is_rolling_up = worker.maintain();
        match worker.indexer.step() {
            Ok(Progress::NoExtension) => return ExitReason::NotWanted,
            Ok(Progress::Nothing) if is_rolling_up => {}
            Ok(Progress::Nothing) if worker.may_exit() => return worker.exit_reason(),
            Ok(Progress::Nothing) => worker.sleep(),
            Ok(Progress::Waiting) => {
                worker.idle_since = Instant::now();
                worker.wait(MAX_SLEEP);
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
    /// Does the due work of the first worker of a database beside indexing. Returns whether there is more of it to do at once.
    fn maintain(&mut self) -> bool {
        if self.place > 0 {
            return false;
        }
        self.jobs.run_due();
        self.partitions.run_due();
        let more = self.rollup.run_due();
        if more {
            self.idle_since = Instant::now();
        }
        more
    }

    /// Pauses all work after a failure that is not to be charged to a row or a collection.
    fn back_off(&mut self, error: &Error) {
        if self.backoff.is_idle() {
            log!("ragstone worker: {}: {}", error.code(), error.message);
        }
        self.indexer.drop_batches();
        let pause = self.backoff.next_pause();
        activity::report(&format!("ragstone: waiting {pause:?} after a failure"));
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            // A changed setting may remove the cause.
            if databases::is_wanted_exclusively(self.database) || reload_after_sighup() {
                return;
            }
            self.wait(left.min(MAX_SLEEP));
        }
    }

    fn exit_reason(&self) -> ExitReason {
        if self.partitions.are_unfinished() {
            ExitReason::Unfinished
        } else if slots::has_requests() {
            ExitReason::SlotNeeded
        } else {
            ExitReason::Idle
        }
    }

    fn may_exit(&self) -> bool {
        let idle = self.idle_since.elapsed();
        let is_replaceable = self.place > 0 || slots::has_requests();
        let is_done = self.indexer.is_done();
        if is_done && self.jobs.has_jobs() {
            // Jobs run by themselves. Another worker supervises them when it is this database's turn again.
            return is_replaceable && idle > MAX_SLEEP;
        }
        let may = is_done && (idle > settings::sync_idle_timeout() || (is_replaceable && idle > MAX_SLEEP));
        if may && self.mailboxes.as_ref().is_some_and(MailboxReaders::is_needed) {
            return false;
        }
        let has_log_work =
            || self.partitions.are_unfinished() || has_mail_left(self.database) || has_steps_left();
        if may && self.mailboxes.is_some() && has_log_work() {
            // As for jobs, another worker continues when it is this database's turn again.
            return is_replaceable;
        }
        may
    }

    /// Sleeps until the next waiting row or collection is due, the latch is set or mail arrives.
    fn sleep(&mut self) {
        activity::report_idle();
        let timeout =
            self.indexer.next_due().map_or(MAX_SLEEP, |at| at.saturating_duration_since(Instant::now()));
        self.wait(timeout.clamp(Duration::from_millis(1), MAX_SLEEP));
    }

    /// Waits for the latch or the engine, and writes mail that arrives meanwhile.
    fn wait(&mut self, timeout: Duration) {
        client::wait_for_event(timeout);
        let until = Instant::now() + MAX_MAILBOX_TIME;
        // Under load the next batch arrives as soon as one is written, and a pass of the loop costs more than writing it.
        while self.poll_mailboxes() && Instant::now() < until {
            wait::serve_interrupts();
            client::wait_for_event(NEXT_DELIVERY_TIMEOUT);
        }
    }

    /// Writes what the mailboxes have delivered. Returns whether there was anything.
    fn poll_mailboxes(&mut self) -> bool {
        let any = self.mailboxes.as_mut().is_some_and(MailboxReaders::poll);
        if any {
            self.idle_since = Instant::now();
        }
        any
    }
}

/// Reads the settings again after a SIGHUP, and returns whether there was one. Must not be called inside a transaction.
fn reload_after_sighup() -> bool {
    let received = BackgroundWorker::sighup_received();
    if received {
        reload_configuration();
    }
    received
}
