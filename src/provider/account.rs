//! For whom a call is made.

use crate::pg::error::Outcome;
use pgrx::pg_sys;
use ragstone_core::provider::Account;

/// The current role's account with a server.
pub fn account(_server: &str, function: &'static str) -> Outcome<Account> {
    // SAFETY: a plain read of the session's identity.
    let role = unsafe { pg_sys::GetUserId() }.to_u32();
    Ok(Account { role, function: function.to_owned(), keep_text: false, budgets: Vec::new() })
}
