//! The order in which one model runs texts: roles of databases take turns, and within a role its sessions; queries go
//! before bulk while bulk keeps its share; the oldest text goes first, with texts of similar length.

use std::time::Duration;

use ragstone_core::protocol::{Caller, Lane};

use super::{
    shares::{Backlog, Shares},
    texts::{BatchShape, QueueEntry, Texts},
};
use crate::runtime::BatchLimits;

/// The role and session that texts belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    /// The role. All of its sessions together have one share.
    pub caller: Caller,
    /// Number of the connection, which has a share of the role's share.
    pub connection: u64,
}

/// The queue of one model.
#[derive(Debug)]
pub struct FairQueue<T> {
    roles: Shares<Caller, Shares<u64, SessionTexts<T>>>,
    next: u64,
}

/// Texts that are run together.
#[derive(Debug)]
pub struct Batch<T> {
    /// The texts.
    pub texts: Vec<T>,
    /// The sessions that are charged for the time.
    pub bill: Bill,
}

/// The sessions whose texts are in a batch, with the number of tokens of each.
#[derive(Debug, Default)]
pub struct Bill(Vec<(Client, usize)>);

impl Bill {
    fn add(&mut self, client: Client, text: &impl QueueEntry) {
        self.0.push((client, text.tokens()));
    }
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { roles: Shares::default(), next: 0 }
    }
}

impl<T: QueueEntry> FairQueue<T> {
    /// Puts a text at the end of its session's lane.
    pub fn push(&mut self, client: Client, lane: Lane, text: T) {
        self.roles.join(client.caller).join(client.connection).lane(lane).push(self.next, text);
        self.next += 1;
    }

    /// Whether no text waits.
    pub fn is_empty(&self) -> bool {
        self.roles.oldest().is_none()
    }

    /// The texts that wait, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let sessions = self.roles.backlogs().flat_map(Shares::backlogs);
        sessions.flat_map(|session| session.query.iter().chain(session.bulk.iter()))
    }

    /// True if all waiting texts would fit into one batch.
    pub fn is_one_batch(&self, limits: BatchLimits) -> bool {
        let mut lengths = self.iter().filter(|text| !text.is_cancelled()).map(QueueEntry::tokens);
        let Some(first) = lengths.next() else { return true };
        lengths.try_fold(BatchShape::of_one(first), |shape, length| shape.with(length, limits)).is_some()
    }

    /// Drops cancelled texts.
    pub fn remove_cancelled(&mut self) {
        for session in self.roles.backlogs_mut().flat_map(Shares::backlogs_mut) {
            session.query.remove_cancelled();
            session.bulk.remove_cancelled();
        }
    }

    /// Removes and returns all texts, in no order.
    pub fn drain(&mut self) -> Vec<T> {
        let sessions = self.roles.backlogs_mut().flat_map(Shares::backlogs_mut);
        sessions.flat_map(|session| session.query.drain().chain(session.bulk.drain())).collect()
    }

    /// The next batch: the oldest text of the session whose turn it is, and texts of similar length from the same lane.
    /// A bulk batch has texts of a single role, so that no role waits for the texts of another. Queries of all roles
    /// share batches, since a run costs more than the tokens of a query. Drops cancelled texts. `None` only if no text waits.
    pub fn next_batch(&mut self, limits: BatchLimits) -> Option<Batch<T>> {
        self.roles.begin_turn();
        while let Some((client, lane)) = self.next_turn() {
            let Some(oldest) = self.texts(client, lane).and_then(Texts::pop_oldest) else { continue };
            let mut shape = BatchShape::of_one(oldest.tokens());
            let mut bill = Bill::default();
            bill.add(client, &oldest);
            let mut batch = vec![oldest];
            for client in self.companions(client, lane) {
                let texts = self.texts(client, lane);
                let similar = texts.map_or_else(Vec::new, |texts| texts.take_similar(&mut shape, limits));
                similar.iter().for_each(|text| bill.add(client, text));
                batch.extend(similar);
            }
            return Some(Batch { texts: batch, bill });
        }
        None
    }

    /// Charges the time of a batch to the sessions whose texts were in it, by their tokens.
    pub fn charge(&mut self, bill: Bill, time: Duration) {
        let tokens: usize = bill.0.iter().map(|(_, tokens)| tokens).sum();
        for (client, own) in bill.0 {
            let used = time.mul_f64(own as f64 / tokens.max(1) as f64);
            self.roles.charge_pair(client.caller, client.connection, used);
        }
    }

    fn next_turn(&mut self) -> Option<(Client, Lane)> {
        let (caller, connection) = self.roles.next_pair()?;
        let session = self.roles.get_mut(caller)?.get_mut(connection)?;
        let lane = if session.is_urgent() { Lane::Query } else { Lane::Bulk };
        Some((Client { caller, connection }, lane))
    }

    /// The sessions whose texts may be in a batch, beginning with the one whose turn it is.
    fn companions(&mut self, first: Client, lane: Lane) -> Vec<Client> {
        let mut callers = vec![first.caller];
        if lane == Lane::Query {
            callers.extend(self.roles.in_order().into_iter().filter(|caller| *caller != first.caller));
        }
        let mut clients = vec![first];
        for caller in callers {
            let connections =
                self.roles.get_mut(caller).map_or_else(Vec::new, |sessions| sessions.in_order());
            let others = connections.into_iter().map(|connection| Client { caller, connection });
            clients.extend(others.filter(|client| *client != first));
        }
        clients
    }

    fn texts(&mut self, client: Client, lane: Lane) -> Option<&mut Texts<T>> {
        Some(self.roles.get_mut(client.caller)?.get_mut(client.connection)?.lane(lane))
    }
}

/// The texts of one session.
#[derive(Debug)]
struct SessionTexts<T> {
    query: Texts<T>,
    bulk: Texts<T>,
}

impl<T> Default for SessionTexts<T> {
    fn default() -> Self {
        Self { query: Texts::default(), bulk: Texts::default() }
    }
}

impl<T> SessionTexts<T> {
    fn lane(&mut self, lane: Lane) -> &mut Texts<T> {
        match lane {
            Lane::Query => &mut self.query,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

impl<T: QueueEntry> Backlog for SessionTexts<T> {
    fn oldest(&self) -> Option<u64> {
        self.query.oldest().into_iter().chain(self.bulk.oldest()).min()
    }

    fn is_urgent(&self) -> bool {
        self.query.oldest().is_some()
    }
}

#[cfg(test)]
mod tests;
