//! Work of the event triggers: they find the collections that a command affects. An error here never makes
//! the user's command fail.

use crate::collections::capture::configurations;
use crate::collections::capture::follow::{Followed, follow, restored_by, sources};
use crate::collections::capture::own_ddl;
use crate::collections::capture::rewritten;
use crate::collections::catalog::collection::{Collection, Sync};
use crate::collections::queue;
use pgrx::{PgLogLevel, pg_sys};
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::event_trigger::RowEffect;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;

/// Adapts collections to the command that has just ended.
pub fn follow_ddl(effect: RowEffect) {
    without_failing(|| follow_commands(effect));
    without_failing(configurations::follow);
}

/// Remembers names that a command is about to change.
pub fn follow_names() {
    without_failing(configurations::remember);
}

/// Remembers the table that a command is about to rewrite.
pub fn follow_rewrites() {
    without_failing(rewritten::remember);
}

/// Adapts collections whose sources have lost columns (by ALTER TABLE, or because an object that the columns
/// depended on was dropped) or partitions. If the source itself was dropped, only the time is stored, since
/// its absence is visible in the catalogue.
pub fn follow_drops() {
    let role = session::current_role();
    without_failing(|| {
        follow_dropped_columns()?;
        follow_dropped_partitions(role)?;
        as_owner(config_owner()?, || run(include_str!("../../../sql/queries/note_dropped_tables.sql"), &[]))
            .map(|_| ())
    });
}

fn without_failing(work: impl FnOnce() -> Result<()>) {
    if own_ddl::is_under_way() {
        return;
    }
    if let Err(error) = own_ddl::run_own(|| in_subtransaction(|| with_safe_search_path(|| connect(work)))) {
        warn("collections could not follow this command", &error);
    }
}

fn follow_commands(effect: RowEffect) -> Result<()> {
    let rows = run(include_str!("../../../sql/queries/commands.sql"), &[])?;
    let (mut redefined, mut added_to) = (Vec::new(), Vec::new());
    let mut rewritten = rewritten::take();
    for row in 0..rows.count {
        let tables = if rows.boolean(row, 1) == Some(true) { &mut added_to } else { &mut redefined };
        tables.extend(rows.oid(row, 0));
        rewritten.extend(rows.oid(row, 0).filter(|_| rows.boolean(row, 2) == Some(true)));
    }
    let restored = restored_by(&[redefined.as_slice(), &added_to].concat())?;
    let known = sources(&redefined)?.into_iter().filter(|collection| !collection.is_restoring());
    let known: Vec<_> = known.collect();
    let of_rewritten = if rewritten.is_empty() { Vec::new() } else { sources(&rewritten)? };
    let known_ids: Vec<_> = known.iter().map(|collection| collection.id).collect();
    let followed = match effect {
        RowEffect::Any => Followed::AnyRows,
        RowEffect::None => Followed::SameRows { empty: &[] },
        RowEffect::NewTable => Followed::SameRows { empty: &redefined },
    };
    follow_all(known, followed);
    follow_all(restored, Followed::AnyRows);
    let follows =
        |collection: &&Collection| collection.sync != Sync::Manual && known_ids.contains(&collection.id);
    for collection in of_rewritten.iter().filter(follows) {
        if let Err(error) = in_subtransaction(|| rewritten::queue_changed(collection.id)) {
            warn(
                &format!(
                    "collection \"{}\" may return outdated texts until its rows are indexed again",
                    collection.name
                ),
                &error,
            );
        }
    }
    Ok(())
}

fn follow_dropped_columns() -> Result<()> {
    let rows = run(include_str!("../../../sql/queries/dropped_columns.sql"), &[])?;
    let tables: Vec<_> = (0..rows.count).filter_map(|row| rows.oid(row, 0)).collect();
    if !tables.is_empty() {
        let found = sources(&tables)?.into_iter().filter(|collection| !collection.is_restoring());
        follow_all(found, Followed::SameRows { empty: &[] });
    }
    Ok(())
}

/// Queues a comparison of all rows, because no trigger fired for the rows of the partition.
fn follow_dropped_partitions(role: pg_sys::Oid) -> Result<()> {
    let find = || run(include_str!("../../../sql/queries/lost_partitions.sql"), &[Arg::new(role)]);
    let found = as_owner(config_owner()?, find)?;
    (0..found.count).filter_map(|row| found.int8(row, 0)).try_for_each(queue::append_all)
}

fn follow_all(collections: impl IntoIterator<Item = Collection>, followed: Followed<'_>) {
    for mut collection in collections {
        if let Err(error) = in_subtransaction(|| connect(|| follow(&mut collection, followed))) {
            warn(&format!("collection \"{}\" could not follow this command", collection.name), &error);
        }
    }
}

fn warn(what: &str, error: &Error) {
    Error::warning(format!("{what}: {}", error.message))
        .detail(error.detail.clone())
        .hint(error.hint.clone())
        .notice(PgLogLevel::WARNING);
}
