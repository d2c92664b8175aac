//! What calls of providers may take, take, and have taken: budgets are reserved here before a call, and a record of each
//! call waits here until its database's worker has written it down.

mod budgets;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use ragstone_core::{
    failure::FailureKind,
    provider::{Account, Call, Spent, Status, Target, Usage},
};

use self::budgets::{Budgets, Reservation};
use crate::{
    failure::Error,
    mailbox::{Item, Mailbox, Numbers, Room, now_us},
    scheduler::registry::lock,
};

/// Calls that have ended and are not written down yet, of one database. Bytes are those of prompts and replies: a call for
/// which there is no room is recorded without its own.
const ROOM: Room = Room { count: 10_000, bytes: 32 << 20, batch_count: 500, batch_bytes: 8 << 20 };

/// The records of all databases, and what budgets have left.
#[derive(Default)]
pub struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mailboxes: HashMap<u32, Mailbox<Call>>,
    /// Calls that have not ended.
    under_way: HashMap<u32, u32>,
    budgets: Budgets,
    numbers: Numbers,
}

impl State {
    fn mailbox(&mut self, database: u32) -> &mut Mailbox<Call> {
        self.mailboxes.entry(database).or_insert_with(|| Mailbox::new(ROOM))
    }
}

impl Item for Call {
    fn number(&self) -> u64 {
        self.number
    }

    fn bytes(&self) -> usize {
        [&self.prompt, &self.reply].into_iter().flatten().map(String::len).sum()
    }
}

/// A call under way. Dropped before its end, it is recorded as cancelled.
pub struct Entry {
    ledger: Arc<Ledger>,
    database: u32,
    /// Taken out at the end.
    call: Option<Call>,
    reservation: Option<Reservation>,
    keep_text: bool,
    since: Instant,
}

impl Ledger {
    /// Opens the record of a call, and takes its estimated cost from all budgets of the account.
    ///
    /// # Errors
    /// [`FailureKind::BudgetSpent`], and the call is recorded as failed.
    pub fn open(
        self: &Arc<Self>,
        target: &Target,
        model: &str,
        account: &Account,
        estimate: Spent,
        prompt: impl FnOnce() -> String,
    ) -> Result<Entry, Error> {
        let call = Call {
            number: 0,
            began_us: now_us(),
            role: account.role,
            function: account.function.clone(),
            server: target.name.clone(),
            model: model.to_owned(),
            usage: Usage::default(),
            status: Status::Cancelled,
            retries: 0,
            prompt: account.keep_text.then(prompt),
            reply: None,
        };
        let mut entry = Entry {
            ledger: self.clone(),
            database: target.database,
            call: Some(call),
            reservation: None,
            keep_text: account.keep_text,
            since: Instant::now(),
        };
        let reserved = {
            let (now, mut state) = (entry.began_s(), lock(&self.state));
            *state.under_way.entry(target.database).or_default() += 1;
            state.budgets.reserve(target.database, &account.budgets, estimate, now)
        };
        match reserved {
            Ok(reservation) => {
                entry.reservation = Some(reservation);
                Ok(entry)
            }
            Err(error) => {
                entry.end(Status::Failed(FailureKind::BudgetSpent), None, None);
                Err(error)
            }
        }
    }

    /// Gives the calls of a database that have ended, as soon as there are some, and forgets those written down: all with
    /// numbers up to `written`. What is given is given again until it is written down. Only the newest who waits for a
    /// database's calls gets them.
    pub fn take(&self, database: u32, written: u64, answer: impl FnOnce(Vec<Call>, u64) + Send + 'static) {
        let ready = lock(&self.state).mailbox(database).take(written, Box::new(answer));
        if let Some(ready) = ready {
            ready.answer();
        }
    }

    /// Calls of a database that have not ended or are not written down.
    pub fn left(&self, database: u32) -> u32 {
        let state = lock(&self.state);
        let under_way = state.under_way.get(&database).copied().unwrap_or(0);
        under_way + state.mailboxes.get(&database).map_or(0, |mailbox| mailbox.count() as u32)
    }

    /// Numbers are given where calls end, so that all calls up to one that was given were given.
    fn record(&self, database: u32, reservation: Option<Reservation>, mut call: Call) {
        let ready = {
            let mut state = lock(&self.state);
            if let Some(reservation) = reservation {
                state.budgets.settle(reservation, &call.usage);
            }
            if let Some(under_way) = state.under_way.get_mut(&database) {
                *under_way -= 1;
            }
            call.number = state.numbers.advance();
            let mailbox = state.mailbox(database);
            if mailbox.bytes() + call.bytes() > ROOM.bytes {
                (call.prompt, call.reply) = (None, None);
            }
            mailbox.put(call).1
        };
        if let Some(ready) = ready {
            ready.answer();
        }
    }
}

impl Entry {
    /// The call is tried once more.
    pub fn retry(&mut self) {
        if let Some(call) = &mut self.call {
            call.retries += 1;
        }
    }

    /// What the call has taken up to now, as far as that can be told: what is recorded where nobody waits for its end.
    pub fn so_far(&mut self, usage: Usage) {
        if let Some(call) = &mut self.call {
            call.usage = usage;
        }
    }

    /// The call was answered.
    pub fn answered(mut self, usage: Usage, reply: &str) {
        let reply = self.keep_text.then(|| reply.to_owned());
        self.end(Status::Answered, Some(usage), reply);
    }

    /// The call failed; what its tries took all the same is in `usage`.
    pub fn failed(mut self, kind: FailureKind, usage: Usage) {
        self.end(Status::Failed(kind), Some(usage), None);
    }

    fn end(&mut self, status: Status, usage: Option<Usage>, reply: Option<String>) {
        let Some(mut call) = self.call.take() else { return };
        call.status = status;
        call.usage = usage.unwrap_or(call.usage);
        if call.usage.latency_ms == 0.0 {
            call.usage.latency_ms = self.since.elapsed().as_secs_f64() * 1000.0;
        }
        call.reply = reply;
        self.ledger.record(self.database, self.reservation.take(), call);
    }

    fn began_s(&self) -> i64 {
        self.call.as_ref().map_or(0, |call| call.began_us / 1_000_000)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(call) = &mut self.call {
            call.usage.latency_ms = 0.0;
        }
        self.end(Status::Cancelled, None, None);
    }
}

#[cfg(test)]
mod tests;
