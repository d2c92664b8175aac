//! What the worker has to do with calls: it asks the engine for those that have ended, writes them down, says so, and
//! asks for the next ones.

use crate::accounting::write;
use crate::pg::error::{Error, Outcome};
use crate::pg::{activity, wait};
use crate::worker::client::{self, Pending};
use pgrx::log;
use ragstone_core::protocol::{Request, Response};
use ragstone_core::provider::Call;
use std::time::{Duration, Instant};

/// After so long it is asked anew: a request of a worker before this one may have come to the engine later.
const ASK_ANEW: Duration = Duration::from_secs(30);

/// After so long without an engine it is looked for again.
const AWAY: Duration = Duration::from_secs(1);

/// Pauses after calls could not be written double from the first to the second of these.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

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
    database: u32,
    asked: Option<(Pending, Instant)>,
    /// Number of the last call that is written and that the engine still has.
    written: u64,
    rest_until: Instant,
    backoff: Duration,
    prune_at: Instant,
}

impl Books {
    /// The books of a database before anything was asked.
    pub fn open(database: u32) -> Self {
        let now = Instant::now();
        Self { database, asked: None, written: 0, rest_until: now, backoff: BACKOFF.0, prune_at: now }
    }

    /// Does what there is to do, without waiting for the engine and without starting one. Gives whether there was
    /// something. Not to be called where a transaction is open.
    pub fn keep(&mut self) -> bool {
        self.prune();
        if Instant::now() < self.rest_until {
            return false;
        }
        match self.take() {
            Ok(None) => {
                self.ask();
                false
            }
            Ok(Some((calls, lost))) => {
                let written = self.write(&calls, lost);
                self.ask();
                written
            }
            Err(_) => {
                // Numbers of this engine say nothing to the next.
                (self.asked, self.written) = (None, 0);
                self.rest(BACKOFF.0);
                false
            }
        }
    }

    /// Waits until the engine has something, the latch is set or the time is over.
    pub fn nap(&mut self, timeout: Duration) {
        match &self.asked {
            Some((pending, _)) => pending.nap(timeout),
            None => wait::for_latch(timeout),
        }
    }

    fn take(&mut self) -> Outcome<Option<(Vec<Call>, u64)>> {
        let Some((pending, _)) = &mut self.asked else { return Ok(None) };
        match pending.look()? {
            None => {
                self.asked.take_if(|(_, since)| since.elapsed() >= ASK_ANEW);
                Ok(None)
            }
            Some(Response::Calls { calls, lost }) => {
                self.asked = None;
                Ok(Some((calls, lost)))
            }
            Some(other) => {
                Err(Error::internal(format!("unexpected answer to a request for calls: {other:?}")))
            }
        }
    }

    fn ask(&mut self) {
        if self.asked.is_some() || Instant::now() < self.rest_until {
            return;
        }
        let request = Request::TakeCalls { database: self.database, written: self.written };
        match client::send_if_running(request) {
            Ok(Some(pending)) => self.asked = Some((pending, Instant::now())),
            Ok(None) | Err(_) => {
                self.written = 0;
                self.rest(AWAY);
            }
        }
    }

    fn write(&mut self, calls: &[Call], lost: u64) -> bool {
        if lost > 0 {
            log!(
                "ragstone worker: {lost} calls to providers are not in rag.calls, since too many were waiting to be written"
            );
        }
        activity::report("ragstone: writing calls to providers");
        match write::write(calls) {
            Ok(()) => {
                self.written = calls.last().map_or(self.written, |call| call.number);
                self.backoff = BACKOFF.0;
                true
            }
            Err(error) => {
                if self.backoff == BACKOFF.0 {
                    log!("ragstone worker: could not write calls: {}: {}", error.code(), error.message);
                }
                self.rest(self.backoff);
                self.backoff = (self.backoff * 2).min(BACKOFF.1);
                false
            }
        }
    }

    fn rest(&mut self, pause: Duration) {
        self.rest_until = Instant::now() + pause;
    }

    fn prune(&mut self) {
        if Instant::now() < self.prune_at {
            return;
        }
        let more = write::prune().unwrap_or_else(|error| {
            log!("ragstone worker: could not delete old calls: {}: {}", error.code(), error.message);
            false
        });
        // In between the worker does what else there is to do.
        self.prune_at = Instant::now() + if more { Duration::ZERO } else { PRUNE };
    }
}
