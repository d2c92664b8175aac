//! Entries that are to outlive the transaction that they are made in: they go to the engine, which keeps them for the database's
//! worker.

use crate::agent_log::insert::write;
use pgrx::PgLogLevel;
use ragstone_client::engine::{client, one_way};
use ragstone_client::processes::slots;
use ragstone_client::settings;
use ragstone_client::settings::LogDurability;
use ragstone_core::log::{Entry, Packet};
use ragstone_core::protocol::{LogState, Request, Response};
use ragstone_pg::catalogue::extension_relation;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::session;
use ragstone_pg::wait;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// A session that posts looks so often whether its database has a worker. One that has something to do leaves only when it has
/// had nothing for longer.
const LOOK: Duration = Duration::from_millis(100);

/// Whether somebody writes down what was posted is asked so often.
const PAUSE: Duration = Duration::from_millis(5);

thread_local! {
    static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };

    /// Entries of a statement that are to go together, or not at all.
    static TOGETHER: RefCell<Option<Vec<Entry>>> = const { RefCell::new(None) };
}

/// Gives an entry away to be written in another transaction, where `rag.log_durability` says so. False where the caller
/// is to write it in his: also where it cannot be given away, after a WARNING.
pub fn posted(entry: impl FnOnce() -> Result<Entry>) -> Result<bool> {
    if !is_autonomous() {
        return Ok(false);
    }
    let entry = entry()?;
    let single = TOGETHER.with_borrow_mut(|together| match together {
        Some(together) => {
            together.push(entry);
            None
        }
        None => Some(entry),
    });
    match single.map(|entry| post(&[entry])) {
        None | Some(Ok(())) => Ok(true),
        Some(Err((_, reason))) => {
            warn(reason);
            Ok(false)
        }
    }
}

/// Whether entries are to outlive the caller's transaction.
pub fn is_autonomous() -> bool {
    settings::log_durability() == LogDurability::Autonomous
}

/// Posts all entries that `work` makes at once, after it: none where it fails. Those that cannot be posted are written in the
/// transaction that is open, after a WARNING.
pub fn together<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let collecting = Collecting::start();
    let done = work()?;
    let entries = collecting.end();
    if let Err((posted, reason)) = post(&entries) {
        warn(reason);
        let own: Vec<_> = entries[posted..].iter().cloned().map(of_this_transaction).collect();
        write(&own)?;
    }
    Ok(done)
}

/// While it lives, entries are collected. An ERROR ends it, too.
struct Collecting;

impl Collecting {
    fn start() -> Self {
        TOGETHER.set(Some(Vec::new()));
        Self
    }

    fn end(self) -> Vec<Entry> {
        TOGETHER.take().unwrap_or_default()
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        TOGETHER.set(None);
    }
}

fn warn(reason: Error) {
    let detail = [reason.message, reason.detail].into_iter().filter(|text| !text.is_empty());
    Error::warning("what is logged belongs to this transaction, and goes where it is rolled back")
        .detail(detail.collect::<Vec<_>>().join(": "))
        .hint(reason.hint)
        .notice(PgLogLevel::WARNING);
}

/// Posts entries, in order: each is then on its way, and comes to the engine whatever becomes of this process. A cancelled
/// statement leaves from here.
///
/// # Errors
/// How many of them, the first, are on their way, and why not the others.
pub fn post(entries: &[Entry]) -> Result<(), (usize, Error)> {
    if entries.is_empty() {
        return Ok(());
    }
    let nothing = |error| (0, error);
    let (standby, database) = (session::is_standby(), session::database());
    if standby {
        return Err(nothing(Error::unavailable("no worker writes on a standby")));
    }
    let table = extension_relation(c"_steps").map_err(nothing)?.to_u32();
    let packets = Packet::pack(table, entries).map_err(|error| nothing(error.into()))?;
    let mut posted = 0;
    for packet in packets {
        let count = packet.entries as usize;
        one_way::send_and_forget(&Request::PostLog { database, packet }).map_err(|error| (posted, error))?;
        posted += count;
    }
    ensure_worker();
    Ok(())
}

fn ensure_worker() {
    if LOOKED.get().is_none_or(|at| at.elapsed() >= LOOK) {
        LOOKED.set(Some(Instant::now()));
        slots::ensure();
    }
}

fn of_this_transaction(mut entry: Entry) -> Entry {
    match &mut entry {
        Entry::Start(start) => start.caller_xid = None,
        Entry::Step(step) => step.caller_xid = None,
        Entry::End(_) => {}
    }
    entry
}

/// Waits for what `look` finds, as long as something that was posted for this database is not written down, and no longer than
/// `patience`.
pub fn wait_for<T>(patience: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let deadline = Instant::now() + patience;
    let database = session::database();
    loop {
        // Before it is looked: what is written down until here is found.
        let on_its_way = matches!(state(database), Ok(Some(state)) if state.waiting > 0);
        let found = look()?;
        if found.is_some() || !on_its_way || Instant::now() >= deadline {
            return Ok(found);
        }
        ensure_worker();
        wait::for_latch(PAUSE);
    }
}

/// What the engine knows of the log of a database; nothing where no engine runs.
pub fn state(database: u32) -> Result<Option<LogState>> {
    match client::call_if_running(Request::LogState { database })? {
        None => Ok(None),
        Some(Response::LogState(state)) => Ok(Some(state)),
        Some(other) => Err(Error::internal(format!("unexpected answer about the log: {other:?}"))),
    }
}
