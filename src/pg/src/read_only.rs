//! Subtransactions that no statement in them can make writable.

use crate::error::{Error, Result, or_raise};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

const SETTING: &CStr = c"transaction_read_only";

/// PostgreSQL refuses to SET `transaction_read_only` to off in a subtransaction, but before PostgreSQL 17 the check hook is
/// not called for RESET, which restores the default. The default is therefore on while a value of this type lives.
#[derive(Debug)]
pub struct ReadOnly {
    default: Option<CString>,
}

impl ReadOnly {
    /// Create it before the subtransaction, and drop it after its end.
    pub fn prepare() -> Self {
        // SAFETY: the setting exists; its value is copied at once.
        let default = unsafe {
            let default = pg_sys::GetConfigOptionResetString(SETTING.as_ptr());
            (!default.is_null()).then(|| CStr::from_ptr(default).to_owned())
        };
        or_raise(set_default(c"on"));
        Self { default }
    }

    /// Makes the current subtransaction read-only; its end restores the former state.
    pub fn begin(&self) {
        // SAFETY: at its end, each subtransaction restores the value from its beginning.
        unsafe { pg_sys::XactReadOnly = true };
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if let Some(default) = &self.default {
            // The setting had this value before, so it is accepted.
            set_default(default).ok();
        }
    }
}

/// Sets the value that RESET restores, not the current value.
fn set_default(value: &CStr) -> Result<()> {
    // SAFETY: the strings live through the call, which copies them. The variable is restored; while it is off, every value
    // is accepted.
    let set = unsafe {
        let before = pg_sys::XactReadOnly;
        pg_sys::XactReadOnly = false;
        let set = pg_sys::set_config_option(
            SETTING.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_OVERRIDE,
            pg_sys::GucAction::GUC_ACTION_SET,
            true,
            pg_sys::WARNING as i32,
            false,
        );
        pg_sys::XactReadOnly = before;
        set
    };
    // Negative if only the default was set, because the transaction has set the value itself.
    if set != 0 { Ok(()) } else { Err(Error::internal("the default of transaction_read_only cannot be set")) }
}
