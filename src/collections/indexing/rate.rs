//! How fast a worker gets on with a collection, for whoever looks.

use crate::collections::indexing::progress::Reporting;

/// Rows done since the worker began with a collection.
pub struct Rate {
    reporting: Reporting,
    done: u64,
    expected: u64,
}

impl Rate {
    /// Begins to count.
    pub fn start(collection: &str) -> Self {
        Self { reporting: Reporting::start(collection), done: 0, expected: 0 }
    }

    /// So many rows more are to be done.
    pub fn expect(&mut self, rows: usize) {
        self.expected += rows as u64;
        self.reporting.expect(self.expected);
        self.reporting.report(self.done);
    }

    /// So many rows more are done.
    pub fn add(&mut self, rows: usize) {
        self.done += rows as u64;
        self.reporting.report(self.done);
    }
}
