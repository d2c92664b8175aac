//! How far a work on a collection has come, for other sessions to see while it is not committed.

use ragstone_client::engine::client;
use ragstone_core::protocol::Progress;
use ragstone_pg::session;
use std::time::Instant;

/// A work in progress. Its report goes when it ends, whether well or not.
pub struct Reporting {
    collection: String,
    total: u64,
    started: Instant,
}

impl Reporting {
    /// Starts to report the work on a collection.
    pub fn start(collection: &str) -> Self {
        let mut reporting = Self { collection: collection.to_owned(), total: 0, started: Instant::now() };
        reporting.expect(0);
        reporting
    }

    /// There are so many rows to do.
    pub fn expect(&mut self, total: u64) {
        // A total of zero would end the report before the work.
        self.total = total.max(1);
        self.report(0);
    }

    /// So many rows are done; others may have been added to the source since they were counted.
    pub fn report(&self, done: u64) {
        self.send(done, self.total.max(done));
    }

    fn send(&self, done: u64, total: u64) {
        let (database, pid) = (session::database(), session::pid());
        let elapsed_ms = self.started.elapsed().as_millis() as u64;
        let subject = self.collection.clone();
        client::report(Progress { database, pid, subject, done, total, elapsed_ms });
    }
}

impl Drop for Reporting {
    fn drop(&mut self) {
        self.send(0, 0);
    }
}
