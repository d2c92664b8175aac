//! Reads one of the engine's mailboxes: requests a batch, writes it to tables, and acknowledges it with the next request.
//! It never blocks on the engine.

use crate::engine::client;
use crate::engine::client::Pending;
use pgrx::log;
use ragstone_core::backoff::Backoff;
use ragstone_core::protocol::{Request, Response};
use ragstone_pg::activity;
use ragstone_pg::error::{Error, Result};
use std::time::{Duration, Instant};

/// A request that is unanswered for this long is sent again: a request of an earlier worker may have reached the engine
/// later and replaced it.
const MAX_REQUEST_AGE: Duration = Duration::from_secs(30);

/// Interval at which the reader tries to connect while no engine is running.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// Pause after the connection to the engine was lost.
const LOST_ENGINE_PAUSE: Duration = Duration::from_millis(100);

/// Pauses after a batch could not be written.
const WRITE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// The content of a mailbox, and how it is written to tables.
pub trait MailboxConsumer {
    /// The content of one answer of the engine.
    type Batch;

    /// Name of the mailbox's content, for messages.
    const NAME: &'static str;

    /// The request for the items after number `written`; items up to it are written.
    fn request(database: u32, written: u64) -> Request;

    /// The batch in an answer, with its last number; `None` if it is the answer to another request.
    fn accept(answer: Response) -> Option<(Self::Batch, u64)>;

    /// Writes a batch in its own transactions. Must be idempotent: the engine may send a batch again.
    fn write(&mut self, batch: Self::Batch) -> Result<()>;

    /// Called when the engine has ended, along with everything that it had not delivered.
    fn lost_engine(&mut self) {}
}

/// The reader of one mailbox of a database.
pub struct MailboxReader<C> {
    /// Processes the batches.
    pub consumer: C,
    database: u32,
    pending: Option<(Pending, Instant)>,
    /// The connection of the last request, unless it is known to be lost.
    connection: Option<u64>,
    /// The last number that is written, but not acknowledged to the engine.
    written: u64,
    paused_until: Instant,
    backoff: Backoff,
}

impl<C: MailboxConsumer> MailboxReader<C> {
    /// Creates a reader that has not requested anything yet.
    pub fn open(database: u32, consumer: C) -> Self {
        let paused_until = Instant::now();
        Self {
            consumer,
            database,
            pending: None,
            connection: None,
            written: 0,
            paused_until,
            backoff: WRITE_BACKOFF,
        }
    }

    /// Writes the batch that has arrived, if any, and requests the next one. Neither waits for the engine nor starts one.
    /// Returns whether something was written. Must not be called in a transaction.
    pub fn poll(&mut self) -> bool {
        if Instant::now() < self.paused_until {
            return false;
        }
        match self.take() {
            Ok(None) => {
                self.request();
                false
            }
            Ok(Some((batch, last))) => {
                let written = self.write(batch, last);
                self.request();
                written
            }
            Err(_) => {
                self.pending = None;
                self.lose_connection();
                self.back_off(LOST_ENGINE_PAUSE);
                false
            }
        }
    }

    fn lose_connection(&mut self) {
        // The numbers of the next engine are independent.
        self.written = 0;
        if self.connection.take().is_some() {
            self.consumer.lost_engine();
        }
    }

    fn take(&mut self) -> Result<Option<(C::Batch, u64)>> {
        let Some((pending, _)) = &mut self.pending else { return Ok(None) };
        let Some(answer) = pending.try_receive()? else {
            self.pending.take_if(|(_, since)| since.elapsed() >= MAX_REQUEST_AGE);
            return Ok(None);
        };
        self.pending = None;
        let unexpected = || Error::internal(format!("unexpected answer to a request for {}", C::NAME));
        C::accept(answer).map(Some).ok_or_else(unexpected)
    }

    fn request(&mut self) {
        if self.pending.is_some() || Instant::now() < self.paused_until {
            return;
        }
        match client::send_if_running(C::request(self.database, self.written)) {
            Ok(Some(pending)) => {
                // This answer may have been the last one of the former engine.
                if self.connection != Some(pending.connection()) {
                    self.lose_connection();
                }
                self.connection = Some(pending.connection());
                self.pending = Some((pending, Instant::now()));
            }
            Ok(None) | Err(_) => {
                self.lose_connection();
                self.back_off(RECONNECT_INTERVAL);
            }
        }
    }

    fn write(&mut self, batch: C::Batch, last: u64) -> bool {
        activity::report(&format!("ragstone: writing {}", C::NAME));
        match self.consumer.write(batch) {
            Ok(()) => {
                self.written = last;
                self.backoff.reset();
                true
            }
            Err(error) => {
                if self.backoff.is_idle() {
                    log!(
                        "ragstone coordinator: could not write {}: {}: {}",
                        C::NAME,
                        error.code(),
                        error.message
                    );
                }
                let pause = self.backoff.next_pause();
                self.back_off(pause);
                false
            }
        }
    }

    fn back_off(&mut self, pause: Duration) {
        self.paused_until = Instant::now() + pause;
    }
}
