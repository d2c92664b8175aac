//! Calls of one database that have ended and are not written down yet.

use std::collections::VecDeque;

use ragstone_core::provider::Call;

/// Calls that wait at most. The oldest go first.
pub const MOST_CALLS: usize = 10_000;

/// Bytes of prompts and replies that wait at most. A call for which there is no room is recorded without its own.
pub const MOST_TEXT: usize = 32 << 20;

/// Calls in one answer at most.
const BATCH_CALLS: usize = 500;

/// An answer gets no further call when it has so many bytes of text: with [`MOST_TEXT`] for the last one, it fits a frame.
const BATCH_TEXT: usize = 8 << 20;

/// Who gets the calls, and how many were lost before them.
pub type Waiter = Box<dyn FnOnce(Vec<Call>, u64) + Send>;

/// The calls, and who waits for them.
#[derive(Default)]
pub struct Mailbox {
    calls: VecDeque<Call>,
    text: usize,
    waiter: Option<Waiter>,
    lost: u64,
    /// As many of the lost as the last answer said.
    lost_told: u64,
}

/// An answer that can be given. It is not given under the ledger's lock, since it writes to a socket.
pub struct Ready {
    waiter: Waiter,
    calls: Vec<Call>,
    lost: u64,
}

impl Ready {
    /// Gives it.
    pub fn answer(self) {
        (self.waiter)(self.calls, self.lost);
    }
}

impl Mailbox {
    /// Keeps a call that has ended.
    pub fn put(&mut self, mut call: Call) -> Option<Ready> {
        if self.text + text(&call) > MOST_TEXT {
            (call.prompt, call.reply) = (None, None);
        }
        if self.calls.len() >= MOST_CALLS
            && let Some(oldest) = self.calls.pop_front()
        {
            self.text -= text(&oldest);
            self.lost += 1;
        }
        self.text += text(&call);
        self.calls.push_back(call);
        let waiter = self.waiter.take()?;
        Some(self.ready(waiter))
    }

    /// Forgets what is written, and gives or keeps who waits for the rest. A written number of another life of the engine
    /// is never that of a call of this one's.
    pub fn take(&mut self, written: u64, waiter: Waiter) -> Option<Ready> {
        if written > 0 {
            self.lost -= std::mem::take(&mut self.lost_told);
        }
        while self.calls.front().is_some_and(|call| call.number <= written)
            && let Some(call) = self.calls.pop_front()
        {
            self.text -= text(&call);
        }
        if self.calls.is_empty() {
            self.waiter = Some(waiter);
            return None;
        }
        self.waiter = None;
        Some(self.ready(waiter))
    }

    /// Calls that are not written down.
    pub fn len(&self) -> u32 {
        self.calls.len() as u32
    }

    fn ready(&mut self, waiter: Waiter) -> Ready {
        let mut bytes = 0;
        let calls = self.calls.iter().take(BATCH_CALLS).take_while(|call| {
            let fits = bytes < BATCH_TEXT;
            bytes += text(call);
            fits
        });
        self.lost_told = self.lost;
        Ready { waiter, calls: calls.cloned().collect(), lost: self.lost }
    }
}

/// Bytes of a call's prompt and reply.
fn text(call: &Call) -> usize {
    [&call.prompt, &call.reply].into_iter().flatten().map(String::len).sum()
}
