//! Logs of agents on their way into tables: what is posted here outlives the transaction of whoever posts it, and waits
//! until its database's worker has written it down.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use ragstone_core::{log::Packet, protocol::LogState};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{
    mailbox::{Item, Mailbox, Numbers, Room},
    scheduler::registry::lock,
};

/// What is kept for one database: at 20,000 steps a second, what comes in ten seconds. An answer of 2,000 entries is what a
/// worker writes in some 30 ms.
const ROOM: Room = Room { count: 200_000, bytes: 64 << 20, batch_count: 2000, batch_bytes: 4 << 20 };

/// So long a connection is not read from where there is no room for what came last. After that the oldest make room for it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A packet with its number.
#[derive(Clone)]
struct Letter {
    number: u64,
    packet: Packet,
}

impl Item for Letter {
    fn number(&self) -> u64 {
        self.number
    }

    fn bytes(&self) -> usize {
        self.packet.bytes()
    }

    fn count(&self) -> usize {
        self.packet.entries as usize
    }
}

/// The logs of all databases.
#[derive(Default)]
pub struct Log {
    state: Mutex<State>,
    /// Told where there is room again.
    room: Notify,
}

#[derive(Default)]
struct State {
    databases: HashMap<u32, Kept>,
    numbers: Numbers,
}

struct Kept {
    mailbox: Mailbox<Letter>,
    posted: u64,
    lost: u64,
    /// Whether it was said that entries are being lost, since there was room.
    told: bool,
}

impl Default for Kept {
    fn default() -> Self {
        Self { mailbox: Mailbox::new(ROOM), posted: 0, lost: 0, told: false }
    }
}

