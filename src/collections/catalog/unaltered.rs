//! The tables that a session has found to be as they were made. To look at their columns takes longer than a small search, so that is
//! done again only after Postgres's relation cache has been told of a change.

use pgrx::pg_sys;
use ragstone_pg::relcache;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::Once;

thread_local! {
    static UNALTERED: RefCell<HashSet<pg_sys::Oid>> = RefCell::default();

    /// Number of changes of tables that this session was told of.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// What is known of tables, before they are looked at.
pub struct Knowledge {
    changes: u64,
    /// Whether all of the tables are as they were made.
    pub is_enough: bool,
}

impl Knowledge {
    /// What is known of these tables.
    pub fn of(tables: &[pg_sys::Oid]) -> Self {
        register_invalidation();
        let is_enough = UNALTERED.with_borrow(|known| tables.iter().all(|table| known.contains(table)));
        Self { changes: CHANGES.get(), is_enough }
    }

    /// Remembers that these tables are as they were made, if none has changed since.
    pub fn add(&self, tables: &[pg_sys::Oid]) {
        if self.changes == CHANGES.get() {
            UNALTERED.with_borrow_mut(|known| known.extend(tables));
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
