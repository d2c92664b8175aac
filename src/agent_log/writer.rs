//! The coordinator's part of the log: it writes the entries that were posted to the engine, and later records
//! whether the transactions that posted them have committed.

use crate::agent_log::insert::{Unwritten, write};
use crate::agent_log::send;
use crate::agent_log::tables::{as_log_owner, in_own_transaction};
use pgrx::log;
use ragstone_client::engine::mailbox::{MailboxConsumer, MailboxReader};
use ragstone_core::backoff::Backoff;
use ragstone_core::log::{Entry, Packet, RunEnd, quote};
use ragstone_core::protocol::{Request, Response};
use ragstone_pg::blame::{Blame, blame};
use ragstone_pg::catalogue::extension_relation;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::run;
use std::time::{Duration, Instant};

/// Interval at which the states of callers' transactions are looked up while some are in progress.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);

/// Pauses after a failure of this look-up.
const SETTLE_BACKOFF: Backoff = Backoff::new(SETTLE_INTERVAL, Duration::from_secs(10));

/// Time for which the end of a run is retried while the run is not in its table, or is locked by another
/// transaction.
const MAX_END_RETRY_TIME: Duration = Duration::from_secs(60);

/// Maximum number of ends that are kept for a retry.
const MAX_LATE_ENDS: usize = 1000;

/// Maximum wait for a lock on the tables, since the coordinator has other work.
const LOCK_TIMEOUT: &str = "2s";

/// If the engine ends within this time after a delivery, a loss is reported in the server log. After a longer
/// time it is assumed to have had no entries left.
const ENGINE_LOSS_WINDOW: Duration = Duration::from_secs(10);

/// True if the engine has entries of the database that are not written yet.
pub fn has_entries_left(database: u32) -> bool {
    matches!(send::state(database), Ok(Some(state)) if state.waiting > 0)
}

/// Writes the log of a database.
pub struct LogWriter {
    /// The entries that were posted.
    pub inbox: MailboxReader<Posted>,
    settle_at: Instant,
    settle_backoff: Backoff,
    has_pending_callers: bool,
}

impl LogWriter {
    /// The state before the first request to the engine.
    pub fn new(database: u32) -> Self {
        let posted = Posted { has_pending_callers: true, late: Vec::new(), delivered_at: None };
        Self {
            inbox: MailboxReader::open(database, posted),
            settle_at: Instant::now(),
            settle_backoff: SETTLE_BACKOFF,
            has_pending_callers: false,
        }
    }

    /// Does all work that is due, as [`MailboxReader::poll`] does. Returns true if it wrote anything.
    pub fn poll(&mut self) -> bool {
        let worked = self.inbox.poll();
        self.has_pending_callers |= std::mem::take(&mut self.inbox.consumer.has_pending_callers);
        if Instant::now() >= self.settle_at {
            self.settle_callers();
            self.inbox.consumer.retry_late_ends();
            self.settle_at = Instant::now() + self.settle_backoff.last_pause().unwrap_or(SETTLE_INTERVAL);
        }
        worked
    }

    /// True if ends wait for a retry that only this process knows of.
    pub fn is_needed(&self) -> bool {
        !self.inbox.consumer.late.is_empty()
    }

    fn settle_callers(&mut self) {
        if !self.has_pending_callers {
            return;
        }
        match as_log_owner(LOCK_TIMEOUT, || {
            let rows = run(include_str!("../../sql/queries/settle.sql"), &[])?;
            Ok(rows.boolean(0, 0) == Some(true))
        }) {
            Ok(pending) => {
                self.has_pending_callers = pending.unwrap_or(false);
                self.settle_backoff.reset();
            }
            Err(error) => {
                if self.settle_backoff.is_idle() {
                    log!(
                        "ragstone coordinator: could not mark steps as committed or rolled back: {}: {}",
                        error.code(),
                        error.message
                    );
                }
                self.settle_backoff.next_pause();
            }
        }
    }
}

/// The consumer of posted entries, and the work that remains for entries that it has written.
pub struct Posted {
    /// True if the transaction of a caller was in progress when its entries were written.
    has_pending_callers: bool,
    /// Ends that could not be written, with the time of the first attempt.
    late: Vec<(RunEnd, Instant)>,
    /// The time of the engine's last delivery.
    delivered_at: Option<Instant>,
}

impl MailboxConsumer for Posted {
    type Batch = (Vec<Packet>, u64);

    const NAME: &'static str = "the log";

    fn request(database: u32, written: u64) -> Request {
        Request::TakeLog { database, written }
    }

    fn accept(answer: Response) -> Option<(Self::Batch, u64)> {
        let Response::Log { upto, packets, lost } = answer else { return None };
        Some(((packets, lost), upto))
    }

