//! What the worker has to do with calls: those that have ended are written down, and deleted when they are old.

use crate::call_log::rows;
use pgrx::log;
use ragstone_client::engine::client;
use ragstone_client::engine::mailbox::{MailboxConsumer, MailboxReader};
use ragstone_core::protocol::{Request, Response};
use ragstone_core::provider::Call;
use ragstone_pg::error::Result;
use std::time::{Duration, Instant};

/// Old calls are looked for so often.
const PRUNE: Duration = Duration::from_secs(3600);

/// Whether calls of a database have not ended or are not written down. A worker that leaves before leaves them to the
/// next one, which comes when somebody calls again.
pub fn has_calls_left(database: u32) -> bool {
    let answer = client::call_if_running(Request::CallsLeft { database });
    matches!(answer, Ok(Some(Response::Counts(counts))) if counts.iter().any(|count| *count > 0))
}

/// The books of a database.
pub struct Books {
    /// Calls that have ended.
    pub inbox: MailboxReader<Calls>,
    prune_at: Instant,
}

impl Books {
    /// The books of a database before anything was asked.
    pub fn open(database: u32) -> Self {
        Self { inbox: MailboxReader::open(database, Calls), prune_at: Instant::now() }
    }

    /// Does what there is to do, as [`MailboxReader::poll`].
    pub fn keep(&mut self) -> bool {
        self.prune();
        self.inbox.poll()
    }

    fn prune(&mut self) {
        if Instant::now() < self.prune_at {
            return;
        }
        let more = rows::prune().unwrap_or_else(|error| {
            log!("ragstone worker: could not delete old calls: {}: {}", error.code(), error.message);
            false
        });
        // In between the worker does what else there is to do.
        self.prune_at = Instant::now() + if more { Duration::ZERO } else { PRUNE };
    }
}

/// Calls that have ended, and how many were lost before them.
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
                "ragstone worker: {lost} calls to providers are not in rag.calls, since too many were waiting to be written"
            );
        }
        rows::write(&calls)
    }
}