impl Log {
    /// Keeps a packet, as soon as there is room for it or `patience` is used up. Patience comes back where there is room.
    pub async fn post(&self, database: u32, packet: Packet, patience: &mut Duration) {
        let begin = Instant::now();
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // From here on no change goes unnoticed.
            room.as_mut().enable();
            if self.has_room(database, &packet) {
                *patience = PATIENCE;
                break;
            }
            if timeout_at(begin + *patience, room).await.is_err() {
                *patience = Duration::ZERO;
                break;
            }
        }
        self.put(database, packet);
    }

    /// Gives what was posted for a database, as soon as there is something, and forgets what is written down: all with
    /// numbers up to `written`. What is given is given again until it is written down. Only the newest who waits for a
    /// database's log gets it.
    pub fn take(
        &self,
        database: u32,
        written: u64,
        answer: impl FnOnce(u64, Vec<Packet>, u64) + Send + 'static,
    ) {
        let waiter = Box::new(|letters: Vec<Letter>, lost| {
            let upto = letters.last().map_or(0, |letter| letter.number);
            answer(upto, letters.into_iter().map(|letter| letter.packet).collect(), lost);
        });
        let ready = {
            let mut state = lock(&self.state);
            let kept = state.databases.entry(database).or_default();
            kept.told &= written == 0;
            kept.mailbox.take(written, waiter)
        };
        if written > 0 {
            self.room.notify_waiters();
        }
        if let Some(ready) = ready {
            ready.answer();
        }
    }

    /// What is on its way.
    pub fn state(&self, database: u32) -> LogState {
        let state = lock(&self.state);
        let Some(kept) = state.databases.get(&database) else { return LogState::default() };
        LogState {
            waiting: kept.mailbox.count() as u64,
            waiting_bytes: kept.mailbox.bytes() as u64,
            posted: kept.posted,
            lost: kept.lost,
        }
    }

    fn has_room(&self, database: u32, packet: &Packet) -> bool {
        let state = lock(&self.state);
        let mailbox = state.databases.get(&database).map(|kept| &kept.mailbox);
        mailbox.is_none_or(|mailbox| mailbox.has_room(packet.entries as usize, packet.bytes()))
    }

    fn put(&self, database: u32, packet: Packet) {
        let (ready, tell) = {
            let mut state = lock(&self.state);
            let number = state.numbers.advance();
            let kept = state.databases.entry(database).or_default();
            kept.posted += u64::from(packet.entries);
            let (lost, ready) = kept.mailbox.put(Letter { number, packet });
            kept.lost += lost as u64;
            let tell = lost > 0 && !kept.told;
            kept.told |= tell;
            (ready, tell)
        };
        if tell {
            eprintln!(
                "ragstone-engine: the log of database {database} is not written down, and the oldest of {} steps that wait are lost",
                ROOM.count
            );
        }
        if let Some(ready) = ready {
            ready.answer();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        mpsc::{Receiver, channel},
    };

    use ragstone_core::log::{Entry, Step};

    use super::*;

    const DATABASE: u32 = 5;

    fn packet(first: i64, entries: i64) -> Packet {
        let entries: Vec<_> =
            (first..first + entries).map(|id| Entry::Step(Step { id, ..Step::default() })).collect();
        Packet::pack(1, &entries).unwrap().remove(0)
    }

    fn take(log: &Log, written: u64) -> Receiver<(u64, Vec<Packet>, u64)> {
        let (sender, receiver) = channel();
        log.take(DATABASE, written, move |upto, packets, lost| {
            let _ = sender.send((upto, packets, lost));
        });
        receiver
    }

    fn in_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    async fn post(log: &Log, packet: Packet) {
        log.post(DATABASE, packet, &mut PATIENCE.clone()).await;
    }

    /// Posts packets until there is room for no other.
    async fn fill(log: &Log, first: Packet) {
        post(log, first).await;
        let mut left = ROOM.count as i64 - log.state(DATABASE).waiting as i64;
        while left > 0 {
            post(log, packet(1000, left.min(10_000))).await;
            left -= 10_000;
        }
        assert_eq!(log.state(DATABASE).waiting, ROOM.count as u64);
    }

    #[test]
    fn entries_are_given_again_until_they_are_written() {
        in_runtime(async {
            let log = Log::default();
            post(&log, packet(1, 3)).await;
            let (upto, packets, lost) = take(&log, 0).try_recv().unwrap();
            assert_eq!((packets, lost), (vec![packet(1, 3)], 0));
            post(&log, packet(4, 1)).await;
            assert_eq!(take(&log, 0).try_recv().unwrap().1, [packet(1, 3), packet(4, 1)]);
            let (last, packets, _) = take(&log, upto).try_recv().unwrap();
            assert_eq!(packets, [packet(4, 1)]);
            assert_eq!((log.state(DATABASE).waiting, log.state(DATABASE).posted), (1, 4));
            let waiting = take(&log, last);
            assert!(waiting.try_recv().is_err() && log.state(DATABASE).waiting == 0);
            post(&log, packet(5, 1)).await;
            assert_eq!(waiting.try_recv().unwrap().1, [packet(5, 1)]);
            assert_eq!(log.state(DATABASE + 1), LogState::default());
        });
    }

    #[test]
    fn a_poster_waits_where_there_is_no_room_until_there_is() {
        in_runtime(async {
            let log = Arc::new(Log::default());
            fill(&log, packet(0, 2)).await;
            let poster = tokio::spawn({
                let log = log.clone();
                async move { post(&log, packet(1, 1)).await }
            });
            tokio::task::yield_now().await;
            assert!(!poster.is_finished() && log.state(DATABASE).waiting == ROOM.count as u64);
            let (upto, ..) = take(&log, 0).try_recv().unwrap();
            drop(take(&log, upto));
            poster.await.unwrap();
            let state = log.state(DATABASE);
            assert!(state.waiting < ROOM.count as u64 && state.lost == 0, "{state:?}");
        });
    }

    #[test]
    fn after_some_time_the_oldest_make_room_and_are_counted() {
        in_runtime(async {
            let log = Log::default();
            fill(&log, packet(0, 2)).await;
            let mut patience = Duration::from_millis(20);
            let begin = Instant::now();
            log.post(DATABASE, packet(1, 1), &mut patience).await;
            assert!(begin.elapsed() >= Duration::from_millis(20) && patience.is_zero());
            log.post(DATABASE, packet(1, 1), &mut patience).await;
            let state = log.state(DATABASE);
            assert_eq!((state.waiting, state.lost), (ROOM.count as u64, 2));
            // The packet whose entries made room for the first left room for the second, too.
            let (upto, _, lost) = take(&log, 0).try_recv().unwrap();
            assert_eq!(lost, 2);
            assert_eq!(take(&log, upto).try_recv().unwrap().2, 0);
        });
    }
}
