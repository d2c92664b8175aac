//! Conversations: sessions with their messages, answered from a collection or by a language model alone.

mod history;
pub mod memory;
mod persona;
mod session;
mod step;
mod stream;
mod turn;

pub use persona::{NewPersona, set_persona};
pub use session::{NewSession, create_session, delete_session, give_feedback};
pub use step::chat_as_step;
pub use stream::{ChatPieces, chat_stream};
pub use turn::Turn;

use crate::collection::config_owner;
use crate::pg::error::Outcome;
use crate::pg::spi::{Arg, connect, run};
use crate::pg::switch_user::as_owner;
use pgrx::pg_sys;

/// Runs a statement on the tables of conversations. They belong to the extension's owner; each statement says itself whose
/// rows it is about.
fn on_tables<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    connect(|| as_owner(config_owner()?, work))
}

/// Name of the current role.
fn role() -> Outcome<String> {
    // SAFETY: a plain read of the session's identity.
    let role = unsafe { pg_sys::GetUserId() };
    let rows = connect(|| {
        run("SELECT pg_catalog.pg_get_userbyid($1)::pg_catalog.text", &[Arg::new(role)])
            .map(|rows| rows.text(0, 0))
    })?;
    Ok(rows.unwrap_or_default())
}
