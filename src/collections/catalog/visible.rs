//! Decides which collections the current role may know of.

use ragstone_pg::error::Result;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, select};
use ragstone_pg::switch_user::as_owner;

/// For each piece of work on a collection, given by the collection's name and the process that does the work:
/// true if the current role may know of it, because it may read the source or is a member of the role that
/// the process works for. A collection that is being created is covered as well, although its row is not
/// committed yet.
pub fn visible_work(names: &[&str], pids: &[i32]) -> Result<Vec<bool>> {
    let sql = "
        SELECT EXISTS (SELECT FROM rag.collection c
                       WHERE c.name = w.name AND coalesce(has_any_column_privilege($3, c.source, 'SELECT'), false))
               OR EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = w.pid AND pg_has_role($3, a.usesysid, 'USAGE'))
        FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY w (name, pid, place)
        ORDER BY w.place";
    let pids = Arg::int8s(pids.iter().map(|pid| i64::from(*pid)));
    let arguments = [Arg::texts(names), pids, Arg::new(session::current_role())];
    let owner = config_owner()?;
    with_safe_search_path(|| {
        connect(|| {
            let rows = as_owner(owner, || select(sql, &arguments))?;
            Ok((0..rows.count).map(|row| rows.boolean(row, 0) == Some(true)).collect())
        })
    })
}
