//! Stores failures: of rows in `rag._failure`, of whole collections in `rag.collection`.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::Key;
use crate::collections::queue;
use ragstone_client::settings;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::plans::by_index;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;
use std::collections::BTreeSet;
use std::time::Duration;

/// Records that a row could not be indexed, and removes it from the queue. The delay before the next try
/// doubles each time and is randomised, so that rows that failed together are not retried together.
pub fn record(collection: i64, key: &Key, ids: &[i64], error: &Error) -> Result<()> {
    let arguments = [
        Arg::new(collection),
        Arg::texts(key),
        Arg::text(&error.code()),
        Arg::text(&error.message),
        Arg::optional_text(Some(error.detail.as_str()).filter(|detail| !detail.is_empty())),
        Arg::new(settings::sync_max_attempts()),
    ];
    connect(|| {
        as_owner(config_owner()?, || {
            run(
                "INSERT INTO rag._failure AS f (collection, key, attempts, retry_at, sqlstate, message, detail)
                 VALUES ($1, $2, 1, CASE WHEN $6 > 1 THEN clock_timestamp() + make_interval(secs => 0.75 + random() / 2) END,
                         $3, $4, $5)
                 ON CONFLICT (collection, key) DO UPDATE
                 SET attempts = f.attempts + 1,
                     retry_at = CASE WHEN f.attempts + 1 < $6
                       THEN clock_timestamp() + make_interval(secs => least(2.0 ^ f.attempts, 3600) * (0.75 + random() / 2)) END,
                     sqlstate = excluded.sqlstate, message = excluded.message, detail = excluded.detail,
                     failed_at = clock_timestamp()",
                &arguments,
            )
        })?;
        queue::delete(collection, ids)
    })
}

/// Postpones the next try of a failed row after a try that showed nothing about the row; otherwise the row
/// would be tried again at once.
pub fn put_off(collection: i64, key: &Key) -> Result<()> {
    let statement = "UPDATE rag._failure SET retry_at = clock_timestamp() + make_interval(secs => 30)
                     WHERE collection = $1 AND key = $2 AND retry_at IS NOT NULL";
    let arguments = [Arg::new(collection), Arg::texts(key)];
    as_owner(config_owner()?, || by_index(|| run(statement, &arguments))).map(|_| ())
}

/// Deletes the failures of rows that were indexed.
pub fn clear_failures<'k>(collection: i64, keys: impl Iterator<Item = &'k Key>) -> Result<()> {
    let clear = || -> Result<()> {
        let any = run("SELECT FROM rag._failure WHERE collection = $1 LIMIT 1", &[Arg::new(collection)])?;
        if any.count == 0 {
            return Ok(());
        }
        for key in keys {
            let arguments = [Arg::new(collection), Arg::texts(key)];
            run("DELETE FROM rag._failure WHERE collection = $1 AND key = $2", &arguments)?;
        }
        Ok(())
    };
    as_owner(config_owner()?, || by_index(clear))
}

/// Stores the error why a collection cannot follow its source, or removes it.
pub fn set_error(collection: i64, error: Option<&Error>) -> Result<()> {
    let message = error.map(|error| match error.hint.as_str() {
        "" => error.message.clone(),
        hint => format!("{} (hint: {hint})", error.message),
    });
    as_owner(config_owner()?, || {
        run(
            "UPDATE rag.collection
             SET error = $2, failed_since = CASE WHEN $2 IS NOT NULL THEN coalesce(failed_since, clock_timestamp()) END
             WHERE id = $1 AND error IS DISTINCT FROM $2",
            &[Arg::new(collection), Arg::optional_text(message.as_deref())],
        )
    })?;
    Ok(())
}

/// Stores why these collections (None: all collections) wait, and the time of the next try, `pause` from now.
/// Returns their numbers.
pub fn set_waiting(
    collections: Option<&BTreeSet<i64>>,
    pause: Duration,
    error: &Error,
) -> Result<BTreeSet<i64>> {
    let arguments = [
        collections.map_or_else(|| Arg::optional::<Vec<i64>>(None), |ids| Arg::int8s(ids.iter().copied())),
        Arg::new(pause.as_secs_f64()),
        Arg::text(&error.code()),
        Arg::text(&error.message),
        Arg::text(&error.hint),
    ];
    let rows = as_owner(config_owner()?, || {
        run(
            "INSERT INTO rag._waiting AS w (collection, next_try, sqlstate, message, hint)
             SELECT id, clock_timestamp() + make_interval(secs => $2), $3, $4, nullif($5, '') FROM rag.collection
             WHERE $1 IS NULL OR id = ANY ($1)
             ON CONFLICT (collection) DO UPDATE
             SET next_try = excluded.next_try, sqlstate = excluded.sqlstate, message = excluded.message,
                 hint = excluded.hint
             RETURNING collection",
            &arguments,
        )
    })?;
    Ok((0..rows.count).filter_map(|row| rows.int8(row, 0)).collect())
}

/// The collections among these that users see as waiting.
pub fn waiting(collections: &BTreeSet<i64>) -> Result<BTreeSet<i64>> {
    let ids = Arg::int8s(collections.iter().copied());
    let sql = "SELECT collection FROM rag._waiting WHERE collection = ANY ($1)";
    let rows = as_owner(config_owner()?, || run(sql, &[ids]))?;
    Ok((0..rows.count).filter_map(|row| rows.int8(row, 0)).collect())
}

/// Deletes the stored reasons why these collections wait.
pub fn clear_waiting(collections: &BTreeSet<i64>) -> Result<()> {
    let ids = Arg::int8s(collections.iter().copied());
    as_owner(config_owner()?, || run("DELETE FROM rag._waiting WHERE collection = ANY ($1)", &[ids]))?;
    Ok(())
}

/// Deletes the stored reasons why collections wait, of all collections.
pub fn clear_all_waiting() -> Result<()> {
    as_owner(config_owner()?, || run("DELETE FROM rag._waiting", &[]))?;
    Ok(())
}

/// Queues the failed rows of a collection again, and returns their number.
pub fn retry(name: &str) -> Result<i64> {
    with_safe_search_path(|| {
        connect(|| {
            let collection = Collection::get_latest(name)?;
            collection.source_of_any_owner()?.check_owner("retry its failed rows")?;
            let retry = || {
                run(
                    "WITH failed AS (DELETE FROM rag._failure WHERE collection = $1 RETURNING collection, key)
                     INSERT INTO rag._queue (collection, key) SELECT * FROM failed",
                    &[Arg::new(collection.id)],
                )
            };
            let failed = as_owner(config_owner()?, || by_index(retry))?;
            ragstone_client::processes::wake::collection_at_commit(collection.id);
            Ok(failed.count as i64)
        })
    })
}
