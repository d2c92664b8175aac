//! Reads the pages of a text index, which are rows of a table, without executing a statement for each page.

use crate::error::{Error, Result};
use crate::value::{has_wrong_type, varlena_bytes};
use pgrx::pg_sys;
use ragstone_core::text_index::{Damage, Pages};

/// The columns that are read and their types: segment, page and the page's bytes.
const COLUMNS: [(&std::ffi::CStr, pg_sys::Oid); 3] =
    [(c"segment", pg_sys::INT8OID), (c"page", pg_sys::INT4OID), (c"data", pg_sys::BYTEAOID)];

/// The snapshot for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAt {
    /// The snapshot of the current statement.
    Statement,
    /// The snapshot of the next statement in the transaction, which includes the transaction's own changes.
    Now,
}

/// A table of pages with its primary key, open for reading.
pub struct PageTable {
    snapshot: pg_sys::Snapshot,
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    /// The scan keys, without their values.
    keys: [pg_sys::ScanKeyData; 2],
    /// Position of the column `data`.
    data: usize,
    columns: usize,
}

impl PageTable {
    /// Opens a table. The caller has locked it and checked its definition.
    ///
    /// # Errors
    /// 42804 if a column has another type; 55000 if the primary key is missing or has other columns.
    pub fn open(oid: pg_sys::Oid, at: ReadAt) -> Result<Self> {
        let mut numbers = [0; COLUMNS.len()];
        for (number, (column, wanted)) in numbers.iter_mut().zip(COLUMNS) {
            // SAFETY: looks names and types up in the catalogue's caches; the name is terminated.
            let found = unsafe {
                *number = pg_sys::get_attnum(oid, column.as_ptr());
                pg_sys::get_atttype(oid, *number)
            };
            if found != wanted {
                return Err(has_wrong_type(&column.to_string_lossy(), found, wanted));
            }
        }
        let lock = pg_sys::AccessShareLock as i32;
        // SAFETY: the table exists, since it has columns; everything that is opened is closed. The list of indexes is not
        // used, but computing it sets the OID of the primary key.
        let (table, index) = unsafe {
            let table = pg_sys::table_open(oid, lock);
            pg_sys::RelationGetIndexList(table);
            let key = (*table).rd_pkindex;
            if key == pg_sys::InvalidOid {
                pg_sys::table_close(table, lock);
                return Err(no_key());
            }
            (table, pg_sys::index_open(key, lock))
        };
        // SAFETY: the table was just opened. Zeros are a valid key without a function, which ScanKeyInit fills in.
        let (columns, keys) = unsafe {
            let mut keys: [pg_sys::ScanKeyData; 2] = std::mem::zeroed();
            let equal = pg_sys::BTEqualStrategyNumber as u16;
            for (place, function) in [pg_sys::F_INT8EQ, pg_sys::F_INT4EQ].into_iter().enumerate() {
                let function = pg_sys::Oid::from(function);
                pg_sys::ScanKeyInit(&mut keys[place], numbers[place], equal, function, pg_sys::Datum::null());
            }
            ((*(*table).rd_att).natts as usize, keys)
        };
        // SAFETY: a registered snapshot lives until it is unregistered, at the latest by the end of the transaction.
        let snapshot = unsafe {
            let is_set = at == ReadAt::Statement && pg_sys::ActiveSnapshotSet();
            pg_sys::RegisterSnapshot(if is_set {
                pg_sys::GetActiveSnapshot()
            } else {
                pg_sys::GetTransactionSnapshot()
            })
        };
        let opened = Self { snapshot, table, index, keys, data: numbers[2] as usize - 1, columns };
        // SAFETY: the index was just opened, and each index has this catalogue row.
        let is_key = unsafe {
            let index = &*(*opened.index).rd_index;
            let keys = index.indkey.values.as_slice(index.indnkeyatts.max(0) as usize);
            index.indisvalid && keys == [numbers[0], numbers[1]]
        };
        if is_key { Ok(opened) } else { Err(no_key()) }
    }
}

impl Pages for PageTable {
    type Error = Error;

    fn page(&mut self, segment: i64, page: u32) -> Result<Option<Vec<u8>>> {
        let Ok(page) = i32::try_from(page) else { return Ok(None) };
        let mut keys = self.keys;
        keys[0].sk_argument = pg_sys::Datum::from(segment);
        keys[1].sk_argument = pg_sys::Datum::from(page);
        let (mut values, mut nulls) = (vec![pg_sys::Datum::null(); self.columns], vec![true; self.columns]);
        // SAFETY: table and index are open, and the index has these two columns; the arrays have room for all columns;
        // `data` is a bytea. Values are copied before the end of the scan, which owns the row.
        unsafe {
            pg_sys::check_for_interrupts!();
            let keys = keys.as_mut_ptr();
            let scan = pg_sys::systable_beginscan_ordered(self.table, self.index, self.snapshot, 2, keys);
            let row = pg_sys::systable_getnext_ordered(scan, pg_sys::ScanDirection::ForwardScanDirection);
            let mut bytes = None;
            if !row.is_null() {
                let (values, nulls) = (values.as_mut_ptr(), nulls.as_mut_ptr());
                pg_sys::heap_deform_tuple(row, (*self.table).rd_att, values, nulls);
                bytes = (!*nulls.add(self.data)).then(|| varlena_bytes(*values.add(self.data)));
            }
            pg_sys::systable_endscan_ordered(scan);
            Ok(bytes)
        }
    }
}

impl Drop for PageTable {
    fn drop(&mut self) {
        // While an ERROR unwinds, the transaction's own cleanup closes them.
        if !std::thread::panicking() {
            // SAFETY: all were opened, and are closed once. Locks are held until the transaction ends.
            unsafe {
                pg_sys::UnregisterSnapshot(self.snapshot);
                pg_sys::index_close(self.index, pg_sys::NoLock as i32);
                pg_sys::table_close(self.table, pg_sys::NoLock as i32);
            }
        }
    }
}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        Self::data_corrupted(damage.to_string())
            .hint("Build the text index again with rag.refresh_collection(…, text => true).")
    }
}

fn no_key() -> Error {
    Error::wrong_state("the text index has lost its primary key")
        .hint("Drop the collection with rag.drop_collection and create it again.")
}
