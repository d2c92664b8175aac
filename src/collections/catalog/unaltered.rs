//! The tables that a session has found to be as they were made. To look at their columns takes longer than a small search, so that is
//! done again only after Postgres's relation cache has been told of a change.

use pgrx::pg_sys;
use ragstone_pg::relcache;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Once;

thread_local! {
    /// Each with the number of the collection that it was made for.
    static UNALTERED: RefCell<HashMap<pg_sys::Oid, i64>> = RefCell::default();

    /// Number of changes of tables that this session was told of.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// What is known of tables, before they are looked at.
pub struct Knowledge {
    changes: u64,
    collection: i64,
    /// Whether all of the tables are as they were made for the collection.
    pub is_enough: bool,
}

impl Knowledge {
    /// What is known of these tables of a collection.
    pub fn of(collection: i64, tables: &[pg_sys::Oid]) -> Self {
        register_invalidation();
        let is_enough =
            UNALTERED.with_borrow(|known| tables.iter().all(|table| known.get(table) == Some(&collection)));
        Self { changes: CHANGES.get(), collection, is_enough }
    }

    /// Remembers that these tables are as they were made, if none has changed since.
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
