//! Turns of what only so many may do at a time: work that takes a processor for a while, as cutting long documents does, and calls of
//! a provider.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ragstone_core::protocol::Caller;
use tokio::sync::oneshot;

use super::{
    fair_queue::Client,
    shares::{Backlog, Shares},
};
use crate::lock::lock;

/// A number of turns, given by fair shares to roles of databases, and inside a role to its sessions.
pub struct Turns {
    state: Mutex<TurnState>,
}

struct TurnState {
    /// How many there are in all.
    count: usize,
    /// How many of them are given.
    given: usize,
    next: u64,
    waiting: Shares<Caller, Shares<u64, Waiting>>,
}

/// The requests of a session that wait, the oldest first.
#[derive(Default)]
struct Waiting(VecDeque<(u64, oneshot::Sender<Turn>)>);

impl Backlog for Waiting {
    fn oldest(&self) -> Option<u64> {
        self.0.front().map(|(number, _)| *number)
    }

    fn is_urgent(&self) -> bool {
        false
    }
}

/// A turn, which ends when it is dropped.
pub struct Turn {
    turns: Arc<Turns>,
    client: Client,
    since: Instant,
}

impl Turns {
    /// So many turns at a time.
    pub fn new(count: usize) -> Arc<Self> {
        let state = TurnState { count, given: 0, next: 0, waiting: Shares::default() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Changes how many turns there are. Those that are given are not taken away.
    pub fn set_count(self: &Arc<Self>, count: usize) {
        lock(&self.state).count = count;
        self.give();
    }

    /// Waits for a turn. Dropping the future gives up waiting.
    pub async fn take(self: &Arc<Self>, client: Client) -> Turn {
        loop {
            let (sender, receiver) = oneshot::channel();
            {
                let mut state = lock(&self.state);
                let number = state.next;
                state.next += 1;
                let session = state.waiting.join(client.caller).join(client.connection);
                session.0.push_back((number, sender));
            }
            self.give();
            // The sender is only dropped unsent where the turn is lost, by a panic.
            if let Ok(turn) = receiver.await {
                return turn;
            }
        }
    }

    /// Gives free turns to those that wait.
    fn give(self: &Arc<Self>) {
        loop {
            let Some((client, sender)) = lock(&self.state).next() else { return };
            // Where nobody waits for it any more the turn ends at once.
            let _ = sender.send(Turn { turns: self.clone(), client, since: Instant::now() });
        }
    }
}

impl TurnState {
    fn next(&mut self) -> Option<(Client, oneshot::Sender<Turn>)> {
        if self.given >= self.count {
            return None;
        }
        self.waiting.begin_turn();
        let (caller, connection) = self.waiting.next_pair()?;
        let (_, sender) = self.waiting.get_mut(caller)?.get_mut(connection)?.0.pop_front()?;
        self.given += 1;
        Some((Client { caller, connection }, sender))
    }

    fn end(&mut self, client: Client, used: Duration) {
        self.given -= 1;
        self.waiting.charge_pair(client.caller, client.connection, used);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.turns.state).end(self.client, self.since.elapsed());
        self.turns.give();
    }
}
