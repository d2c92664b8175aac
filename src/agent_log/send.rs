//! Entries that must outlive the transaction that logs them: they are posted to the engine, which keeps them
//! until the database's coordinator has written them.

use crate::agent_log::insert::write;
use pgrx::PgLogLevel;
use ragstone_client::engine::{client, one_way};
use ragstone_client::processes::place::Place;
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

/// Interval at which a session that posts checks that its database has a coordinator. An idle coordinator
/// exits only after a longer time.
const COORDINATOR_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Interval at which the engine is asked whether posted entries have been written.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

thread_local! {
    static COORDINATOR_CHECKED_AT: Cell<Option<Instant>> = const { Cell::new(None) };

    /// The entries of a statement, which must be posted all or none.
    static COLLECTED: RefCell<Option<Vec<Entry>>> = const { RefCell::new(None) };
}

/// Posts an entry, to be written in another transaction, if `rag.log_durability` is `autonomous`. Returns
/// false if the caller must write it in its own transaction; this is also the case, after a WARNING, if the
/// entry could not be posted.
pub fn post_if_autonomous(entry: impl FnOnce() -> Result<Entry>) -> Result<bool> {
    if !is_autonomous() {
        return Ok(false);
    }
    let entry = entry()?;
    let single = COLLECTED.with_borrow_mut(|collected| match collected {
        Some(collected) => {
            collected.push(entry);
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

/// True if entries must outlive the caller's transaction.
pub fn is_autonomous() -> bool {
    settings::log_durability() == LogDurability::Autonomous
}

/// Posts the entries of `work` together after it has succeeded; none if it fails. Entries that cannot be
/// posted are written in the open transaction, after a WARNING.
pub fn post_together<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let collecting = Collecting::start();
    let done = work()?;
    let entries = collecting.end();
    if let Err((posted, reason)) = post(&entries) {
        warn(reason);
        let own: Vec<_> = entries[posted..].iter().cloned().map(without_caller).collect();
        write(&own)?;
    }
    Ok(done)
}

/// Collects entries until it is dropped, which an ERROR does as well.
struct Collecting;

impl Collecting {
    fn start() -> Self {
        COLLECTED.set(Some(Vec::new()));
        Self
    }

    fn end(self) -> Vec<Entry> {
        COLLECTED.take().unwrap_or_default()
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        COLLECTED.set(None);
    }
}

fn warn(reason: Error) {
    let detail = [reason.message, reason.detail].into_iter().filter(|text| !text.is_empty());
    Error::warning("steps are logged in the caller's transaction and are lost if it is rolled back")
        .detail(detail.collect::<Vec<_>>().join(": "))
        .hint(reason.hint)
        .notice(PgLogLevel::WARNING);
}

/// Posts entries in order. A posted entry reaches the engine even if this process ends. Cancelling the
/// statement interrupts the call.
///
/// # Errors
/// The number of entries that were posted, which are the first ones, and why the others were not.
pub fn post(entries: &[Entry]) -> Result<(), (usize, Error)> {
    if entries.is_empty() {
        return Ok(());
    }
    let nothing = |error| (0, error);
    let (standby, database) = (session::is_standby(), session::database());
    if standby {
        return Err(nothing(Error::unavailable("a standby cannot write the log")));
    }
    let table = extension_relation(c"_steps").map_err(nothing)?.to_u32();
    let packets = Packet::pack(table, entries).map_err(|error| nothing(error.into()))?;
    let mut posted = 0;
    for packet in packets {
        let count = packet.entries as usize;
        one_way::send_and_forget(&Request::PostLog { database, packet }).map_err(|error| (posted, error))?;
        posted += count;
    }
    ensure_coordinator();
    Ok(())
}

fn ensure_coordinator() {
    if COORDINATOR_CHECKED_AT.get().is_none_or(|at| at.elapsed() >= COORDINATOR_CHECK_INTERVAL) {
        COORDINATOR_CHECKED_AT.set(Some(Instant::now()));
        slots::ensure(Place::Coordinator);
    }
}

/// Makes the entry part of the open transaction.
fn without_caller(mut entry: Entry) -> Entry {
    match &mut entry {
        Entry::Start(start) => start.caller_xid = None,
        Entry::Step(step) => step.caller_xid = None,
        Entry::End(_) => {}
    }
    entry
}

/// Calls `look` until it returns something, while posted entries of this database are not written yet, and
/// for at most `timeout`.
pub fn wait_for<T>(timeout: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let deadline = Instant::now() + timeout;
    let database = session::database();
    loop {
        // The order matters: `look` finds all entries that were written before this request.
        let are_waiting = matches!(state(database), Ok(Some(state)) if state.waiting > 0);
        let found = look()?;
        if found.is_some() || !are_waiting || Instant::now() >= deadline {
            return Ok(found);
        }
        ensure_coordinator();
        wait::for_latch(POLL_INTERVAL);
    }
}

/// Waits until the engine has read what this session has posted, so that other sessions' [`wait_for`] sees it.
pub fn settle() {
    let _ = one_way::ask(&Request::LogState { database: session::database() });
}

/// The engine's counters for the log of a database, which count what this session has posted; None if no engine runs.
pub fn state(database: u32) -> Result<Option<LogState>> {
    let request = Request::LogState { database };
    let behind_posts = one_way::ask(&request);
    match behind_posts.map_or_else(|| client::call_if_running(request), |answer| Ok(Some(answer)))? {
        None => Ok(None),
        Some(Response::LogState(state)) => Ok(Some(state)),
        Some(other) => Err(Error::internal(format!("unexpected answer about the log: {other:?}"))),
    }
}
