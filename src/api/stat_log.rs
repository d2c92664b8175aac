//! `rag.stat_log`.

use crate::agent_log;
use pgrx::iter::TableIterator;
use pgrx::{extension_sql_file, name, pg_extern};
use ragstone_pg::error::or_raise;
use ragstone_pg::session;

#[pg_extern(volatile, parallel_restricted)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn _stat_log() -> TableIterator<
    'static,
    (name!(posted, i64), name!(waiting, i64), name!(waiting_bytes, i64), name!(lost, i64)),
> {
    let database = session::database();
    let row = or_raise(agent_log::state(database)).map(|state| {
        let number = |count: u64| count.cast_signed();
        (number(state.posted), number(state.waiting), number(state.waiting_bytes), number(state.lost))
    });
    TableIterator::new(row)
}

extension_sql_file!("../../sql/stat_log.sql", name = "stat_log", requires = [_stat_log]);
