//! Settings of the server (GUCs): reloads the configuration file, and wraps functions that pgrx offers only as unsafe ones.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_sys};
use std::ffi::{CStr, CString, c_char, c_void};

/// Checks the values of a setting.
pub trait StringCheck {
    /// True if the setting may have this value. Must not raise.
    fn accepts(value: &CStr) -> bool;
}

/// Defines a string setting that rejects values for which `C` returns false.
pub fn define_checked_string<C: StringCheck>(
    name: &'static CStr,
    description: &'static CStr,
    details: &'static CStr,
    setting: &'static GucSetting<Option<CString>>,
    context: GucContext,
) {
    let flags = GucFlags::default();
    // SAFETY: the check hook has the signature that Postgres expects, and does not raise.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            name,
            description,
            details,
            setting,
            context,
            flags,
            Some(check_hook::<C>),
            None,
            None,
        );
    }
}

unsafe extern "C-unwind" fn check_hook<C: StringCheck>(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: Postgres passes a terminated string, or null.
    let value = unsafe { if (*value).is_null() { c"" } else { CStr::from_ptr(*value) } };
    C::accepts(value)
}

/// Reloads the configuration file, as a process does after SIGHUP. Call it in the main loop of a background worker, where
/// no transaction is open.
pub fn reload_configuration() {
    // SAFETY: the callers are main loops of processes, where PostgreSQL itself reloads the file.
    unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
}

/// Sets a setting for the process's lifetime: the configuration file, database and role settings no longer change it, but
/// SET does. Does nothing if this version of PostgreSQL lacks the setting. Call it before the process connects to a database.
pub fn pin(name: &CStr, value: &CStr) {
    // SAFETY: the strings live through the calls, which copy them.
    unsafe {
        if pg_sys::GetConfigOption(name.as_ptr(), true, false).is_null() {
            return;
        }
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_OVERRIDE,
            pg_sys::GucAction::GUC_ACTION_SET,
            true,
            0,
            false,
        );
    }
}

/// True if a setting's value, up to a comma, equals `value`.
pub(super) fn is_set_to(name: &CStr, value: &CStr) -> bool {
    // SAFETY: returns a terminated string, which lives until a setting is shown again or changed, or null if there is no
    // such setting.
    unsafe {
        let shown = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        !shown.is_null()
            && CStr::from_ptr(shown).to_bytes().split(|byte| *byte == b',').next() == Some(value.to_bytes())
    }
}
