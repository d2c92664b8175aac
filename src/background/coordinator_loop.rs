//! The loop of a database's coordinator: it starts jobs, writes the contents of the engine's mailboxes, and
//! maintains the partitions and roll-ups of the agent log. It uses only the extension's own tables, because
//! locks and code of users' tables would hold it up.

use crate::agent_log::{Partitions, Rollup, has_steps_left};
use crate::background::exit::{ExitReason, MAX_SLEEP, has_mail_left, has_rows_left, reload_after_sighup};
use crate::background::mailbox_readers::MailboxReaders;
use crate::jobs;
use crate::jobs::Dispatch;
use ragstone_client::engine::client;
use ragstone_client::processes::missing_slot::{self, Waiting};
use ragstone_client::processes::place::Place;
use ragstone_client::processes::slots;
use ragstone_client::settings;
use ragstone_pg::{activity, databases, wait};
use std::time::{Duration, Instant};

/// Maximum time spent draining mailboxes before the coordinator handles other work.
const MAX_MAILBOX_TIME: Duration = Duration::from_millis(100);

/// Maximum time that a coordinator with continuous work keeps its slot while another one waits for a slot.
const MAX_TURN: Duration = Duration::from_secs(10);

/// Maximum wait for the engine's next mailbox batch.
const NEXT_DELIVERY_TIMEOUT: Duration = Duration::from_millis(5);

struct Coordinator {
    database: u32,
    mailboxes: MailboxReaders,
    jobs: Dispatch,
    partitions: Partitions,
    rollup: Rollup,
    idle_since: Instant,
    started: Instant,
}

/// Runs the coordinator until its idle timeout has passed or it must exit.
pub fn run(database: u32) -> ExitReason {
    let mut coordinator = Coordinator {
        database,
        mailboxes: MailboxReaders::new(database),
        jobs: Dispatch::new(database),
        partitions: Partitions::new(),
        rollup: Rollup::new(),
        idle_since: Instant::now(),
        started: Instant::now(),
    };
    // Rows may have been queued before the server was started.
    if has_rows_left() {
        slots::ensure(Place::FIRST_INDEXER);
    }
    loop {
        wait::serve_interrupts();
        reload_after_sighup();
        activity::report_statistics();
        slots::serve_requests_at_intervals();
        if databases::is_wanted_exclusively(database) {
            jobs::end_workers(database);
            return coordinator.not_wanted();
        }
        coordinator.poll_mailboxes();
        if coordinator.jobs.run_due() {
            coordinator.idle_since = Instant::now();
        }
        if !coordinator.jobs.is_installed() {
            return coordinator.not_wanted();
        }
        coordinator.partitions.run_due();
        let has_more = coordinator.rollup.run_due();
        if has_more {
            coordinator.idle_since = Instant::now();
        }
        if coordinator.may_exit() {
            return coordinator.exit_reason();
        }
        if !has_more {
            coordinator.sleep();
        }
    }
}

impl Coordinator {
    fn not_wanted(&self) -> ExitReason {
        missing_slot::note(self.database, Waiting::Job, false);
        ExitReason::NotWanted
    }

    fn exit_reason(&self) -> ExitReason {
        if self.partitions.are_unfinished() {
            ExitReason::Unfinished
        } else if slots::is_room_needed(Place::Coordinator) {
            ExitReason::SlotNeeded
        } else {
            ExitReason::Idle
        }
    }

    fn may_exit(&self) -> bool {
        let idle = self.idle_since.elapsed();
        if idle <= MAX_SLEEP && self.started.elapsed() <= MAX_TURN || self.mailboxes.is_needed() {
            return false;
        }
        // Work that continues without a caller, or that is due later, is done when this database has its next
        // turn.
        let has_work = || {
            self.jobs.has_jobs()
                || self.partitions.are_unfinished()
                || has_mail_left(self.database)
                || has_steps_left()
        };
        slots::is_room_needed(Place::Coordinator) || idle > settings::sync_idle_timeout() && !has_work()
    }

    /// Sleeps until some work is due, the latch is set or a mailbox batch arrives.
    fn sleep(&mut self) {
        activity::report_idle();
        let left = self.rollup.next_check().saturating_duration_since(Instant::now());
        self.wait(left.clamp(Duration::from_millis(1), MAX_SLEEP));
    }

    /// Waits for the latch or the engine, and writes mailbox batches that arrive meanwhile.
    fn wait(&mut self, timeout: Duration) {
        client::wait_for_event(timeout);
        let until = Instant::now() + MAX_MAILBOX_TIME;
        // Under load the next batch arrives as soon as one is written, and a full pass of the loop costs more
        // than writing a batch.
        while self.poll_mailboxes() && Instant::now() < until {
            wait::serve_interrupts();
            client::wait_for_event(NEXT_DELIVERY_TIMEOUT);
        }
    }

    /// Writes the batches that have arrived. Returns true if there were any.
    fn poll_mailboxes(&mut self) -> bool {
        let any = self.mailboxes.poll();
        if any {
            self.idle_since = Instant::now();
        }
        any
    }
}
