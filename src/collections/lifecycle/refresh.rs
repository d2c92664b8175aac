//! `rag.refresh_collection`.

use crate::collections::capture::follow;
use crate::collections::catalog::collection::{Collection, TableUse, lock_name};
use crate::collections::catalog::keys::KeyColumns;
use crate::collections::catalog::owner_change::accept_owner;
use crate::collections::catalog::source::{SourceTable, shared_key};
use crate::collections::catalog::tables::keep_others_from_writing;
use crate::collections::indexing::bulk::{Fill, count_unchanged};
use crate::collections::indexing::index_changes::IndexChanges;
use crate::collections::indexing::orphans::delete_orphans;
use crate::collections::indexing::progress::ProgressReport;
use crate::collections::indexing::segments::{MergeExtent, merge_segments};
use crate::collections::lifecycle::drop::related;
use crate::collections::lifecycle::text_rebuild::rebuild_text;
use crate::collections::queue::failure;
use crate::embedding::Embedder;
use ragstone_core::protocol::{Kind, Model};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::portable::{as_source_owner, with_portable_settings};
use ragstone_pg::spi::{connect, run};

/// Result of a refresh: numbers of source rows, and number of chunks that were embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshCounts {
    /// Rows that were not in the collection.
    pub added: i64,
    /// Rows whose title, metadata or content has changed.
    pub changed: i64,
    /// Rows that were deleted from the source.
    pub deleted: i64,
    /// Rows that have not changed.
    pub unchanged: i64,
    /// Chunks that were embedded.
    pub embedded: i64,
}

/// Brings a collection up to date. With `text`, rebuilds its text index first, including the words of
/// unchanged rows; the model is then needed only if rows have changed.
pub fn refresh(name: &str, text: bool) -> Result<RefreshCounts> {
    with_safe_search_path(|| {
        let (mut collection, operators) = connect(|| open(name))?;
        let model = model_of(&collection);
        if let Err(error) = &model
            && (!text || error.ends_statement())
        {
            return Err(error.clone());
        }
        if text {
            with_portable_settings(|| rebuild_text(&collection))?;
        }
        let mut progress = ProgressReport::start(name);
        let mut changes = IndexChanges::default();
        let select = collection.select_orphans(&operators)?;
        let (deleted, orphans) = delete_orphans(&collection, &select, &mut changes)?;
        let fingerprint = model.as_ref().map_or(&collection.fingerprint, |model| &model.fingerprint).clone();
        let rows = collection.select_rows(&operators, fingerprint != collection.fingerprint)?;
        let filled = match model {
            Ok(model) => {
                Fill::new(&mut collection, &model, &operators, &mut changes)?.run(&rows, &mut progress)?
            }
            Err(error) => count_unchanged(&collection, &rows, &error)?,
        };
        changes.write(&collection)?;
        merge_segments(&collection, MergeExtent::Worthwhile)?;
        collection.fingerprint = fingerprint;
        collection.source_rows = filled.added + filled.changed + filled.unchanged;
        collection.chunk_count += filled.stored - filled.replaced - orphans;
        connect(|| {
            collection.update()?;
            failure::set_error(collection.id, None)
        })?;
        Ok(RefreshCounts {
            added: filled.added,
            changed: filled.changed,
            deleted,
            unchanged: filled.unchanged,
            embedded: filled.embedded,
        })
    })
}

/// The collection's model. Raises an error if its number of dimensions differs from that of the stored
/// embeddings.
fn model_of(collection: &Collection) -> Result<Model> {
    let model = Embedder::find(&collection.model, Kind::Document)?.describe(None)?;
    if model.dimensions as i32 == collection.dimensions {
        return Ok(model);
    }
    Err(Error::wrong_state(format!(
        "model \"{}\" has {} dimensions now, not {}",
        model.name, model.dimensions, collection.dimensions
    ))
    .hint("Drop the collection with rag.drop_collection and create it again."))
}

/// The collection, locked against concurrent refreshes, and the equality operators of its key. The caller
/// must have the rights of the source's owner.
fn open(name: &str) -> Result<(Collection, Vec<String>)> {
    lock_name(name);
    let mut collection = Collection::get_latest(name)?;
    let source = SourceTable::open(collection.source_of_any_owner()?.oid, "refresh its collection")?;
    collection.lock_tables(TableUse::Reading)?;
    let was_given_away = collection.is_given_away();
    if was_given_away {
        for mut other in related(&collection)? {
            accept_owner(&mut other)?;
        }
    }
    accept_owner(&mut collection)?;
    // A refresh implies that a restore has ended, whether or not it created the triggers.
    let is_misfit = collection.error.is_some() || collection.check_columns().is_err();
    if was_given_away || collection.is_restoring() || is_misfit {
        follow::align(&mut collection)?;
        collection.check_columns()?;
    }
    if !source.is_unique(&collection.key)? {
        check_unique(&collection)?;
    }
    let operators = KeyColumns::of(&collection)?.operators;
    keep_others_from_writing(&collection)?;
    Ok((collection, operators))
}

/// Raises an error if several rows have the same key: each would replace the chunks of the others.
fn check_unique(collection: &Collection) -> Result<()> {
    let statement = collection.select_shared_key()?;
    let rows = as_source_owner(collection.source()?.owner, || run(&statement, &[]))?;
    rows.text(0, 0).map_or(Ok(()), |key| Err(shared_key().detail(format!("One of these keys is {key}."))))
}
