//! The readers of the engine's mailboxes: records of calls to providers, and entries of the log of agents.

use crate::agent_log::LogWriter;
use crate::call_log::CallRecordWriter;

/// Both readers, in the coordinator of a database.
pub struct MailboxReaders {
    calls: CallRecordWriter,
    log: LogWriter,
}

impl MailboxReaders {
    /// The state before the first request to the engine.
    pub fn new(database: u32) -> Self {
        Self { calls: CallRecordWriter::open(database), log: LogWriter::new(database) }
    }

    /// Writes what has been delivered. Returns whether there was anything.
    pub fn poll(&mut self) -> bool {
        let calls = self.calls.poll();
        self.log.poll() || calls
    }

    /// Whether something waits for a retry that only this process knows of.
    pub fn is_needed(&self) -> bool {
        self.log.is_needed()
    }
}
