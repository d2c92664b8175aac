//! What comes to a database's worker by way of the engine, to be written down: calls to providers, and the log.

use crate::agent_log::Scribe;
use crate::call_log::Books;
use std::time::Duration;

/// Both, for the first worker of a database.
pub struct Mail {
    books: Books,
    scribe: Scribe,
}

impl Mail {
    /// Before anything was asked.
    pub fn of(database: u32) -> Self {
        Self { books: Books::open(database), scribe: Scribe::new(database) }
    }

    /// Writes what there is. Gives whether there was something.
    pub fn keep(&mut self) -> bool {
        let calls = self.books.keep();
        self.scribe.keep() || calls
    }

    /// Waits until there is something, the latch is set or the time is over.
    pub fn nap(&self, timeout: Duration) {
        if self.scribe.inbox.has_request() {
            self.scribe.inbox.wait_for_event(timeout);
        } else {
            self.books.inbox.wait_for_event(timeout);
        }
    }

    /// Whether something is left that no worker after this one would know of.
    pub fn is_needed(&self) -> bool {
        self.scribe.is_needed()
    }
}
