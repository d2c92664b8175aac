//! The event trigger's part: which collections a command concerns. Nothing that goes wrong here breaks the command.

use crate::collection::locked;
use crate::pg::attempt::in_subtransaction;
use crate::pg::error::{Error, Outcome};
use crate::pg::spi::{connect, run};
use crate::sync::follow::{affected, follow};
use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};
use std::cell::Cell;

thread_local! {
    /// What is done here is a command, too.
    static FOLLOWING: Cell<bool> = const { Cell::new(false) };
}

/// Lets collections follow the command that has just ended.
pub fn follow_ddl() {
    if FOLLOWING.replace(true) {
        return;
    }
    let _following = Following;
    if let Err(error) = in_subtransaction(|| locked(|| connect(try_follow))) {
        warn("collections could not follow this command", &error);
    }
}

struct Following;

impl Drop for Following {
    fn drop(&mut self) {
        FOLLOWING.set(false);
    }
}

fn try_follow() -> Outcome<()> {
    let rows =
        run("SELECT objid FROM pg_event_trigger_ddl_commands() WHERE classid = 'pg_class'::regclass", &[])?;
    let relations: Vec<pg_sys::Oid> = (0..rows.count).filter_map(|row| rows.oid(row, 0)).collect();
    for mut collection in affected(&relations)? {
        if let Err(error) = in_subtransaction(|| connect(|| follow(&mut collection))) {
            warn(&format!("collection \"{}\" could not follow this command", collection.name), &error);
        }
    }
    Ok(())
}

fn warn(what: &str, error: &Error) {
    Error::new(PgSqlErrorCode::ERRCODE_WARNING, format!("{what}: {}", error.message))
        .detail(error.detail.clone())
        .hint(error.hint.clone())
        .notice(PgLogLevel::WARNING);
}
