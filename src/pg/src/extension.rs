//! The extension as an object of the database, which may be dropped at any time.

use crate::error::Result;
use crate::spi::{Arg, run};
use pgrx::pg_sys;

/// If the process has a database with the extension, prevents a DROP EXTENSION until the transaction ends. DROP EXTENSION
/// locks the extension before its tables; a transaction that uses several of these tables must lock in the same order, or
/// the two may deadlock.
pub fn lock_against_drop() {
    // SAFETY: plain reads, a look-up by a terminated name in the transaction that is open, and a lock that ends with it.
    unsafe {
        if pg_sys::MyDatabaseId == pg_sys::InvalidOid {
            return;
        }
        let extension = pg_sys::get_extension_oid(c"ragstone".as_ptr(), true);
        if extension != pg_sys::InvalidOid {
            pg_sys::LockDatabaseObject(
                pg_sys::ExtensionRelationId,
                extension,
                0,
                pg_sys::AccessShareLock as pg_sys::LOCKMODE,
            );
        }
    }
}

/// True if the database has the extension in the version of this library.
pub fn is_installed() -> Result<bool> {
    let rows = run(
        "SELECT FROM pg_extension WHERE extname = 'ragstone' AND extversion = $1",
        &[Arg::text(env!("CARGO_PKG_VERSION"))],
    )?;
    Ok(rows.count == 1)
}
