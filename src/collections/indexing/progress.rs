//! Progress of the work on a collection, which other sessions can see before that work is committed.

use ragstone_client::engine::client;
use ragstone_core::protocol::Progress;
use ragstone_pg::session;
use std::time::Instant;

/// Progress of one piece of work. The report is withdrawn when this is dropped, so also after an error.
pub struct ProgressReport {
    collection: String,
    expected: u64,
    done: u64,
    started: Instant,
}

impl ProgressReport {
    /// Starts to report the work on a collection.
    pub fn start(collection: &str) -> Self {
        let report =
            Self { collection: collection.to_owned(), expected: 0, done: 0, started: Instant::now() };
        report.send_current();
        report
    }

    /// Adds rows that are to be done.
    pub fn expect(&mut self, rows: usize) {
        self.expected += rows as u64;
        self.send_current();
    }

    /// Adds rows that are done. They may be more than expected, since the source may have grown since it was counted.
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
