//! Turns for work that only a limited number of clients may do at a time: tokenising long documents, which keeps a
//! processor busy for a while, and calls to a provider.

use std::{
    collections::{HashMap, VecDeque},
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
///
/// One role has at most half of them at a time (rounded up), even while no other role waits: a turn is not taken away, so another role
/// that came later would wait until one ends.
pub struct Turns {
    state: Mutex<TurnState>,
}

struct TurnState {
    /// Maximum number of concurrent turns.
    count: usize,
    /// Number of turns that are taken.
    given: usize,
    /// How many of them each role has.
    held: HashMap<Caller, usize>,
    next: u64,
    waiting: Shares<Caller, Shares<u64, Waiting>>,
}

/// The requests of a session that wait, the oldest first.
#[derive(Default)]
struct Waiting(VecDeque<(u64, oneshot::Sender<Turn>)>);

impl Waiting {
    /// Drops abandoned requests, up to the first whose caller still waits.
    fn drop_abandoned(&mut self) {
        while self.0.front().is_some_and(|(_, sender)| sender.is_closed()) {
            self.0.pop_front();
        }
    }
}

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
    /// Creates turns, of which `count` can be taken at a time.
    pub fn new(count: usize) -> Arc<Self> {
        let state = TurnState { count, given: 0, held: HashMap::new(), next: 0, waiting: Shares::default() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Changes the number of turns. Turns that are taken stay valid.
    pub fn set_count(self: &Arc<Self>, count: usize) {
        lock(&self.state).count = count;
        self.give();
    }

    /// Waits for a turn. Dropping the future ends the wait.
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
            // The sender is dropped without sending only if the turn is lost through a panic.
            if let Ok(turn) = receiver.await {
                return turn;
            }
        }
    }

    /// Gives free turns to waiting requests.
    fn give(self: &Arc<Self>) {
        loop {
            let Some((client, sender)) = lock(&self.state).next() else { return };
            // Where it was abandoned at this moment the turn ends at once.
            let _ = sender.send(Turn { turns: self.clone(), client, since: Instant::now() });
        }
    }
}

impl TurnState {
    fn next(&mut self) -> Option<(Client, oneshot::Sender<Turn>)> {
        if self.given >= self.count {
            return None;
        }
        self.waiting.backlogs_mut().flat_map(Shares::backlogs_mut).for_each(Waiting::drop_abandoned);
        self.waiting.begin_turn();
        let (most, held) = (self.count.div_ceil(2), &self.held);
        let may_have_one = |caller| held.get(&caller).is_none_or(|held| *held < most);
        let (caller, connection) = self.waiting.next_pair_of(may_have_one)?;
        let (_, sender) = self.waiting.get_mut(caller)?.get_mut(connection)?.0.pop_front()?;
        self.given += 1;
        *self.held.entry(caller).or_default() += 1;
        Some((Client { caller, connection }, sender))
    }

    fn end(&mut self, client: Client, used: Duration) {
        self.given -= 1;
        if let Some(held) = self.held.get_mut(&client.caller) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&client.caller);
            }
        }
        self.waiting.charge_pair(client.caller, client.connection, used);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.turns.state).end(self.client, self.since.elapsed());
        self.turns.give();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::BoxFuture, poll};

    use super::*;

    fn client(role: u32) -> Client {
        Client { caller: Caller { database: 1, role }, connection: 0 }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// The turns that a role has at once when it asks for so many, and those that it still waits for.
    async fn ask(
        turns: &Arc<Turns>,
        role: u32,
        requests: usize,
    ) -> (Vec<Turn>, Vec<BoxFuture<'static, Turn>>) {
        let (mut given, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..requests {
            let turns = turns.clone();
            let mut turn = async move { turns.take(client(role)).await }.boxed();
            match poll!(&mut turn) {
                std::task::Poll::Ready(turn) => given.push(turn),
                std::task::Poll::Pending => waiting.push(turn),
            }
        }
        (given, waiting)
    }

    #[test]
    fn a_role_has_at_most_half_of_the_turns() {
        run(async {
            for (count, half) in [(1, 1), (2, 1), (3, 2), (4, 2), (9, 5)] {
                let turns = Turns::new(count);
                let (first, mut waiting) = ask(&turns, 1, 20).await;
                assert_eq!(first.len(), half, "of {count}");
                let others = ask(&turns, 2, 20).await;
                assert_eq!(others.0.len(), count - half, "of {count}");
                // Its next turn is one of its own that ends.
                drop(others);
                assert!(poll!(&mut waiting[0]).is_pending());
                drop(first);
                assert!(poll!(&mut waiting[0]).is_ready());
            }
        });
    }

    #[test]
    fn abandoned_turns_are_not_given() {
        run(async {
            let turns = Turns::new(1);
            let (turn, abandoned) = ask(&turns, 1, 10_001).await;
            let (_, mut waiting) = ask(&turns, 1, 1).await;
            drop(abandoned);
            drop(turn);
            assert!(poll!(&mut waiting[0]).is_ready());
            drop(waiting);
            assert_eq!(ask(&turns, 2, 1).await.0.len(), 1);
            assert!(lock(&turns.state).held.is_empty());
        });
    }
}
