//! The coordinator's part of the call records: it writes finished calls, and deletes old ones.

use crate::call_log::rows;
use pgrx::log;
use ragstone_client::engine::client;
use ragstone_client::engine::mailbox::{MailboxConsumer, MailboxReader};
use ragstone_core::protocol::{Request, Response};
use ragstone_core::provider::Call;
use ragstone_pg::error::Result;
use std::time::{Duration, Instant};

/// Interval at which old calls are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// True if the engine has calls of the database that are in progress or not written yet. If the coordinator
/// exits before they are written, the next coordinator, which the next call starts, writes them.
pub fn has_calls_left(database: u32) -> bool {
    let answer = client::call_if_running(Request::CallsLeft { database });
    matches!(answer, Ok(Some(Response::Counts(counts))) if counts.iter().any(|count| *count > 0))
}

/// Writes the records of the calls of a database.
pub struct CallRecordWriter {
    /// The finished calls.
    pub inbox: MailboxReader<Calls>,
    prune_at: Instant,
}

impl CallRecordWriter {
    /// The state before the first request to the engine.
    pub fn open(database: u32) -> Self {
        Self { inbox: MailboxReader::open(database, Calls), prune_at: Instant::now() }
    }

    /// Does all work that is due, as [`MailboxReader::poll`] does. Returns true if it wrote anything.
    pub fn poll(&mut self) -> bool {
        self.prune();
        self.inbox.poll()
    }

    fn prune(&mut self) {
        if Instant::now() < self.prune_at {
            return;
        }
        let more = rows::prune().unwrap_or_else(|error| {
            log!("ragstone coordinator: could not delete old calls: {}: {}", error.code(), error.message);
            false
        });
        // One batch per pass, so that the coordinator's other work is not delayed.
        self.prune_at = Instant::now() + if more { Duration::ZERO } else { PRUNE_INTERVAL };
    }
}

/// The consumer of finished calls.
pub struct Calls;

impl MailboxConsumer for Calls {
    type Batch = (Vec<Call>, u64);

    const NAME: &'static str = "calls to providers";

    fn request(database: u32, written: u64) -> Request {
        Request::TakeCalls { database, written }
    }

    fn accept(answer: Response) -> Option<(Self::Batch, u64)> {
        let Response::Calls { calls, lost } = answer else { return None };
        let last = calls.last().map_or(0, |call| call.number);
        Some(((calls, lost), last))
    }

    fn write(&mut self, (calls, lost): Self::Batch) -> Result<()> {
        if lost > 0 {
            log!(
                "ragstone coordinator: dropped {lost} calls to providers, because too many were waiting to be written to rag.calls"
            );
        }
        rows::write(&calls)
    }
}
