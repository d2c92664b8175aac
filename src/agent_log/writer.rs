//! The worker's part in the log: it writes down what was posted to the engine, and what has become of the transactions that
//! posted it.

use crate::agent_log::insert::{Left, write};
use crate::agent_log::send;
use pgrx::log;
use ragstone_client::engine::mailbox::{MailboxConsumer, MailboxReader};
use ragstone_core::log::{Entry, Packet, RunEnd, quote};
use ragstone_core::protocol::{Request, Response};
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::blame::{Blame, blame};
use ragstone_pg::catalogue::extension_relation;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::extension::is_installed;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::spi::{connect, run};
use ragstone_pg::switch_user::{as_owner, with_settings};
use std::time::{Duration, Instant};

/// What has become of callers is looked up so often, while some have not ended.
const SETTLE: Duration = Duration::from_secs(1);

/// An end of a run that is not there, or that another transaction has with_safe_search_path, is tried again for so long.
const LATE: Duration = Duration::from_secs(60);

/// Ends that are kept for another try.
const MOST_LATE: usize = 1000;

/// A lock that somebody has on the tables is waited for so long: the worker has other things to do.
const PATIENCE: &str = "2s";

/// An engine that ended so long after it brought something had nothing more, most likely.
const RECENTLY: Duration = Duration::from_secs(10);

/// Whether entries of a database are not written down.
pub fn has_entries_left(database: u32) -> bool {
    matches!(send::state(database), Ok(Some(state)) if state.waiting > 0)
}

/// Who writes the log of a database.
pub struct Scribe {
    /// What was posted.
    pub inbox: MailboxReader<Posted>,
    settle_at: Instant,
    unsettled: bool,
}

impl Scribe {
    /// Before anything was asked.
    pub fn new(database: u32) -> Self {
        let posted = Posted { unsettled: true, late: Vec::new(), brought: None };
        Self { inbox: MailboxReader::open(database, posted), settle_at: Instant::now(), unsettled: false }
    }

    /// Does what there is to do, as [`MailboxReader::poll`].
    pub fn keep(&mut self) -> bool {
        let worked = self.inbox.poll();
        self.unsettled |= std::mem::take(&mut self.inbox.consumer.unsettled);
        if Instant::now() >= self.settle_at {
            self.settle_at = Instant::now() + SETTLE;
            self.settle();
            self.inbox.consumer.try_again();
        }
        worked
    }

    /// Whether something is left that no worker after this one would know of.
    pub fn is_needed(&self) -> bool {
        !self.inbox.consumer.late.is_empty()
    }

    fn settle(&mut self) {
        if !self.unsettled {
            return;
        }
        match as_log_owner(|| {
            let rows = run(include_str!("../../sql/queries/settle.sql"), &[])?;
            Ok(rows.boolean(0, 0) == Some(true))
        }) {
            Ok(unsettled) => self.unsettled = unsettled.unwrap_or(false),
            Err(error) => log!("ragstone worker: the log: {}: {}", error.code(), error.message),
        }
    }
}

/// What was posted, and what is still to be done about it.
pub struct Posted {
    /// Whether a caller's transaction had not ended when its entries were written.
    unsettled: bool,
    /// Ends that could not be written, since when.
    late: Vec<(RunEnd, Instant)>,
    /// When the engine brought something last.
    brought: Option<Instant>,
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
        self.brought = Some(Instant::now());
        if lost > 0 {
            log!(
                "ragstone worker: {lost} runs and steps are not in the log, since too many were waiting to be written"
            );
        }
        self.write_packets(&packets)
    }

    fn lost_engine(&mut self) {
        if self.brought.take().is_some_and(|at| at.elapsed() < RECENTLY) {
            log!(
                "ragstone worker: the engine has ended; runs and steps that were posted to it in its last moments are not in the log"
            );
        }
    }
}

impl Posted {
    fn write_packets(&mut self, packets: &[Packet]) -> Result<()> {
        // Where the extension has gone, or was made anew, so have the tables that these were for.
        let Some(table) = as_log_owner(|| extension_relation(c"_steps"))? else { return Ok(()) };
        let mut entries = Vec::new();
        for packet in packets.iter().filter(|packet| packet.table == table.to_u32()) {
            match packet.unpack() {
                Ok(unpacked) => entries.extend(unpacked),
                Err(error) => log!("ragstone worker: could not read {} steps: {error}", packet.entries),
            }
        }
        match self.write_all(&entries) {
            Err(error) if is_an_entry_s(&error) => self.write_one_by_one(&entries),
            outcome => outcome,
        }
    }

    fn write_all(&mut self, entries: &[Entry]) -> Result<()> {
        let left = as_worker(|| write(entries))?;
        self.note(left);
        Ok(())
    }

    /// So that an entry that cannot be written takes no other with it. Its values are kept as text then.
    fn write_one_by_one(&mut self, entries: &[Entry]) -> Result<()> {
        for entry in entries {
            let mut outcome = self.write_all(std::slice::from_ref(entry));
            if matches!(&outcome, Err(error) if is_an_entry_s(error)) {
                outcome = self.write_all(&[as_text(entry.clone())]);
            }
            match outcome {
                Err(error) if is_an_entry_s(&error) => {
                    let (what, code) = (name(entry), error.code());
                    log!("ragstone worker: could not write {what}: {code}: {}", error.message);
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    fn note(&mut self, left: Left) {
        self.unsettled |= left.unsettled;
        let now = Instant::now();
        for end in left.ends {
            self.late.retain(|(late, _)| late.id != end.id);
            if self.late.len() < MOST_LATE {
                self.late.push((end, now));
            } else {
                tell_given_up(&end);
            }
        }
    }

    /// Tries ends again that could not be written.
    fn try_again(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let ends: Vec<_> = self.late.iter().map(|(end, _)| Entry::End(end.clone())).collect();
        let Ok(left) = as_worker(|| write(&ends)) else { return };
        self.late.retain(|(end, since)| {
            let waits = left.ends.iter().any(|left| left.id == end.id);
            let given_up = waits && since.elapsed() >= LATE;
            if given_up {
                tell_given_up(end);
            }
            waits && !given_up
        });
    }
}

fn tell_given_up(end: &RunEnd) {
    log!(
        "ragstone worker: run {} is \"{}\", but it is not in the log, or another transaction keeps it locked",
        end.id,
        end.status
    );
}

fn name(entry: &Entry) -> String {
    match entry {
        Entry::Start(start) => format!("run {}", start.id),
        Entry::Step(step) => format!("step {} of run {}", step.id, step.run_id),
        Entry::End(end) => format!("the end of run {}", end.id),
    }
}

/// Whether an entry is to blame that was to be written, and not what all of them need.
fn is_an_entry_s(error: &Error) -> bool {
    blame(error) == Blame::Row
}

/// The same entry with texts in the place of JSON that `jsonb` does not take.
fn as_text(mut entry: Entry) -> Entry {
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

/// A transaction of the worker's own in which no lock is waited for long.
fn as_worker<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    in_transaction(|| with_settings(&[("lock_timeout", PATIENCE)], work))
}

/// The same as the owner of the tables; nothing where the extension has gone.
pub(super) fn as_log_owner<T>(work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    as_worker(|| {
        with_safe_search_path(|| {
            connect(|| if is_installed()? { as_owner(config_owner()?, work).map(Some) } else { Ok(None) })
        })
    })
}
