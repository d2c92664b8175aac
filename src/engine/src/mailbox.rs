//! What the worker of one database is to write down and has not written down yet, of one kind. It is given again until it
//! is acknowledged, so that a worker that dies in between loses nothing.

use std::{
    collections::VecDeque,
    time::{SystemTime, UNIX_EPOCH},
};

/// Something that waits in a mailbox.
pub trait Item: Clone {
    /// Later ones have higher numbers.
    fn number(&self) -> u64;

    /// What it takes of a mailbox's room, in bytes.
    fn bytes(&self) -> usize;

    /// How many of the things that are counted are in it.
    fn count(&self) -> usize {
        1
    }
}

/// How much a mailbox keeps, and gives at once.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Things that wait at most.
    pub count: usize,
    /// Bytes that wait at most.
    pub bytes: usize,
    /// An answer gets no further item when it has so many things.
    pub batch_count: usize,
    /// An answer gets no further item when it has so many bytes: with a largest item behind them, it fits a frame.
    pub batch_bytes: usize,
}

/// Who gets the items, and how many things were lost before them.
pub type Waiter<T> = Box<dyn FnOnce(Vec<T>, u64) + Send>;

/// The items, and who waits for them.
pub struct Mailbox<T> {
    room: Room,
    items: VecDeque<T>,
    count: usize,
    bytes: usize,
    waiter: Option<Waiter<T>>,
    lost: u64,
    /// As many of the lost as the last answer said.
    lost_told: u64,
    /// The last number that was given: what was given may be written already.
    given: u64,
}

/// An answer that can be given. It is not given under a lock, since it writes to a socket.
pub struct Ready<T> {
    waiter: Waiter<T>,
    items: Vec<T>,
    lost: u64,
}

impl<T> Ready<T> {
    /// Gives it.
    pub fn answer(self) {
        (self.waiter)(self.items, self.lost);
    }
}

impl<T: Item> Mailbox<T> {
    /// With nothing in it.
    pub fn new(room: Room) -> Self {
        Self {
            room,
            items: VecDeque::new(),
            count: 0,
            bytes: 0,
            waiter: None,
            lost: 0,
            lost_told: 0,
            given: 0,
        }
    }

    /// Whether an item can be kept without losing another. What is larger than all the room fits an empty mailbox.
    pub fn has_room(&self, count: usize, bytes: usize) -> bool {
        self.items.is_empty()
            || (self.count + count <= self.room.count && self.bytes + bytes <= self.room.bytes)
    }

    /// Keeps an item. Where there is no room for it the oldest go that were not given to anybody; gives how many things these
    /// were.
    pub fn put(&mut self, item: T) -> (usize, Option<Ready<T>>) {
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
        let ready = self.waiter.take().map(|waiter| self.ready(waiter));
        (lost, ready)
    }

    /// Forgets what is written, and gives or keeps who waits for the rest. A written number of another life of the engine
    /// is never that of an item of this one's.
    pub fn take(&mut self, written: u64, waiter: Waiter<T>) -> Option<Ready<T>> {
        if written > 0 {
            self.lost -= std::mem::take(&mut self.lost_told);
        }
        while self.items.front().is_some_and(|item| item.number() <= written) {
            self.remove(0);
        }
        if self.items.is_empty() {
            self.waiter = Some(waiter);
            return None;
        }
        self.waiter = None;
        Some(self.ready(waiter))
    }

    /// Things that are not written down.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn remove_oldest(&mut self) -> Option<T> {
        let not_given = self.items.partition_point(|item| item.number() <= self.given);
        self.remove(if not_given < self.items.len() { not_given } else { 0 })
    }

    fn remove(&mut self, place: usize) -> Option<T> {
        let item = self.items.remove(place)?;
        self.count -= item.count();
        self.bytes -= item.bytes();
        Some(item)
    }

    fn ready(&mut self, waiter: Waiter<T>) -> Ready<T> {
        let (mut count, mut bytes) = (0, 0);
        let items = self.items.iter().take_while(|item| {
            let fits = count < self.room.batch_count && bytes < self.room.batch_bytes;
            count += item.count();
            bytes += item.bytes();
            fits
        });
        let items: Vec<_> = items.cloned().collect();
        self.given = items.last().map_or(0, Item::number);
        self.lost_told = self.lost;
        Ready { waiter, items, lost: self.lost }
    }
}

/// Numbers of items. They begin with the time of the first, in microseconds since 1970: no other life of the engine has the
/// same.
#[derive(Debug, Default)]
pub struct Numbers(u64);

impl Numbers {
    /// One that is higher than all before.
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
