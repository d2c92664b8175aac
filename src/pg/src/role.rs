//! The current role.

use crate::error::Result;
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::sync::Once;

thread_local! {
    /// The number of possible changes of roles since the first call of [`Role::current`].
    static CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// A role with its current name.
#[derive(Clone, Copy)]
pub struct Role {
    /// Its OID.
    pub oid: pg_sys::Oid,
    name: pg_sys::NameData,
    changes_seen: u64,
}

impl Role {
    /// The role whose rights apply now.
    pub fn current() -> Result<Self> {
        watch();
        // SAFETY: a plain read of the session's identity; the name is a terminated string.
        unsafe {
            let oid = pg_sys::GetUserId();
            let given = pg_sys::GetUserNameFromId(oid, false);
            let mut name = pg_sys::NameData::default();
            pg_sys::namestrcpy(&mut name, given);
            pg_sys::pfree(given.cast());
            Ok(Self { oid, name, changes_seen: CHANGES.get() })
        }
    }

    /// Whether it is the current role, and has not been renamed since.
    pub fn is_current(&self) -> bool {
        // SAFETY: a plain read of the session's identity.
        self.oid == unsafe { pg_sys::GetUserId() } && self.changes_seen == CHANGES.get()
    }

    /// Its name as columns hold it.
    pub fn name(&self) -> &pg_sys::NameData {
        &self.name
    }

    /// Its name as text.
    pub fn to_text(self) -> Result<String> {
        // SAFETY: a name is terminated, in the server's encoding.
        unsafe {
            let text = pg_sys::cstring_to_text(CStr::from_ptr(self.name.data.as_ptr()).as_ptr());
            Ok(crate::text::utf8_from_datum(pg_sys::Datum::from(text)))
        }
    }
}

/// Counts changes of roles, of which ALTER ROLE RENAME is one.
fn watch() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the callback lives as long as the process, as the library is never unloaded.
        unsafe {
            pg_sys::CacheRegisterSyscacheCallback(
                pg_sys::SysCacheIdentifier::AUTHOID as c_int,
                Some(roles_changed),
                pg_sys::Datum::null(),
            );
        }
    });
}

extern "C-unwind" fn roles_changed(_argument: pg_sys::Datum, _cache: c_int, _hash: u32) {
    CHANGES.set(CHANGES.get() + 1);
}
