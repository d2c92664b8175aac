//! Buffers agents' log entries until a worker writes them to tables. A packet outlives the transaction that posted it,
//! and is kept until the worker of its database has written it.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use ragstone_core::{log::Packet, protocol::LogState};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{
    lock::lock,
    mailbox::{ItemNumbers, Mailbox, MailboxItem, MailboxLimits},
};

/// Limits of one database's buffer: ten seconds of log at 20,000 steps a second. A worker writes a delivery of 2,000
/// entries in about 30 ms.
const LIMITS: MailboxLimits =
    MailboxLimits { count: 200_000, bytes: 64 << 20, batch_count: 2000, batch_bytes: 4 << 20 };

/// Maximum time that reading from a connection pauses while there is no room for its last packet. After that the oldest
/// entries are dropped.
pub const MAX_POST_WAIT: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct NumberedPacket {
    number: u64,
    packet: Packet,
}

impl MailboxItem for NumberedPacket {
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
pub struct AgentLog {
    state: Mutex<AgentLogState>,
    /// Notified when entries were written, which makes room for new ones.
    written: Notify,
}

#[derive(Default)]
struct AgentLogState {
    databases: HashMap<u32, DatabaseLog>,
    numbers: ItemNumbers,
}

struct DatabaseLog {
    mailbox: Mailbox<NumberedPacket>,
    posted: u64,
    lost: u64,
    /// Whether a loss was reported on stderr since entries were last written.
    loss_reported: bool,
}

impl Default for DatabaseLog {
    fn default() -> Self {
        Self { mailbox: Mailbox::new(LIMITS), posted: 0, lost: 0, loss_reported: false }
    }
}

impl AgentLog {
    /// Stores a packet. Waits for room for at most `post_wait`. A wait that times out sets `post_wait` to zero, and the
    /// next packet that finds room sets it to [`MAX_POST_WAIT`] again.
    pub async fn post(&self, database: u32, packet: Packet, post_wait: &mut Duration) {
        let begin = Instant::now();
        loop {
            let written = self.written.notified();
            tokio::pin!(written);
            // Registers before looking for room, so that no change in between is missed.
            written.as_mut().enable();
            if self.has_room(database, &packet) {
                *post_wait = MAX_POST_WAIT;
                break;
            }
            if timeout_at(begin + *post_wait, written).await.is_err() {
                *post_wait = Duration::ZERO;
                break;
            }
        }
        self.push(database, packet);
    }

    /// Removes the packets with numbers up to `written`, and passes the next ones of the database to `consumer` as soon
    /// as there are any. `consumer` gets the last number, the packets, and the number of entries lost. Packets are
    /// delivered again until they are written. Only the newest consumer of a database gets them.
    pub fn take(
        &self,
        database: u32,
        written: u64,
        consumer: impl FnOnce(u64, Vec<Packet>, u64) + Send + 'static,
    ) {
        let consumer = Box::new(|packets: Vec<NumberedPacket>, lost| {
            let upto = packets.last().map_or(0, |packet| packet.number);
            consumer(upto, packets.into_iter().map(|packet| packet.packet).collect(), lost);
        });
        let delivery = {
            let mut state = lock(&self.state);
            let log = state.databases.entry(database).or_default();
            log.loss_reported &= written == 0;
            log.mailbox.take(written, consumer)
        };
        if written > 0 {
            self.written.notify_waiters();
        }
        if let Some(delivery) = delivery {
            delivery.send();
        }
    }

    /// The counters of a database.
    pub fn state(&self, database: u32) -> LogState {
        let state = lock(&self.state);
        let Some(log) = state.databases.get(&database) else { return LogState::default() };
        LogState {
            waiting: log.mailbox.count() as u64,
            waiting_bytes: log.mailbox.bytes() as u64,
            posted: log.posted,
            lost: log.lost,
        }
    }

    fn has_room(&self, database: u32, packet: &Packet) -> bool {
        let state = lock(&self.state);
        let mailbox = state.databases.get(&database).map(|log| &log.mailbox);
        mailbox.is_none_or(|mailbox| mailbox.has_room(packet.entries as usize, packet.bytes()))
    }

    fn push(&self, database: u32, packet: Packet) {
        let (delivery, report_loss) = {
            let mut state = lock(&self.state);
            let number = state.numbers.advance();
            let log = state.databases.entry(database).or_default();
            log.posted += u64::from(packet.entries);
            let (lost, delivery) = log.mailbox.push(NumberedPacket { number, packet });
            log.lost += lost as u64;
            let report_loss = lost > 0 && !log.loss_reported;
            log.loss_reported |= report_loss;
            (delivery, report_loss)
        };
        if report_loss {
            eprintln!(
                "ragstone-engine: dropped the oldest of {} steps that were waiting to be written to the log of database {database}",
                LIMITS.count
            );
        }
        if let Some(delivery) = delivery {
            delivery.send();
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

    fn take(log: &AgentLog, written: u64) -> Receiver<(u64, Vec<Packet>, u64)> {
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

    async fn post(log: &AgentLog, packet: Packet) {
        log.post(DATABASE, packet, &mut MAX_POST_WAIT.clone()).await;
    }

    /// Posts packets until the buffer is full.
    async fn fill(log: &AgentLog, first: Packet) {
        post(log, first).await;
        let mut left = LIMITS.count as i64 - log.state(DATABASE).waiting as i64;
        while left > 0 {
            post(log, packet(1000, left.min(10_000))).await;
            left -= 10_000;
        }
        assert_eq!(log.state(DATABASE).waiting, LIMITS.count as u64);
    }

    #[test]
    fn entries_are_delivered_again_until_they_are_written() {
        in_runtime(async {
            let log = AgentLog::default();
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
            let log = Arc::new(AgentLog::default());
            fill(&log, packet(0, 2)).await;
            let poster = tokio::spawn({
                let log = log.clone();
                async move { post(&log, packet(1, 1)).await }
            });
            tokio::task::yield_now().await;
            assert!(!poster.is_finished() && log.state(DATABASE).waiting == LIMITS.count as u64);
            let (upto, ..) = take(&log, 0).try_recv().unwrap();
            drop(take(&log, upto));
            poster.await.unwrap();
            let state = log.state(DATABASE);
            assert!(state.waiting < LIMITS.count as u64 && state.lost == 0, "{state:?}");
        });
    }

    #[test]
    fn after_some_time_the_oldest_make_room_and_are_counted() {
        in_runtime(async {
            let log = AgentLog::default();
            fill(&log, packet(0, 2)).await;
            let mut post_wait = Duration::from_millis(20);
            let begin = Instant::now();
            log.post(DATABASE, packet(1, 1), &mut post_wait).await;
            assert!(begin.elapsed() >= Duration::from_millis(20) && post_wait.is_zero());
            log.post(DATABASE, packet(1, 1), &mut post_wait).await;
            let state = log.state(DATABASE);
            assert_eq!((state.waiting, state.lost), (LIMITS.count as u64, 2));
            // Dropping the oldest packet for the first new one left room for the second as well.
            let (upto, _, lost) = take(&log, 0).try_recv().unwrap();
            assert_eq!(lost, 2);
            assert_eq!(take(&log, upto).try_recv().unwrap().2, 0);
        });
    }
}
