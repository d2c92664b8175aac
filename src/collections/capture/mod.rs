//! Captures the changes of writers: the trigger on a source queues the keys of changed rows, and deletes the
//! chunks of deleted rows.
//!
//! The trigger compares values instead of SET lists, and reads neither the catalogue nor a table if no
//! indexed column has changed. An error in it never makes the user's write fail. [`triggers`] installs the
//! triggers. [`ddl`] and [`follow`] adapt collections to changed definitions, and [`configurations`] to
//! renamed text search configurations. [`rewritten`] finds rows that a command has rewritten with new values.
//! [`reconcile`] finds changes for which no trigger fired, with [`source_keys`] and, if rows cannot be read,
//! [`unreadable`].

mod configurations;
pub mod ddl;
pub mod follow;
pub mod own_ddl;
pub mod reconcile;
mod rewritten;
mod source_keys;
pub mod triggers;
mod unreadable;

use crate::collections::catalog::collection::{Collection, Sync, TableUse};
use crate::collections::catalog::keys::{Key, KeyColumns, PartialKey, whole};
use crate::collections::indexing::immediate;
use crate::collections::indexing::index_changes::IndexChanges;
use crate::collections::queue;
use crate::collections::queue::Cause;
use pgrx::{PgLogLevel, pg_sys};
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::plans::by_index;
use ragstone_pg::portable::with_portable_settings;
use ragstone_pg::relation::lock_if_free;
use ragstone_pg::relcache;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::trigger::{Column, Event, Row, TriggerCall};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashSet};
use std::sync::Once;

/// Number of keys that are collected before they are queued.
const MAX_PENDING_KEYS: usize = 10_000;

thread_local! {
    /// Pairs of a collection and a table whose trigger may change that collection. A table may be detached, or become another one's
    /// partition, or another extension may number its collections anew: they are looked up again after any change of a table.
    static TRUSTED: RefCell<HashSet<(i64, pg_sys::Oid)>> = RefCell::new(HashSet::new());

    /// Number of changes of tables that this session was told of.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// Captures the changes of a statement. It raises no error, unless the statement is being cancelled.
pub fn capture(trigger: TriggerCall) {
    if let Err(error) = try_capture(trigger) {
        warn(trigger, error);
    }
}

fn try_capture(trigger: TriggerCall) -> Result<()> {
    let columns = Columns::of(trigger)?;
    if trigger.event() == Event::Update && !columns.any_changed(trigger) {
        return Ok(());
    }
    let noted = in_subtransaction(|| with_safe_search_path(|| connect(|| columns.note(trigger))));
    match noted {
        Ok(()) => Ok(()),
        Err(error) => {
            in_subtransaction(|| {
                with_safe_search_path(|| connect(|| queue::append_all(columns.collection)))
            })?;
            Err(error)
        }
    }
}

fn warn(trigger: TriggerCall, error: Error) {
    let collection = trigger.arguments().into_iter().next().unwrap_or_default();
    Error::warning(format!("could not queue a change for collection number {collection}: {}", error.message))
        .detail("The write itself is not affected; a worker will compare all rows.")
        .notice(PgLogLevel::WARNING);
}

/// The columns that a trigger watches.
struct Columns {
    collection: i64,
    key: Vec<Column>,
    watched: Vec<Column>,
}

impl Columns {
    /// Reads the trigger's arguments: the collection's number, the number of key columns, the key columns,
    /// the other columns.
    fn of(trigger: TriggerCall) -> Result<Self> {
        let arguments = trigger.arguments();
        let malformed = || Error::bad_argument("the trigger's arguments are malformed");
        let [collection, count, names @ ..] = arguments.as_slice() else { return Err(malformed()) };
        let count: usize = count.parse().map_err(|_| malformed())?;
        if count > names.len() {
            return Err(malformed());
        }
        let column = |name: &String| {
            trigger
                .column(name)
                .ok_or_else(|| Error::undefined_column(format!("column \"{name}\" does not exist")))
        };
        let (key, watched) = names.split_at(count);
        Ok(Self {
            collection: collection.parse().map_err(|_| malformed())?,
            key: key.iter().map(column).collect::<Result<_>>()?,
            watched: watched.iter().map(column).collect::<Result<_>>()?,
        })
    }

    fn any_changed(&self, trigger: TriggerCall) -> bool {
        let mut any = false;
        trigger.for_each(|old, new| any = any || self.changed(old, new));
        any
    }

    fn changed(&self, old: Option<Row>, new: Option<Row>) -> bool {
        match (old, new) {
            (Some(old), Some(new)) => {
                !self.key.iter().chain(&self.watched).all(|column| old.same(new, *column))
            }
            _ => true,
        }
    }

    fn note(&self, trigger: TriggerCall) -> Result<()> {
        let Some(mut collection) = self.trusted(trigger)? else { return Ok(()) };
        if trigger.event() == Event::Truncate {
            return truncated(&mut collection);
        }
        let (gone, noted, keyless) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut changes = CapturedChanges { collection, columns: self, gone, noted, keyless };
        let mut outcome = Ok(());
        with_portable_settings(|| {
            trigger.for_each(|old, new| {
                if outcome.is_ok() && self.changed(old, new) {
                    outcome = changes.add(old, new);
                }
            });
        });
        outcome?;
        changes.flush()
    }

    /// The collection, if the table is its source or a partition or child of it. This is checked because any
    /// role may create a trigger with any arguments.
    fn trusted(&self, trigger: TriggerCall) -> Result<Option<Collection>> {
        let Some(collection) = Collection::find_by_id(self.collection)? else { return Ok(None) };
        register_invalidation();
        let place = (self.collection, trigger.relation());
        if TRUSTED.with_borrow(|trusted| trusted.contains(&place)) {
            return Ok(Some(collection));
        }
        let changes = CHANGES.get();
        let rows = run(
            include_str!("../../../sql/queries/ancestors.sql"),
            &[Arg::new(trigger.relation()), Arg::new(collection.source_of_any_owner()?.oid)],
        )?;
        if rows.count == 0 {
            return Ok(None);
        }
        if changes == CHANGES.get() {
            TRUSTED.with_borrow_mut(|trusted| trusted.insert(place));
        }
        Ok(Some(collection))
    }
}

fn register_invalidation() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        relcache::on_change(|_| {
            CHANGES.set(CHANGES.get() + 1);
            TRUSTED.with_borrow_mut(HashSet::clear);
        });
    });
}

