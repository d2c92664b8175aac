//! `rag.refresh_collection`.

use crate::collection::attachment::follow_owner;
use crate::collection::config::Collection;
use crate::collection::fill::Fill;
use crate::collection::progress::Reporting;
use crate::collection::source::Source;
use crate::collection::terms::{TermCounts, fold};
use crate::collection::{Sync, lock_name, locked};
use crate::embedding::Embedder;
use crate::pg::cursor::Cursor;
use crate::pg::error::{Error, Outcome};
use crate::pg::relation::equality_operator;
use crate::pg::spi::{Arg, connect, run, run_once};
use crate::pg::switch_user::as_owner;
use crate::sync;
use pgrx::PgSqlErrorCode;
use ragstone_core::protocol::Kind;

/// Chunks that are deleted at once.
const DELETE_BATCH: i64 = 10_000;

/// What a refresh found, in rows of the source, and how many chunks it had to embed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// Rows that were not in the collection.
    pub added: i64,
    /// Rows whose title, metadata or content is another.
    pub changed: i64,
    /// Rows that are not in the source any more.
    pub deleted: i64,
    /// Rows that are as they were.
    pub unchanged: i64,
    /// Chunks embedded.
    pub embedded: i64,
}

/// Brings a collection up to date.
pub fn refresh(name: &str) -> Outcome<Changes> {
    locked(|| {
        let (mut collection, operators) = connect(|| open(name))?;
        let model = Embedder::find(&collection.model, Kind::Document)?.describe(None)?;
        if model.dimensions as i32 != collection.dimensions {
            return Err(Error::new(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!(
                    "model \"{}\" has {} dimensions now, not {}",
                    model.name, model.dimensions, collection.dimensions
                ),
            )
            .hint("Drop the collection with rag.drop_collection and create it again."));
        }
        let mut progress = Reporting::start(name);
        let mut terms = TermCounts::default();
        let (deleted, orphans) = delete_orphans(&collection, &operators, &mut terms)?;
        let all = model.fingerprint != collection.fingerprint;
        let rows = collection.select_rows(&operators, all)?;
        let filled = Fill::new(&mut collection, &model, &operators, &mut terms)?.run(&rows, &mut progress)?;
        terms.write(&mut collection)?;
        fold(&mut collection)?;
        collection.fingerprint = model.fingerprint;
        collection.source_rows = filled.added + filled.changed + filled.unchanged;
        collection.chunk_count += filled.stored - filled.replaced - orphans;
        connect(|| {
            collection.update()?;
            sync::set_error(collection.id, None)
        })?;
        Ok(Changes {
            added: filled.added,
            changed: filled.changed,
            deleted,
            unchanged: filled.unchanged,
            embedded: filled.embedded,
        })
    })
}

/// The equality operators of the key's columns.
pub fn operators(collection: &Collection) -> Outcome<Vec<String>> {
    let columns: Vec<_> = (0..collection.key.len()).map(crate::collection::statements::key_column).collect();
    let rows = run(
        "SELECT atttypid FROM pg_attribute WHERE attrelid = $1 AND attname = ANY ($2) ORDER BY attnum",
        &[Arg::new(collection.chunks()?.oid), Arg::texts(&columns)],
    )?;
    (0..columns.len())
        .map(|row| {
            let oid = rows.oid(row, 0).ok_or_else(|| Error::internal("a key column has gone"))?;
            equality_operator(oid)
        })
        .collect()
}

/// The collection, locked against other refreshes, if the caller may refresh it.
fn open(name: &str) -> Outcome<(Collection, Vec<String>)> {
    lock_name(name)?;
    let mut collection = Collection::find_latest(name)?.ok_or_else(|| Collection::unknown(name))?;
    let source = Source::open(collection.source()?.oid, "refresh its collection")?;
    source.check_content(&collection.content)?;
    follow_owner(&mut collection)?;
    if collection.is_restoring() {
        // Whoever refreshes it says that the restore has ended, whether or not it brought the triggers.
        sync::align(&mut collection)?;
    }
    let operators = operators(&collection)?;
    keep_others_from_writing(&collection)?;
    Ok((collection, operators))
}

/// A worker, or a writer of an immediate collection, may be writing the same chunks: who comes second waits, and sees what the
/// first has done.
fn keep_others_from_writing(collection: &Collection) -> Outcome<()> {
    if collection.sync == Sync::Manual {
        return Ok(());
    }
    let chunks = collection.chunks()?;
    let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", chunks.name);
    as_owner(chunks.owner, || run_once(&lock)).map(|_| ())
}

/// Deletes the chunks whose row has gone; gives rows and chunks.
pub fn delete_orphans(
    collection: &Collection,
    operators: &[String],
    terms: &mut TermCounts,
) -> Outcome<(i64, i64)> {
    let owner = collection.chunks()?.owner;
    let (select, delete) = (collection.select_orphans(operators)?, collection.delete_chunks()?);
    let cursor = connect(|| as_owner(owner, || Cursor::open(&select, &[])))?;
    let (mut gone, mut chunks) = (0, 0);
    loop {
        let found = connect(|| {
            let orphans = as_owner(owner, || cursor.fetch(DELETE_BATCH))?;
            let numbers = Arg::int8s((0..orphans.count).filter_map(|row| orphans.int8(row, 0)));
            let deleted = as_owner(owner, || run(&delete, &[numbers]))?;
            terms.count_deleted(&deleted)?;
            gone += (0..deleted.count).filter(|row| deleted.int4(*row, 2) == Some(1)).count() as i64;
            chunks += deleted.count as i64;
            Ok::<_, Error>(orphans.count)
        })?;
        if found == 0 {
            break;
        }
    }
    connect(|| as_owner(owner, || cursor.close()))?;
    Ok((gone, chunks))
}
