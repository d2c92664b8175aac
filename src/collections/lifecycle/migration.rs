//! Changes a collection's model or chunks while it is searched. A second collection of the same source is
//! filled like any other collection, and takes the first one's name when it has caught up. Both follow the
//! source until the migration is finished, so that a rollback is as fast as the switch.

use crate::collections::catalog::collection::{Collection, Sync, TableUse, lock_name};
use crate::collections::lifecycle::create::{CollectionOptions, create_beside};
use crate::collections::lifecycle::drop::drop_tables;
use crate::collections::lifecycle::text_options::TextOptions;
use ragstone_core::protocol::ChunkOptions;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;

/// Number of sample queries that compare both collections. The queries are the beginnings of chunks.
const SAMPLE_QUERIES: i32 = 20;

/// Length of a sample query, in characters.
const QUERY_CHARACTERS: i32 = 80;

/// The options of the successor that differ from the collection's.
pub struct MigrationOptions {
    /// Another model; None keeps the model.
    pub model: Option<String>,
    /// Splitting options.
    pub chunks: ChunkOptions,
    /// True if a chunk size is set, by the user or by the collection.
    pub sized: bool,
    /// Text search options.
    pub text: TextOptions,
}

/// Creates a collection's successor, which a worker then fills.
pub fn alter(name: &str, changes: impl FnOnce(&Collection) -> Result<MigrationOptions>) -> Result<()> {
    with_safe_search_path(|| {
        let old = connect(|| open(name, "alter its collection"))?;
        if old.sync == Sync::Manual {
            return Err(Error::wrong_state(format!(
                "collection \"{name}\" is manual, so no worker builds a new version of it"
            ))
            .hint("Create another collection with the other settings, then drop this one."));
        }
        check_is_in_no_migration(&old)?;
        if old.is_paused {
            return Err(Error::wrong_state(format!(
                "collection \"{name}\" is paused, so no worker builds a new version of it"
            ))
            .hint("Resume it first, with rag.resume_collection."));
        }
        let changes = changes(&old)?;
        let number = connect(next_number)?;
        let options = CollectionOptions {
            name: format!("{name} (migration {number})"),
            source: old.source()?.oid,
            content: old.content.clone(),
            title: old.title.clone(),
            metadata: old.metadata.clone(),
            model: changes.model,
            chunks: changes.chunks,
            sized: changes.sized,
            language: changes.text.language,
            language_column: old.language_column().map(str::to_owned),
            word_parts: changes.text.word_parts.unwrap_or(old.word_parts),
            ignore_accents: changes.text.ignore_accents.unwrap_or(old.ignore_accents),
            key: Some(old.key.clone()),
            sync: old.sync,
            if_not_exists: false,
        };
        create_beside(&old, &options, number)
    })
}

/// Raises 55006 if a migration of the collection is in progress.
pub fn check_is_in_no_migration(collection: &Collection) -> Result<()> {
    if connect(|| beside(collection.id))?.is_none() {
        return Ok(());
    }
    Err(Error::in_use(format!("collection \"{}\" is in a migration", collection.name))
        .hint("End it first, with rag.finish_migration or rag.rollback_migration."))
}

/// Finishes a migration, and drops the predecessor.
pub fn finish(name: &str) -> Result<()> {
    with_safe_search_path(|| {
        connect(|| {
            let collection = open(name, "finish its migration")?;
            match beside(collection.id)? {
                Some(old) if old.predecessor_of.is_some() => drop_tables(&old),
                Some(_) => Err(Error::wrong_state(format!(
                    "the migration of collection \"{name}\" has not caught up yet"
                ))
                .hint("Wait for it, or cancel it with rag.rollback_migration.")),
                None => Err(no_migration(name)),
            }
        })
    })
}

/// Switches back to the predecessor, or drops the successor if the switch has not happened yet.
pub fn rollback(name: &str) -> Result<()> {
    with_safe_search_path(|| {
        connect(|| {
            let collection = open(name, "roll its migration back")?;
            match beside(collection.id)? {
                Some(successor) if successor.successor_of.is_some() => drop_tables(&successor),
                Some(old) => {
                    exchange_names(old.id, collection.id)?;
                    let new = Collection::find_by_id(collection.id)?.ok_or_else(|| no_migration(name))?;
                    drop_tables(&new)
                }
                None => Err(no_migration(name)),
            }
        })
    })
}

