//! Checks that the database's SQL objects match this library.

use crate::error::{Error, Result, or_raise};
use crate::spi::{connect, select};
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::c_int;
use std::sync::Once;

/// The library's own version.
const LIBRARY: &str = env!("CARGO_PKG_VERSION");

thread_local! {
    /// Number of possible changes of functions since the session's first check.
    static CHANGES: Cell<u64> = const { Cell::new(0) };

    /// The value of `CHANGES` at which the versions were last found to match.
    static MATCHED_AT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Raises 55000 if the database has the extension in another version than the library. Call it first in every SQL function:
/// a session that loaded the library before an update keeps that library until it ends.
pub fn check() {
    if MATCHED_AT.get() != Some(CHANGES.get()) {
        or_raise(compare_versions());
    }
}

fn compare_versions() -> Result<()> {
    watch();
    let changes = CHANGES.get();
    let installed = connect(|| {
        let rows = select(include_str!("../../../sql/queries/version.sql"), &[])?;
        rows.text(0, 0).ok_or_else(|| {
            Error::undefined("extension \"ragstone\" is not installed")
                .hint("Run CREATE EXTENSION ragstone CASCADE.")
        })
    })?;
    if installed != LIBRARY {
        return Err(Error::wrong_state(format!("the extension is version {installed}, but the session has loaded the library of version {LIBRARY}"),
        )
        .hint("Run ALTER EXTENSION ragstone UPDATE, or reconnect."));
    }
    MATCHED_AT.set(Some(changes));
    Ok(())
}

/// Detects ALTER EXTENSION UPDATE: PostgreSQL notifies sessions of changes of functions, but not of `pg_extension`.
fn watch() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the callback lives as long as the process, as the library is never unloaded.
        unsafe {
            pg_sys::CacheRegisterSyscacheCallback(
                pg_sys::SysCacheIdentifier::PROCOID as c_int,
                Some(functions_changed),
                pg_sys::Datum::null(),
            );
        }
    });
}

extern "C-unwind" fn functions_changed(_argument: pg_sys::Datum, _cache: c_int, _hash: u32) {
    CHANGES.set(CHANGES.get() + 1);
}