    fn write(&mut self, (packets, lost): Self::Batch) -> Result<()> {
        self.delivered_at = Some(Instant::now());
        if lost > 0 {
            log!(
                "ragstone coordinator: dropped {lost} runs and steps, because too many were waiting to be written to the log"
            );
        }
        self.write_packets(&packets)
    }

    fn lost_engine(&mut self) {
        if self.delivered_at.take().is_some_and(|at| at.elapsed() < ENGINE_LOSS_WINDOW) {
            log!(
                "ragstone coordinator: the engine exited; the log may lack the last runs and steps that were sent to it"
            );
        }
    }
}

impl Posted {
    fn write_packets(&mut self, packets: &[Packet]) -> Result<()> {
        // If the extension was dropped or created anew, the tables of the entries no longer exist.
        let Some(table) = as_log_owner(LOCK_TIMEOUT, || extension_relation(c"_steps"))? else {
            return Ok(());
        };
        let mut entries = Vec::new();
        for packet in packets.iter().filter(|packet| packet.table == table.to_u32()) {
            match packet.unpack() {
                Ok(unpacked) => entries.extend(unpacked),
                Err(error) => log!(
                    "ragstone coordinator: could not decode {} steps of the log: {error}",
                    packet.entries
                ),
            }
        }
        match self.write_all(&entries) {
            Err(error) if blames_entry(&error) => self.write_one_by_one(&entries),
            outcome => outcome,
        }
    }

    fn write_all(&mut self, entries: &[Entry]) -> Result<()> {
        let unwritten = in_own_transaction(LOCK_TIMEOUT, || write(entries))?;
        self.note(unwritten);
        Ok(())
    }

    /// Writes each entry in a transaction of its own, so that an entry that cannot be written does not affect
    /// the others. Such an entry is retried with its JSON values as texts.
    fn write_one_by_one(&mut self, entries: &[Entry]) -> Result<()> {
        for entry in entries {
            let mut outcome = self.write_all(std::slice::from_ref(entry));
            if matches!(&outcome, Err(error) if blames_entry(error)) {
                outcome = self.write_all(&[with_json_as_text(entry.clone())]);
            }
            match outcome {
                Err(error) if blames_entry(&error) => {
                    let (what, code) = (describe(entry), error.code());
                    log!("ragstone coordinator: could not write {what}: {code}: {}", error.message);
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    fn note(&mut self, unwritten: Unwritten) {
        self.has_pending_callers |= unwritten.has_pending_callers;
        let now = Instant::now();
        for end in unwritten.ends {
            self.late.retain(|(late, _)| late.id != end.id);
            if self.late.len() < MAX_LATE_ENDS {
                self.late.push((end, now));
            } else {
                log_given_up(&end);
            }
        }
    }

    /// Retries ends that could not be written.
    fn retry_late_ends(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let ends: Vec<_> = self.late.iter().map(|(end, _)| Entry::End(end.clone())).collect();
        let Ok(unwritten) = in_own_transaction(LOCK_TIMEOUT, || write(&ends)) else { return };
        self.late.retain(|(end, since)| {
            let is_unwritten = unwritten.ends.iter().any(|unwritten| unwritten.id == end.id);
            let given_up = is_unwritten && since.elapsed() >= MAX_END_RETRY_TIME;
            if given_up {
                log_given_up(end);
            }
            is_unwritten && !given_up
        });
    }
}

fn log_given_up(end: &RunEnd) {
    log!(
        "ragstone coordinator: could not mark run {} as \"{}\": it is not in the log, or another transaction locks it",
        end.id,
        end.status
    );
}

fn describe(entry: &Entry) -> String {
    match entry {
        Entry::Start(start) => format!("run {}", start.id),
        Entry::Step(step) => format!("step {} of run {}", step.id, step.run_id),
        Entry::End(end) => format!("the end of run {}", end.id),
    }
}

/// True if the error was caused by this entry rather than by the environment.
fn blames_entry(error: &Error) -> bool {
    blame(error) == Blame::Row
}

/// The same entry with its JSON values as JSON strings, for values that `jsonb` does not accept.
fn with_json_as_text(mut entry: Entry) -> Entry {
    let quoted = |json: &mut Option<String>| {
        if let Some(json) = json {
            let mut text = String::with_capacity(json.len() + 2);
            quote(json, &mut text);
            *json = text;
        }
    };
    match &mut entry {
        Entry::Start(start) => [&mut start.input, &mut start.attributes].into_iter().for_each(quoted),
        Entry::Step(step) => {
            [&mut step.input, &mut step.output, &mut step.attributes].into_iter().for_each(quoted);
        }
        Entry::End(end) => quoted(&mut end.output),
    }
    entry
}
