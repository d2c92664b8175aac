//! The accounts of calls to providers: reserves budgets before a call, and keeps the record of each call until the
//! worker of its database has written it.

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
    lock::lock,
    mailbox::{ItemNumbers, Mailbox, MailboxItem, MailboxLimits, now_us},
};

/// Limits of one database's unwritten records. Bytes are those of prompts and replies: a call whose prompt and reply do
/// not fit is recorded without them.
const LIMITS: MailboxLimits =
    MailboxLimits { count: 10_000, bytes: 32 << 20, batch_count: 500, batch_bytes: 8 << 20 };

/// The records of all databases, and the state of all budgets.
#[derive(Default)]
pub struct Ledger {
    state: Mutex<LedgerState>,
}

#[derive(Default)]
struct LedgerState {
    mailboxes: HashMap<u32, Mailbox<Call>>,
    /// Number of calls in progress, by database and role.
    in_progress: HashMap<(u32, u32), u32>,
    budgets: Budgets,
    numbers: ItemNumbers,
}

impl LedgerState {
    fn mailbox(&mut self, database: u32) -> &mut Mailbox<Call> {
        self.mailboxes.entry(database).or_insert_with(|| Mailbox::new(LIMITS))
    }

    /// Number of calls of a database that are in progress.
    fn in_progress(&self, database: u32) -> usize {
        let of_database = self.in_progress.iter().filter(|((of, _), _)| *of == database);
        of_database.map(|(_, count)| *count as usize).sum()
    }

    /// Checks that there will be room for the record of one more call of this role, so that no record is lost. As in
    /// the queues of models, a role gets at most as much room as stays free for other roles.
    fn check_room(&self, database: u32, role: u32) -> Result<(), Error> {
        let mailbox = self.mailboxes.get(&database);
        let taken = mailbox.map_or(0, Mailbox::count) + self.in_progress(database);
        if taken < LIMITS.count / 2 {
            return Ok(());
        }
        let unwritten = mailbox.map_or(0, |mailbox| mailbox.items().filter(|call| call.role == role).count());
        let own = unwritten + self.in_progress.get(&(database, role)).map_or(0, |count| *count as usize);
        if own < LIMITS.count.saturating_sub(taken) {
            return Ok(());
        }
        Err(Error::Provider {
            kind: FailureKind::QueueFull,
            message: format!(
                "the record of calls is full: {taken} of {} calls wait to be written, {own} of them by the same role",
                LIMITS.count
            ),
            detail: String::new(),
            hint: "The coordinator of the database writes them: look for its lines in the server's log."
                .into(),
        })
    }
}

impl MailboxItem for Call {
    fn number(&self) -> u64 {
        self.number
    }

    fn bytes(&self) -> usize {
        [&self.prompt, &self.reply].into_iter().flatten().map(String::len).sum()
    }
}

/// The record of a call in progress. If it is dropped before it is closed, the call is recorded as cancelled.
pub struct LedgerEntry {
    ledger: Arc<Ledger>,
    database: u32,
    /// `None` once the record is closed.
    call: Option<Call>,
    reservation: Option<Reservation>,
    keep_text: bool,
    since: Instant,
}

impl Ledger {
    /// Opens the record of a call, and reserves its estimated cost in all budgets of the account.
    ///
    /// # Errors
    /// [`FailureKind::BudgetSpent`] if a budget has no room; the call is recorded as failed. [`FailureKind::QueueFull`]
    /// if there is no room for the call's record; the call is not made.
    pub fn open(
        self: &Arc<Self>,
        target: &Target,
        model: &str,
        account: &Account,
        estimate: Spent,
        prompt: impl FnOnce() -> String,
    ) -> Result<LedgerEntry, Error> {
        {
            // Taken at once, so that no two calls take the same room.
            let mut state = lock(&self.state);
            state.check_room(target.database, account.role)?;
            *state.in_progress.entry((target.database, account.role)).or_default() += 1;
        }
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
        let mut entry = LedgerEntry {
            ledger: self.clone(),
            database: target.database,
            call: Some(call),
            reservation: None,
            keep_text: account.keep_text,
            since: Instant::now(),
        };
        let reserved = {
            let (now, mut state) = (entry.began_s(), lock(&self.state));
            state.budgets.reserve(target.database, account, estimate, now)
        };
        match reserved {
            Ok(reservation) => {
                entry.reservation = Some(reservation);
                Ok(entry)
            }
            Err(error) => {
                entry.close(Status::Failed(error.kind()), None, None);
                Err(error)
            }
        }
    }

    /// Removes the records with numbers up to `written`, and passes the next ones of the database to `consumer` as soon
    /// as there are any, with the number of records that were lost. Records are delivered again until they are written.
    /// Only the newest consumer of a database gets them.
    pub fn take(&self, database: u32, written: u64, consumer: impl FnOnce(Vec<Call>, u64) + Send + 'static) {
        let delivery = lock(&self.state).mailbox(database).take(written, Box::new(consumer));
        if let Some(delivery) = delivery {
            delivery.send();
        }
    }

    /// Number of calls of a database that are in progress or whose records are not written.
    pub fn unwritten(&self, database: u32) -> u32 {
        let state = lock(&self.state);
        let unwritten = state.mailboxes.get(&database).map_or(0, Mailbox::count);
        (state.in_progress(database) + unwritten) as u32
    }

    /// Records are numbered when calls end, so that they are delivered in the order of their numbers.
    fn record(&self, database: u32, reservation: Option<Reservation>, mut call: Call) {
        let delivery = {
            let mut state = lock(&self.state);
            if let Some(reservation) = reservation {
                state.budgets.settle(reservation, &call.usage);
            }
            if let Some(in_progress) = state.in_progress.get_mut(&(database, call.role)) {
                *in_progress -= 1;
                if *in_progress == 0 {
                    state.in_progress.remove(&(database, call.role));
                }
            }
            call.number = state.numbers.advance();
            let mailbox = state.mailbox(database);
            if mailbox.bytes() + call.bytes() > LIMITS.bytes {
                (call.prompt, call.reply) = (None, None);
            }
            mailbox.push(call).1
        };
        if let Some(delivery) = delivery {
            delivery.send();
        }
    }
}

impl LedgerEntry {
    /// Records another attempt.
    pub fn record_retry(&mut self) {
        if let Some(call) = &mut self.call {
            call.retries += 1;
        }
    }

    /// Sets the usage so far, which is recorded if the call is cancelled.
    pub fn set_usage(&mut self, usage: Usage) {
        if let Some(call) = &mut self.call {
            call.usage = usage;
        }
    }

    /// Closes the record of a call that was answered.
    pub fn close_answered(mut self, usage: Usage, reply: &str) {
        let reply = self.keep_text.then(|| reply.to_owned());
        self.close(Status::Answered, Some(usage), reply);
    }

    /// Closes the record of a call that failed. Its attempts may have used tokens nevertheless.
    pub fn close_failed(mut self, kind: FailureKind, usage: Usage) {
        self.close(Status::Failed(kind), Some(usage), None);
    }

    fn close(&mut self, status: Status, usage: Option<Usage>, reply: Option<String>) {
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

impl Drop for LedgerEntry {
    fn drop(&mut self) {
        if let Some(call) = &mut self.call {
            call.usage.latency_ms = 0.0;
        }
        self.close(Status::Cancelled, None, None);
    }
}

#[cfg(test)]
mod tests;
