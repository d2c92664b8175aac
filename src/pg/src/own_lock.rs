//! The extension's own locks: heavyweight locks that no SQL function can take, so that no role can hold up the extension by
//! holding them. `pg_locks` shows them as advisory locks with objsubid 3; like these, they belong to the database.

use crate::session;
use pgrx::pg_sys;
use std::hash::{DefaultHasher, Hash, Hasher};

/// SQL functions take advisory locks of kinds 1 (bigint) and 2 (two integers).
const KIND: u16 = 3;

/// The subject of a lock: a purpose and an object. Two subjects may share a lock by chance, with a probability of 2^-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnLock(u64);

impl OwnLock {
    /// The lock for a purpose and an object, for example `("row", (collection, key))`.
    pub fn new(purpose: &str, thing: impl Hash) -> Self {
        // The hasher's keys are constant, so all processes with the same library compute the same value.
        let mut hasher = DefaultHasher::new();
        purpose.hash(&mut hasher);
        thing.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// Takes the lock for the session, unless another session has it.
    pub fn try_for_session(self) -> bool {
        self.acquire(true, true)
    }

    /// Releases the session's lock.
    pub fn release(self) {
        // SAFETY: the tag lives through the call. Releasing a lock that is not held only gives a WARNING.
        unsafe { pg_sys::LockRelease(&self.tag(), pg_sys::ExclusiveLock as i32, true) };
    }

    /// Takes the lock until the end of the transaction, unless another session has it.
    pub fn try_for_transaction(self) -> bool {
        self.acquire(false, true)
    }

    /// Waits for the lock, and holds it until the end of the transaction. Raises an ERROR after `lock_timeout` or at a cancel.
    pub fn wait_for_transaction(self) {
        self.acquire(false, false);
    }

    fn acquire(self, is_session: bool, dont_wait: bool) -> bool {
        // SAFETY: the tag lives through the call; the server releases the lock with the session or the transaction.
        let result =
            unsafe { pg_sys::LockAcquire(&self.tag(), pg_sys::ExclusiveLock as i32, is_session, dont_wait) };
        result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
    }

    fn tag(self) -> pg_sys::LOCKTAG {
        pg_sys::LOCKTAG {
            locktag_field1: session::database(),
            locktag_field2: (self.0 >> 32) as u32,
            locktag_field3: self.0 as u32,
            locktag_field4: KIND,
            locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        }
    }
}
