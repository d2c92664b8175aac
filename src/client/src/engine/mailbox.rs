//! One of the engine's mailboxes, as the worker sees it that writes down what is in it: it asks, writes, says so, and asks
//! for what follows, without ever waiting for the engine.

use crate::engine::client;
use crate::engine::client::Pending;
use pgrx::log;
use ragstone_core::protocol::{Request, Response};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::{activity, wait};
use std::time::{Duration, Instant};

/// After so long it is asked anew: a request of a worker before this one may have come to the engine later.
const ASK_ANEW: Duration = Duration::from_secs(30);

/// After so long without an engine it is looked for again.
const AWAY: Duration = Duration::from_secs(1);

/// Pauses after mail could not be written double from the first to the second of these.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A kind of mail.
pub trait Mail {
    /// What an answer brings.
    type Batch;

    /// What it is, for messages.
    const NAME: &'static str;

    /// Asks for what follows the number up to which all is written.
    fn ask(database: u32, written: u64) -> Request;

    /// What came, with its last number; nothing where the answer is one to something else.
    fn accept(answer: Response) -> Option<(Self::Batch, u64)>;

    /// Writes it in transactions of its own. What is written once must not be changed by being written again.
    fn write(&mut self, batch: Self::Batch) -> Result<()>;

    /// The engine has gone, and whatever it still had.
    fn lost_engine(&mut self) {}
}

/// The mail of one kind of a database.
pub struct Inbox<M> {
    /// What is done with it.
    pub mail: M,
    database: u32,
    asked: Option<(Pending, Instant)>,
    /// The last number that is written and that the engine still has.
    written: u64,
    rest_until: Instant,
    backoff: Duration,
}

impl<M: Mail> Inbox<M> {
    /// Before anything was asked.
    pub fn open(database: u32, mail: M) -> Self {
        Self { mail, database, asked: None, written: 0, rest_until: Instant::now(), backoff: BACKOFF.0 }
    }

    /// Does what there is to do, without waiting for the engine and without starting one. Gives whether there was
    /// something. Not to be called where a transaction is open.
    pub fn keep(&mut self) -> bool {
        if Instant::now() < self.rest_until {
            return false;
        }
        match self.take() {
            Ok(None) => {
                self.ask();
                false
            }
            Ok(Some((batch, last))) => {
                let written = self.write(batch, last);
                self.ask();
                written
            }
            Err(_) => {
                // Numbers of this engine say nothing to the next.
                (self.asked, self.written) = (None, 0);
                self.mail.lost_engine();
                self.rest(BACKOFF.0);
                false
            }
        }
    }

    /// Waits until the engine has something, for this or another inbox of this process, the latch is set or the time is over.
    pub fn nap(&self, timeout: Duration) {
        match &self.asked {
            Some((pending, _)) => pending.nap(timeout),
            None => wait::for_latch(timeout),
        }
    }

    /// Whether the engine will say when there is something.
    pub fn has_asked(&self) -> bool {
        self.asked.is_some()
    }

    fn take(&mut self) -> Result<Option<(M::Batch, u64)>> {
        let Some((pending, _)) = &mut self.asked else { return Ok(None) };
        let Some(answer) = pending.look()? else {
            self.asked.take_if(|(_, since)| since.elapsed() >= ASK_ANEW);
            return Ok(None);
        };
        self.asked = None;
        let unexpected = || Error::internal(format!("unexpected answer to a request for {}", M::NAME));
        M::accept(answer).map(Some).ok_or_else(unexpected)
    }

    fn ask(&mut self) {
        if self.asked.is_some() || Instant::now() < self.rest_until {
            return;
        }
        match client::send_if_running(M::ask(self.database, self.written)) {
            Ok(Some(pending)) => self.asked = Some((pending, Instant::now())),
            Ok(None) | Err(_) => {
                self.written = 0;
                self.rest(AWAY);
            }
        }
    }

    fn write(&mut self, batch: M::Batch, last: u64) -> bool {
        activity::report(&format!("ragstone: writing {}", M::NAME));
        match self.mail.write(batch) {
            Ok(()) => {
                self.written = last;
                self.backoff = BACKOFF.0;
                true
            }
            Err(error) => {
                if self.backoff == BACKOFF.0 {
                    log!("ragstone worker: could not write {}: {}: {}", M::NAME, error.code(), error.message);
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
}