/// Measures how many of the first ten hits a successor shares with the collection that it will replace.
pub fn measure(successor: &Collection) -> Result<()> {
    let Some(mut old) = connect(|| successor.successor_of.map_or(Ok(None), Collection::find_by_id))? else {
        return Ok(());
    };
    connect(|| old.lock_tables(TableUse::Reading))?;
    let overlap = connect(|| {
        let chunks = successor.chunks()?;
        let sample = format!(
            "SELECT left(content, {QUERY_CHARACTERS}) FROM {} ORDER BY content_hash LIMIT {SAMPLE_QUERIES}",
            chunks.name
        );
        let rows = as_owner(chunks.owner, || run(&sample, &[]))?;
        let queries = Arg::texts((0..rows.count).filter_map(|row| rows.text(row, 0)));
        let rows = as_owner(old.source()?.owner, || {
            run(
                include_str!("../../../sql/queries/overlap.sql"),
                &[queries, Arg::text(&old.name), Arg::text(&successor.name)],
            )
        })?;
        Ok::<_, Error>(rows.float8(0, 0))
    })?;
    connect(|| {
        as_owner(config_owner()?, || {
            run(
                "UPDATE rag.collection SET overlap = $2 WHERE id = $1",
                &[Arg::new(successor.id), Arg::optional(overlap)],
            )
        })
    })?;
    Ok(())
}

/// Gives a successor that has caught up the name of the collection that it replaces.
pub fn switch(id: i64) -> Result<()> {
    let Some(successor) = Collection::find_by_id(id)? else { return Ok(()) };
    match successor.successor_of {
        Some(old) => exchange_names(id, old),
        None => Ok(()),
    }
}

/// Gives collection `to` the name of collection `from`, which stays as its predecessor. One commit does both,
/// so that every search finds one of them.
fn exchange_names(to: i64, from: i64) -> Result<()> {
    let sql = "SELECT name FROM rag.collection WHERE id = $1";
    let names = as_owner(config_owner()?, || run(sql, &[Arg::new(from)]))?;
    if let Some(name) = names.text(0, 0) {
        lock_name(&name);
    }
    as_owner(config_owner()?, || {
        run(
            "UPDATE rag.collection SET name = name || ' (before ' || $1 || ')', predecessor_of = $1, successor_of = NULL
             WHERE id = $2",
            &[Arg::new(to), Arg::new(from)],
        )?;
        run(
            "UPDATE rag.collection SET name = $2, successor_of = NULL, predecessor_of = NULL WHERE id = $1",
            &[Arg::new(to), Arg::optional_text(names.text(0, 0).as_deref())],
        )
    })?;
    Ok(())
}

/// The collection of this name, locked for a change. The caller must have the rights of the source's owner; `action` is
/// what requires them.
pub fn open(name: &str, action: &str) -> Result<Collection> {
    lock_name(name);
    let collection = Collection::get_latest(name)?;
    collection.source_of_any_owner()?.check_owner(action)?;
    Ok(collection)
}

/// The other collection of a migration.
pub fn beside(id: i64) -> Result<Option<Collection>> {
    let sql = "SELECT id FROM rag.collection WHERE successor_of = $1 OR predecessor_of = $1";
    let rows = as_owner(config_owner()?, || run(sql, &[Arg::new(id)]))?;
    rows.int8(0, 0).map_or(Ok(None), Collection::find_by_id)
}

fn next_number() -> Result<i64> {
    let rows = as_owner(config_owner()?, || run("SELECT nextval('rag.collection_id_seq')", &[]))?;
    rows.int8(0, 0).ok_or_else(|| Error::internal("a sequence gave no number"))
}

/// The error for a collection that is in no migration.
pub fn no_migration(name: &str) -> Error {
    Error::wrong_state(format!("collection \"{name}\" is in no migration"))
        .hint("Begin one with rag.alter_collection.")
}
