//! Handles commands that compute a source's values anew, for which no trigger fires: `ALTER TABLE … ALTER …
//! TYPE … USING` and a refresh of a materialized view. The rows that differ are queued in the same
//! transaction, so that no search returns their former text.

use crate::collections::capture::source_keys::read_all_keys;
use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::{Key, KeyColumns};
use crate::collections::queue;
use crate::collections::queue::Cause;
use pgrx::pg_sys;
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::blame::{Blame, blame};
use ragstone_pg::error::Result;
use ragstone_pg::spi::{connect, run};
use std::cell::RefCell;

/// Rewrite reasons that compute new values from an expression of the command or of the column's definition
/// (`AT_REWRITE_DEFAULT_VAL`, `AT_REWRITE_COLUMN_REWRITE`), instead of only changing the table's storage.
const NEW_VALUES: i32 = 0x02 | 0x04;

thread_local! {
    /// Tables that the current command rewrites.
    static REWRITTEN: RefCell<Vec<pg_sys::Oid>> = const { RefCell::new(Vec::new()) };
}

/// Remembers the table that the current command is about to rewrite. Must be called within SPI.
pub fn remember() -> Result<()> {
    let sql = "SELECT pg_event_trigger_table_rewrite_oid(), pg_event_trigger_table_rewrite_reason()";
    let rows = run(sql, &[])?;
    if rows.int4(0, 1).is_some_and(|reason| reason & NEW_VALUES != 0) {
        REWRITTEN.with_borrow_mut(|tables| tables.extend(rows.oid(0, 0)));
    }
    Ok(())
}

/// Returns the tables that the finished command has rewritten, and forgets them.
pub fn take() -> Vec<pg_sys::Oid> {
    REWRITTEN.take()
}

/// Queues the rows that differ from the collection's state; if one of them cannot be read, all rows.
pub fn queue_changed(collection: i64) -> Result<()> {
    let found = connect(|| Collection::find_by_id(collection))?;
    let Some(collection) = found.filter(|found| found.error.is_none() && !found.is_given_away()) else {
        return Ok(());
    };
    let queue = |keys: &[Key]| queue::append(collection.id, keys, Cause::Fill);
    let differing = in_subtransaction(|| {
        let operators = connect(|| KeyColumns::of(&collection))?.operators;
        for statement in [collection.select_stale(&operators)?, collection.select_emptied(&operators)?] {
            read_all_keys(&collection, &statement, queue)?;
        }
        Ok(())
    });
    match differing {
        Err(error) if blame(&error) == Blame::Row => {
            read_all_keys(&collection, &collection.select_keys()?, queue).map(|_| ())
        }
        differing => differing,
    }
}
