//! The slots of a bounded queue.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use ragstone_core::protocol::{Caller, Lane};

use crate::lock::lock;

/// The slots of one queue.
#[derive(Debug, Default)]
pub struct Slots(Mutex<TakenSlots>);

#[derive(Debug, Default)]
struct TakenSlots {
    all: usize,
    by_holder: HashMap<SlotHolder, usize>,
}

/// The holder of slots: a role in one lane, so that a role's bulk work never makes its own searches be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotHolder {
    /// The role.
    pub caller: Caller,
    /// The lane.
    pub lane: Lane,
}

/// Too few slots are free.
#[derive(Debug, PartialEq, Eq)]
pub struct NoSlots {
    /// Slots that are taken.
    pub taken: usize,
    /// Slots that the holder itself has taken.
    pub own: usize,
}

impl Slots {
    /// Number of slots that are taken.
    pub fn taken(&self) -> usize {
        lock(&self.0).all
    }

    /// Takes `count` slots of a queue that has `limit`. A holder that already has slots gets at most as many in all as stay
    /// free for others, so that there is always room for another holder: one alone may have half of the queue, two a third each.
    ///
    /// # Errors
    /// There are not enough.
    pub fn take(
        self: &Arc<Self>,
        holder: SlotHolder,
        count: usize,
        limit: usize,
    ) -> Result<QueueSlots, NoSlots> {
        let mut slots = lock(&self.0);
        let own = slots.by_holder.get(&holder).copied().unwrap_or(0);
        let free = limit.saturating_sub(slots.all).checked_sub(count);
        if free.is_none_or(|free| own > 0 && own + count > free) {
            return Err(NoSlots { taken: slots.all, own });
        }
        slots.all += count;
        slots.by_holder.insert(holder, own + count);
        Ok(QueueSlots { slots: self.clone(), holder, count })
    }

    fn release(&self, holder: SlotHolder, count: usize) {
        let mut slots = lock(&self.0);
        slots.all -= count;
        if let Some(own) = slots.by_holder.get_mut(&holder) {
            *own -= count;
            if *own == 0 {
                slots.by_holder.remove(&holder);
            }
        }
    }
}

/// Slots of a queue, released when dropped.
#[derive(Debug)]
pub struct QueueSlots {
    slots: Arc<Slots>,
    holder: SlotHolder,
    count: usize,
}

impl QueueSlots {
    /// One of these slots.
    pub fn split(&mut self) -> Self {
        let one = self.count.min(1);
        self.count -= one;
        Self { slots: self.slots.clone(), holder: self.holder, count: one }
    }
}

impl Drop for QueueSlots {
    fn drop(&mut self) {
        if self.count > 0 {
            self.slots.release(self.holder, self.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(role: u32) -> SlotHolder {
        SlotHolder { caller: Caller { database: 1, role }, lane: Lane::Bulk }
    }

    #[test]
    fn slots_are_released_one_by_one() {
        let slots = Arc::new(Slots::default());
        let mut taken = slots.take(role(1), 3, 3).unwrap();
        assert_eq!(slots.take(role(2), 1, 3).unwrap_err(), NoSlots { taken: 3, own: 0 });
        drop(taken.split());
        assert_eq!(slots.taken(), 2);
        drop(taken);
        assert_eq!(slots.taken(), 0);
        assert!(lock(&slots.0).by_holder.is_empty());
    }

    #[test]
    fn floods_leave_room_for_others() {
        let slots = Arc::new(Slots::default());
        let flood = |number| std::iter::from_fn(|| slots.take(role(number), 1, 60).ok()).collect::<Vec<_>>();
        let first = flood(1);
        assert_eq!(first.len(), 30);
        let second = flood(2);
        assert_eq!(second.len(), 15);
        let third = slots.take(role(3), 5, 60).unwrap();
        drop(first);
        assert_eq!(flood(1).len(), 20);
        drop((second, third));
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn bulk_work_of_a_role_does_not_refuse_its_queries() {
        let slots = Arc::new(Slots::default());
        let _bulk = slots.take(role(1), 40, 60).unwrap();
        assert!(slots.take(role(1), 1, 60).is_err());
        assert!(slots.take(SlotHolder { lane: Lane::Query, ..role(1) }, 1, 60).is_ok());
    }

    #[test]
    fn a_first_request_may_take_all_that_is_free() {
        let slots = Arc::new(Slots::default());
        assert!(slots.take(role(1), 61, 60).is_err());
        assert!(slots.take(role(1), 60, 60).is_ok());
    }
}
