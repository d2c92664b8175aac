//! Progress of the work on a collection. Other sessions can see it before the work is committed.

use ragstone_client::engine::client;
use ragstone_core::protocol::Progress;
use ragstone_pg::session;
use std::time::Instant;

/// Progress of one operation. Dropping it withdraws the report, also after an error.
pub struct ProgressReport {
    collection: String,
    expected: u64,
    done: u64,
    started: Instant,
}

impl ProgressReport {
    /// Starts to report an operation on a collection.
    pub fn start(collection: &str) -> Self {
        let report =
            Self { collection: collection.to_owned(), expected: 0, done: 0, started: Instant::now() };
        report.send_current();
        report
    }

    /// True if the report is of the collection with this name.
    pub fn is_of(&self, collection: &str) -> bool {
        self.collection == collection
    }

    /// Adds to the number of rows to process.
    pub fn expect(&mut self, rows: usize) {
        self.expected += rows as u64;
        self.send_current();
    }

    /// Adds to the number of processed rows. It may exceed the expected number, because the source may have
    /// grown since its rows were counted.
    pub fn add(&mut self, rows: usize) {
        self.done += rows as u64;
        self.send_current();
    }

    fn send_current(&self) {
        // A total of zero would withdraw the report.
        self.send(self.done, self.expected.max(self.done).max(1));
    }

    fn send(&self, done: u64, total: u64) {
        let (database, pid) = (session::database(), session::pid());
        let elapsed_ms = self.started.elapsed().as_millis() as u64;
        let subject = self.collection.clone();
        client::report(Progress { database, pid, subject, done, total, elapsed_ms });
    }
}

impl Drop for ProgressReport {
    fn drop(&mut self) {
        self.send(0, 0);
    }
}
