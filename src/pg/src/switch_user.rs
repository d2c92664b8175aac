//! Runs work as another role and with other settings, and restores both in every case.

use crate::error::{Error, or_raise};
use pgrx::pg_sys;
use std::ffi::CString;

/// Runs `work` as `owner`, with a search path that contains no object of a user. Code that the owner has attached to tables
/// (triggers, checks, index expressions) runs as the owner and cannot change the session. Row-level security that is forced
/// on the owner does not apply: the policies for the searching role decide what a search returns, and a policy must not
/// empty an index.
pub fn as_owner<T>(owner: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    let _identity = Identity::switch(owner);
    with_settings(&[("search_path", "pg_catalog, pg_temp")], work)
}

/// Runs `work`, a statement that names every object with its schema, as the owner of the extension's tables. The search
/// path is not changed: setting and resetting it would take longer than inserting a row.
pub fn as_extension_owner<T>(owner: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    let _identity = Identity::switch(owner);
    work()
}

/// Runs `work` as the current role, which `work` cannot change: SET ROLE, RESET ROLE and SET SESSION AUTHORIZATION are
/// refused, as in a SECURITY DEFINER function.
pub fn without_role_change<T>(work: impl FnOnce() -> T) -> T {
    let _identity = Identity::forbid_change();
    work()
}

/// Runs `work` with settings that are restored afterwards. It works on a standby, where SET through SPI does not.
pub fn with_settings<T>(settings: &[(&str, &str)], work: impl FnOnce() -> T) -> T {
    let _level = SettingsLevel::open();
    for (name, value) in settings {
        or_raise(set(name, value));
    }
    work()
}

/// Sets a setting for the process's lifetime, for background workers outside a transaction.
pub fn set_for_session(name: &str, value: &str) {
    or_raise(set_as(name, value, pg_sys::GucAction::GUC_ACTION_SET));
}

/// Sets a setting for the session, as SET does: a rollback of the transaction undoes it.
pub fn set_in_transaction(name: &str, value: &str) -> Result<(), Error> {
    set_as(name, value, pg_sys::GucAction::GUC_ACTION_SET)
}

/// Sets a setting until the end of the transaction, as SET LOCAL does.
pub fn set_local(name: &str, value: &str) -> Result<(), Error> {
    set_as(name, value, pg_sys::GucAction::GUC_ACTION_LOCAL)
}

fn set(name: &str, value: &str) -> Result<(), Error> {
    set_as(name, value, pg_sys::GucAction::GUC_ACTION_SAVE)
}

fn set_as(name: &str, value: &str, action: pg_sys::GucAction::Type) -> Result<(), Error> {
    let name = CString::new(name).map_err(Error::internal)?;
    let value = CString::new(value).map_err(Error::internal)?;
    // SAFETY: both strings live through the call, which copies them.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
    Ok(())
}

/// The role and security context before a switch.
struct Identity {
    user: pg_sys::Oid,
    context: i32,
}

impl Identity {
    fn switch(owner: pg_sys::Oid) -> Self {
        let before = Self::now();
        let restricted = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        before.become_with(owner, restricted | pg_sys::SECURITY_NOFORCE_RLS);
        before
    }

    fn forbid_change() -> Self {
        let before = Self::now();
        before.become_with(before.user, pg_sys::SECURITY_LOCAL_USERID_CHANGE);
        before
    }

    fn now() -> Self {
        let mut now = Self { user: pg_sys::InvalidOid, context: 0 };
        // SAFETY: a plain accessor of the session's identity.
        unsafe { pg_sys::GetUserIdAndSecContext(&mut now.user, &mut now.context) };
        now
    }

    fn become_with(&self, user: pg_sys::Oid, restrictions: u32) {
        // SAFETY: a plain accessor of the session's identity.
        unsafe { pg_sys::SetUserIdAndSecContext(user, self.context | restrictions as i32) };
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        // SAFETY: restores the values that `switch` read; never raises.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

/// A nesting level of settings. After an ERROR, the abort of the transaction or subtransaction unwinds it.
struct SettingsLevel(i32);

impl SettingsLevel {
    fn open() -> Self {
        // SAFETY: a counter of the session.
        Self(unsafe { pg_sys::NewGUCNestLevel() })
    }
}

impl Drop for SettingsLevel {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: the level was opened by `open` and is the innermost one.
            unsafe { pg_sys::AtEOXact_GUC(false, self.0) };
        }
    }
}
