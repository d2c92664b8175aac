//! The current role as the owner of the extension's objects: conversations, runs, agents, tools. `sql/owners.sql` explains
//! why objects have their owner's name, and which name that is.

use crate::error::{Error, Result};
use crate::own_tables::config_owner;
use crate::spi::{Arg, connect, run};
use crate::switch_user::as_extension_owner;
use crate::transactions;
use pgrx::pg_sys;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int};
use std::sync::Once;

thread_local! {
    /// Number of possible changes of roles since the first call of [`Owner::current`].
    static CHANGES: Cell<u64> = const { Cell::new(0) };

    /// The last owner whose name was found to be recorded.
    static NOTED: RefCell<Option<Owner>> = const { RefCell::new(None) };
}

/// A role, with the name under which it owns objects.
#[derive(Clone, Copy)]
pub struct Owner {
    /// The role's OID.
    pub role: pg_sys::Oid,
    name: pg_sys::NameData,
    changes_seen: u64,
}

impl Owner {
    /// The role whose privileges apply now.
    pub fn current() -> Result<Self> {
        Ok(Self::find()?.0)
    }

    /// Like [`Self::current`], for a role that is about to create an object. Its name is recorded, so that a role that gets
    /// the same name later does not own the object.
    pub fn who_makes() -> Result<Self> {
        let (owner, is_noted) = Self::find()?;
        if !is_noted && transactions::may_write() {
            owner.note()?;
        }
        Ok(owner)
    }

    /// The role that has this name now, if any, for which an object is created. Its name is recorded in the same way.
    pub fn of_name(name: &str) -> Result<Option<Self>> {
        let find = "SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) $1::pg_catalog.name";
        let role = connect(|| Ok::<_, Error>(run(find, &[Arg::text(name)])?.oid(0, 0)))?;
        let Some(role) = role else { return Ok(None) };
        let (owner, is_noted) = Self::look_up(role)?;
        if !is_noted {
            owner.note()?;
        }
        Ok(Some(owner))
    }

    fn find() -> Result<(Self, bool)> {
        watch();
        if let Some(noted) = NOTED.with_borrow(|noted| *noted).filter(Self::is_current) {
            return Ok((noted, true));
        }
        // SAFETY: a plain read of the session's identity.
        let (owner, is_noted) = Self::look_up(unsafe { pg_sys::GetUserId() })?;
        if is_noted {
            NOTED.set(Some(owner));
        }
        Ok((owner, is_noted))
    }

    /// A role, and whether its name is recorded.
    fn look_up(role: pg_sys::Oid) -> Result<(Self, bool)> {
        let find = "SELECT rag._owner_of($1, r.rolname),
                           EXISTS (SELECT FROM rag._owner o JOIN rag._server s ON o.server OPERATOR(pg_catalog.=) s.server
                                   WHERE o.role OPERATOR(pg_catalog.=) $1 AND o.role_name OPERATOR(pg_catalog.=) r.rolname)
                    FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) $1";
        let (name, is_noted) = connect(|| {
            let rows = as_extension_owner(config_owner()?, || run(find, &[Arg::new(role)]))?;
            let name = rows.name(0, 0);
            let name = name.ok_or_else(|| Error::undefined("the role no longer exists"))?;
            Ok::<_, Error>((name, rows.boolean(0, 1) == Some(true)))
        })?;
        Ok((Self { role, name, changes_seen: CHANGES.get() }, is_noted))
    }

    fn note(&self) -> Result<()> {
        let note = "INSERT INTO rag._owner (owner, role_name, role, server)
                    SELECT $1, r.rolname, r.oid, s.server FROM pg_catalog.pg_roles r, rag._server s
                    WHERE r.oid OPERATOR(pg_catalog.=) $2";
        let arguments = [Arg::name(&self.name), Arg::new(self.role)];
        connect(|| as_extension_owner(config_owner()?, || run(note, &arguments)))?;
        Ok(())
    }

    /// True if it is the current role, and has not been renamed since.
    pub fn is_current(&self) -> bool {
        // SAFETY: a plain read of the session's identity.
        self.role == unsafe { pg_sys::GetUserId() } && self.changes_seen == CHANGES.get()
    }

    /// The name as columns store it.
    pub fn name(&self) -> &pg_sys::NameData {
        &self.name
    }

    /// The name as text.
    pub fn to_text(self) -> Result<String> {
        // SAFETY: a name is terminated, in the server's encoding.
        unsafe {
            let text = pg_sys::cstring_to_text(CStr::from_ptr(self.name.data.as_ptr()).as_ptr());
            Ok(crate::text::utf8_from_datum(pg_sys::Datum::from(text)))
        }
    }
}

/// Counts changes of roles, for example by ALTER ROLE RENAME.
fn watch() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // A record of a transaction that is rolled back disappears.
        transactions::on_abort(|| NOTED.set(None));
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
