//! Caches, for the session, which tables have been found to be unaltered. Checking their columns takes longer
//! than a small search, so they are checked again only after a relcache invalidation.

use pgrx::pg_sys;
use ragstone_pg::relcache;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Once;

thread_local! {
    /// OID of each unaltered table, with the number of the collection that it was created for.
    static UNALTERED: RefCell<HashMap<pg_sys::Oid, i64>> = RefCell::default();

    /// Number of relcache invalidations that this session has received.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// The cached state of some tables, read before they are checked.
pub struct Knowledge {
    changes: u64,
    collection: i64,
    /// True if all of the tables are known to be unaltered tables of the collection.
    pub is_enough: bool,
}

impl Knowledge {
    /// The cached state of these tables of a collection.
    pub fn of(collection: i64, tables: &[pg_sys::Oid]) -> Self {
        register_invalidation();
        let is_enough =
            UNALTERED.with_borrow(|known| tables.iter().all(|table| known.get(table) == Some(&collection)));
        Self { changes: CHANGES.get(), collection, is_enough }
    }

    /// Remembers that these tables are unaltered, if no relcache invalidation has arrived since
    /// [`of`](Self::of).
    pub fn add(&self, tables: &[pg_sys::Oid]) {
        if self.changes == CHANGES.get() {
            UNALTERED
                .with_borrow_mut(|known| known.extend(tables.iter().map(|table| (*table, self.collection))));
        }
    }
}

fn register_invalidation() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        relcache::on_change(|table| {
            CHANGES.set(CHANGES.get() + 1);
            UNALTERED.with_borrow_mut(|known| match table {
                Some(table) => drop(known.remove(&table)),
                None => known.clear(),
            });
        });
    });
}
