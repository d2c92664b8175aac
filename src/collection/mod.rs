//! Collections: a table's rows cut into chunks, each with its embedding and its words, in tables beside it.

mod attachment;
mod chunking;
mod config;
mod create;
mod drop;
mod fill;
mod passage;
mod progress;
mod refresh;
mod source;
mod statements;
mod tables;
mod terms;

pub use self::refresh::{delete_orphans, refresh};
pub use attachment::follow_owner;
pub use chunking::Chunker;
pub use config::{Collection, Sync, config_owner, on_tables};
pub use create::{Settings, create, create_beside};
pub use drop::{drop_collection, drop_tables};
pub use fill::read_row;
pub use passage::{Passage, Row, analyse, analyse_query, store};
pub use progress::Reporting;
pub use statements::key_column;
pub use tables::index;
pub use terms::{TermCounts, fold};

use crate::pg::error::{Error, Outcome};
use crate::pg::spi::{Arg, run};
use crate::pg::switch_user::with_settings;
use pgrx::PgSqlErrorCode;

/// Does `work`, our own statements on the catalogue, with nothing on the search path that a user could have put there.
pub fn locked<T>(work: impl FnOnce() -> T) -> T {
    with_settings(&[("search_path", "pg_catalog, pg_temp")], work)
}

/// Waits until nobody else creates, refreshes or drops a collection of this name, and keeps others from it until the
/// transaction ends.
pub fn lock_name(name: &str) -> Outcome<()> {
    run(
        "SELECT pg_advisory_xact_lock(hashtextextended('ragstone collection ' || $1, 0))",
        &[Arg::text(name)],
    )?;
    Ok(())
}

/// Whoever may not do this to a table.
pub fn not_owner(action: &str, table: &str) -> Error {
    Error::new(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("must be owner of table {table} to {action}"),
    )
}
