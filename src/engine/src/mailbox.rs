//! A mailbox holds items of one kind, which the worker of one database writes to a table. Items are delivered again
//! until the worker acknowledges them, so that none is lost if the worker dies in between.

use std::{
    collections::VecDeque,
    time::{SystemTime, UNIX_EPOCH},
};

/// An entry of a mailbox.
pub trait MailboxItem: Clone {
    /// Increases from item to item.
    fn number(&self) -> u64;

    /// Bytes that count towards the mailbox's limit.
    fn bytes(&self) -> usize;

    /// Records in this item, which count towards the mailbox's limit.
    fn count(&self) -> usize {
        1
    }
}

/// How much a mailbox stores, and how much it delivers at once.
#[derive(Debug, Clone, Copy)]
pub struct MailboxLimits {
    /// Maximum number of records.
    pub count: usize,
    /// Maximum bytes.
    pub bytes: usize,
    /// A delivery with this many records gets no further item.
    pub batch_count: usize,
    /// A delivery with this many bytes gets no further item. It fits a frame even if the largest possible item was the last.
    pub batch_bytes: usize,
}

/// Receives the items of one delivery, and the number of records that were lost before them.
pub type Consumer<T> = Box<dyn FnOnce(Vec<T>, u64) + Send>;

/// The items, and the consumer that waits for them.
pub struct Mailbox<T> {
    limits: MailboxLimits,
    items: VecDeque<T>,
    count: usize,
    bytes: usize,
    consumer: Option<Consumer<T>>,
    lost: u64,
    /// The part of `lost` that the last delivery reported.
    lost_reported: u64,
    /// Number of the last item that was delivered: items up to it may be written already.
    delivered: u64,
}

/// Items and the consumer to pass them to. Send them without holding a lock: the consumer writes to a socket.
#[must_use]
pub struct Delivery<T> {
    consumer: Consumer<T>,
    items: Vec<T>,
    lost: u64,
}

impl<T> Delivery<T> {
    /// Passes the items to the consumer.
    pub fn send(self) {
        (self.consumer)(self.items, self.lost);
    }
}

impl<T: MailboxItem> Mailbox<T> {
    /// An empty mailbox.
    pub fn new(limits: MailboxLimits) -> Self {
        Self {
            limits,
            items: VecDeque::new(),
            count: 0,
            bytes: 0,
            consumer: None,
            lost: 0,
            lost_reported: 0,
            delivered: 0,
        }
    }

    /// Whether an item can be added without dropping another. An empty mailbox takes an item of any size.
    pub fn has_room(&self, count: usize, bytes: usize) -> bool {
        self.items.is_empty()
            || (self.count + count <= self.limits.count && self.bytes + bytes <= self.limits.bytes)
    }

    /// Adds an item. If there is no room, drops the oldest items that were not delivered yet. Returns the number of
    /// records dropped, and a delivery if a consumer waits.
    pub fn push(&mut self, item: T) -> (usize, Option<Delivery<T>>) {
        let mut lost = 0;
        while !self.has_room(item.count(), item.bytes())
            && let Some(oldest) = self.remove_oldest()
        {
            lost += oldest.count();
        }
        self.lost += lost as u64;
        self.count += item.count();
        self.bytes += item.bytes();
        self.items.push_back(item);
        let delivery = self.consumer.take().map(|consumer| self.deliver(consumer));
        (lost, delivery)
    }

    /// Removes the items with numbers up to `written`. Then delivers the next items, or keeps the consumer until there
    /// are some, in place of a consumer that still waits. A number from an earlier run of the engine is lower than all
    /// numbers of this run.
    pub fn take(&mut self, written: u64, consumer: Consumer<T>) -> Option<Delivery<T>> {
        if written > 0 {
            self.lost -= std::mem::take(&mut self.lost_reported);
        }
        while self.items.front().is_some_and(|item| item.number() <= written) {
            self.remove(0);
        }
        if self.items.is_empty() {
            self.consumer = Some(consumer);
            return None;
        }
        self.consumer = None;
        Some(self.deliver(consumer))
    }

    /// The items that are not written yet.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Records that are not written yet.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the items that are not written yet.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn remove_oldest(&mut self) -> Option<T> {
        let not_delivered = self.items.partition_point(|item| item.number() <= self.delivered);
        self.remove(if not_delivered < self.items.len() { not_delivered } else { 0 })
    }

    fn remove(&mut self, index: usize) -> Option<T> {
        let item = self.items.remove(index)?;
        self.count -= item.count();
        self.bytes -= item.bytes();
        Some(item)
    }

    fn deliver(&mut self, consumer: Consumer<T>) -> Delivery<T> {
        let (mut count, mut bytes) = (0, 0);
        let items = self.items.iter().take_while(|item| {
            let fits = count < self.limits.batch_count && bytes < self.limits.batch_bytes;
            count += item.count();
            bytes += item.bytes();
            fits
        });
        let items: Vec<_> = items.cloned().collect();
        self.delivered = items.last().map_or(0, MailboxItem::number);
        self.lost_reported = self.lost;
        Delivery { consumer, items, lost: self.lost }
    }
}

/// Numbers of items. They start at the current time in microseconds since 1970, so that two runs of the engine never use the
/// same number.
#[derive(Debug, Default)]
pub struct ItemNumbers(u64);

impl ItemNumbers {
    /// The next number.
    pub fn advance(&mut self) -> u64 {
        if self.0 == 0 {
            self.0 = u64::try_from(now_us()).unwrap_or_default();
        }
        self.0 += 1;
        self.0
    }
}

/// Microseconds since 1970.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or_default()
}
