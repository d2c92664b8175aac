//! The readers of the engine's mailboxes: records of calls to providers, and entries of the agent log.

use crate::agent_log::LogWriter;
use crate::call_log::CallRecordWriter;

/// Both readers, as the coordinator of a database uses them.
pub struct MailboxReaders {
    calls: CallRecordWriter,
    log: LogWriter,
}

impl MailboxReaders {
    /// The state before the first request to the engine.
    pub fn new(database: u32) -> Self {
        Self { calls: CallRecordWriter::open(database), log: LogWriter::new(database) }
    }

    /// Writes the batches that have arrived. Returns true if there were any.
    pub fn poll(&mut self) -> bool {
        let calls = self.calls.poll();
        self.log.poll() || calls
    }

    /// True if an entry waits for a retry that only this process knows of.
    pub fn is_needed(&self) -> bool {
        self.log.is_needed()
    }
}