struct CapturedChanges<'a> {
    collection: Collection,
    columns: &'a Columns,
    /// Keys of rows that no longer exist.
    gone: Vec<Key>,
    /// Keys to queue, including those in `gone`: another transaction may commit a chunk that this transaction
    /// cannot see.
    noted: Vec<Key>,
    /// Keys that contain a NULL, of existing and deleted rows.
    keyless: BTreeSet<PartialKey>,
}

impl CapturedChanges<'_> {
    fn add(&mut self, old: Option<Row>, new: Option<Row>) -> Result<()> {
        let same_key = match (old, new) {
            (Some(old), Some(new)) => self.columns.key.iter().all(|column| old.same(new, *column)),
            _ => false,
        };
        if let Some(new) = new {
            let key = self.key_or_note(new);
            self.noted.extend(key);
        }
        if let Some(key) = old.filter(|_| !same_key).and_then(|old| self.key_or_note(old)) {
            self.gone.push(key.clone());
            self.noted.push(key);
        }
        if self.noted.len() + self.keyless.len() >= MAX_PENDING_KEYS { self.flush() } else { Ok(()) }
    }

    /// The key of a row. A row cannot be found by a key that contains a NULL: such a key is added to
    /// `keyless`.
    fn key_or_note(&mut self, row: Row) -> Option<Key> {
        let key: PartialKey = self.columns.key.iter().map(|column| row.text(*column)).collect();
        let whole = whole(&key);
        if whole.is_none() {
            self.keyless.insert(key);
        }
        whole
    }

    fn flush(&mut self) -> Result<()> {
        let (gone, noted) = (std::mem::take(&mut self.gone), std::mem::take(&mut self.noted));
        delete_chunks(&mut self.collection, &gone)?;
        queue::append_partial(self.collection.id, &std::mem::take(&mut self.keyless), Cause::Change)?;
        if noted.is_empty() {
            return Ok(());
        }
        if self.collection.sync == Sync::Immediate && !self.collection.is_paused {
            let now = in_subtransaction(|| immediate::index_now(&self.collection, &noted));
            match now {
                Ok(false) => {}
                Ok(true) => {
                    queue::segment_added();
                    return Ok(());
                }
                Err(error) => Error::warning(format!(
                    "collection \"{}\" will be updated later: {}",
                    self.collection.name, error.message
                ))
                .hint(error.hint)
                .notice(PgLogLevel::WARNING),
            }
        }
        queue::append(self.collection.id, &noted, Cause::Change)
    }
}

/// Deletes the chunks of deleted rows. If another session has locked the chunk table, for example to create
/// its indexes, the writer does not wait: search never returns a chunk without its row, and the worker
/// deletes the chunk later.
fn delete_chunks(collection: &mut Collection, gone: &[Key]) -> Result<()> {
    if gone.is_empty() || !lock_own_tables(collection)? {
        return Ok(());
    }
    let chunks = collection.chunks()?.clone();
    let keys = KeyColumns::of(collection)?;
    let statement = collection.delete_keyed(&keys, false)?;
    let arguments = keys.arguments(gone.iter());
    let rows = as_owner(chunks.owner, || by_index(|| run(&statement, &arguments)))?;
    let mut changes = IndexChanges::default();
    changes.count_deleted(&rows);
    if changes.write(collection)? > 0 {
        queue::segment_added();
    }
    Ok(())
}

/// Locks the chunk table for writing. Returns false if another session has locked it, or if the collection
/// waits for its new owner.
fn lock_own_tables(collection: &mut Collection) -> Result<bool> {
    if collection.is_given_away() || !lock_if_free(collection.chunks()?.oid) {
        return Ok(false);
    }
    collection.lock_tables(TableUse::Writing)?;
    Ok(true)
}

fn truncated(collection: &mut Collection) -> Result<()> {
    if lock_own_tables(collection)? {
        reconcile::delete_orphans(collection)?;
    }
    queue::append_all(collection.id)
}
