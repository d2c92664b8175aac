//! Adapts a collection to changes of its source's definition: renamed or dropped columns, a new owner, a new
//! type of the key, attached or detached partitions.

use crate::collections::capture::triggers;
use crate::collections::catalog::collection::{Collection, Sync, TableUse};
use crate::collections::catalog::keys::key_column;
use crate::collections::catalog::owner_change::accept_owner;
use crate::collections::queue;
use crate::collections::queue::failure;
use pgrx::{PgLogLevel, log, pg_sys};
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::blame::{Blame, blame};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_lock::OwnLock;
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, connect, run, run_once};
use ragstone_pg::switch_user::as_owner;

/// What happened to the source of a collection before it is adapted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed<'a> {
    /// Rows may have changed although no trigger fired, so all rows are compared.
    AnyRows,
    /// Rows are as they were, and these tables are new and empty. Rows are compared only if the collection's columns or
    /// triggers had to be changed.
    SameRows {
        /// The new tables.
        empty: &'a [pg_sys::Oid],
    },
}

/// Adapts a collection to the current definition of its source. A collection that a restore has not completed
/// is left alone: a trigger created now would collide with the dump's own, and the restore may fill the chunk
/// table later.
pub fn follow(collection: &mut Collection, followed: Followed<'_>) -> Result<()> {
    let may_be_incomplete = match collection.sync {
        Sync::Manual => collection.column_numbers.is_empty(),
        _ => collection.is_restoring() && !is_whole(collection)?,
    };
    if may_be_incomplete {
        return Ok(());
    }
    // Nothing would fill a manual collection again before it is refreshed.
    let may_empty = collection.sync != Sync::Manual;
    let Err(error) = adapt(collection, may_empty, followed)? else { return Ok(()) };
    triggers::remove(collection)?;
    if collection.is_restoring() {
        // It was restored without triggers. Its columns are found by name until the missing one exists again.
        collection.column_numbers = vec![0; collection.key.len() + 2 + collection.metadata.len()];
        write_numbers(collection)?;
    }
    failure::set_error(collection.id, Some(&error))
}

/// The same where the caller refreshes the collection: the restore has ended, and an error is the caller's.
pub fn align(collection: &mut Collection) -> Result<()> {
    adapt(collection, true, Followed::AnyRows)?
}

/// The inner error says why the collection cannot follow its source. `may_empty`: chunks whose keys are none of the source's new type may
/// be deleted.
fn adapt(collection: &mut Collection, may_empty: bool, followed: Followed<'_>) -> Result<Result<()>> {
    collection.lock_tables(TableUse::Reading)?;
    let columns = columns(collection)?;
    let mut is_changed = collection.error.is_some() || collection.accepted_owner.is_none();
    match resolve(collection, &columns) {
        Err(error) => return Ok(Err(error)),
        Ok(resolved) => is_changed |= rename(collection, resolved)?,
    }
    if collection.accepted_owner.is_none() {
        // A restore sets the owner of each table separately.
        accept_owner(collection)?;
    }
    // A collection whose source has a new owner is adapted when that owner refreshes it.
    if !collection.is_given_away() {
        match in_subtransaction(|| connect(|| follow_key_types(collection, &columns, may_empty))) {
            // No index takes the key's new type, for example.
            Err(error) if blame(&error) == Blame::Collection => return Ok(Err(error)),
            followed => is_changed |= followed?,
        }
    }
    if collection.sync != Sync::Manual {
        let with_new_triggers = triggers::install(collection)?;
        let may_differ = match followed {
            Followed::AnyRows => true,
            Followed::SameRows { empty } => {
                is_changed || with_new_triggers.iter().any(|table| !empty.contains(table))
            }
        };
        if may_differ {
            queue::append_all(collection.id)?;
        }
    }
    Ok(Ok(()))
}

/// True if a restore has completed a collection. The last objects that a restore creates are the indexes of
/// its tables and the triggers of its source, each after the rows; a collection that could not follow its
/// source has no triggers.
fn is_whole(collection: &Collection) -> Result<bool> {
    let look = || run(include_str!("../../../sql/queries/filled.sql"), &[Arg::new(collection.id)]);
    let filled = as_owner(config_owner()?, look)?;
    if filled.boolean(0, 0) != Some(true) {
        return Ok(false);
    }
    Ok(triggers::are_complete(collection)? || resolve(collection, &columns(collection)?).is_err())
}

fn columns(collection: &Collection) -> Result<Rows> {
    run(include_str!("../../../sql/queries/columns.sql"), &[Arg::new(collection.source_of_any_owner()?.oid)])
}

/// Name and attribute number of each of the collection's columns. A column is found by its number if that is
/// known, so that a renamed column is found, and otherwise by name.
fn resolve(collection: &Collection, columns: &Rows) -> Result<Vec<(String, i16)>> {
    let all = (0..columns.count)
        .filter_map(|row| Some((columns.text(row, 0)?, columns.int2(row, 4)?)))
        .collect::<Vec<_>>();
    let find = |name: &str, number: i16| {
        let by_number = all.iter().find(|column| column.1 == number);
        let found = by_number.or_else(|| all.iter().find(|column| column.0 == name));
        found.cloned().ok_or_else(|| collection.lost_column(name))
    };
    let names = collection.key.iter().map(Some).chain([Some(&collection.content), collection.title.as_ref()]);
    let names = names.chain(collection.metadata.iter().map(Some));
    let numbers = collection.column_numbers.iter().copied().chain(std::iter::repeat(0));
    let found: Vec<_> = names
        .zip(numbers)
        .map(|(name, number)| name.map_or(Ok((String::new(), 0)), |name| find(name, number)))
        .collect::<Result<_>>()?;
    check_content(collection, columns, found[collection.key.len()].1)?;
    Ok(found)
}

fn check_content(collection: &Collection, columns: &Rows, number: i16) -> Result<()> {
    let row = (0..columns.count).find(|row| columns.int2(*row, 4) == Some(number));
    let Some(row) = row.filter(|row| columns.text(*row, 2).as_deref() != Some("S")) else { return Ok(()) };
    Err(collection.no_text(&columns.text(row, 1).unwrap_or_default()))
}

/// Stores the names and numbers of the columns. Returns true if a name has changed.
fn rename(collection: &mut Collection, resolved: Vec<(String, i16)>) -> Result<bool> {
    let (names, numbers): (Vec<_>, Vec<_>) = resolved.into_iter().unzip();
    let keys = collection.key.len();
    let (key, rest) = names.split_at(keys);
    let [content, title, metadata @ ..] = rest else {
        return Err(Error::internal("a collection has no content column"));
    };
    let title = Some(title).filter(|title| !title.is_empty());
    let is_changed = (key, content, title, metadata)
        != (&*collection.key, &collection.content, collection.title.as_ref(), &*collection.metadata);
    collection.key = key.to_vec();
    collection.content.clone_from(content);
    collection.title = title.cloned();
    collection.metadata = metadata.to_vec();
    collection.column_numbers = numbers;
    let arguments = [
        Arg::new(collection.id),
        Arg::texts(&collection.key),
        Arg::text(&collection.content),
        Arg::optional_text(collection.title.as_deref()),
        Arg::texts(&collection.metadata),
    ];
    as_owner(config_owner()?, || {
        run(
            "UPDATE rag.collection
             SET key_columns = $2, content_column = $3, title_column = $4, metadata_columns = $5, error = NULL,
                 failed_since = NULL
             WHERE id = $1",
            &arguments,
        )
    })?;
    write_numbers(collection)?;
    Ok(is_changed)
}

fn write_numbers(collection: &Collection) -> Result<()> {
    let owner = collection.source_of_any_owner()?.owner;
    let arguments = [Arg::new(collection.id), Arg::new(owner), Arg::int2s(&collection.column_numbers)];
    as_owner(config_owner()?, || {
        run(
            "INSERT INTO rag._source (collection, owner, column_numbers) VALUES ($1, $2, $3)
             ON CONFLICT (collection) DO UPDATE SET column_numbers = excluded.column_numbers",
            &arguments,
        )
    })?;
    Ok(())
}

/// Changes the types of the chunk table's key columns to those of the source. Returns true if it changed one.
fn follow_key_types(collection: &mut Collection, columns: &Rows, may_empty: bool) -> Result<bool> {
    let mut is_changed = false;
    let chunks = collection.chunks()?.clone();
    let own = run(include_str!("../../../sql/queries/columns.sql"), &[Arg::new(chunks.oid)])?;
    let definition = |rows: &Rows, name: &str| {
        let row = (0..rows.count).find(|row| rows.text(*row, 0).as_deref() == Some(name))?;
        let collation = rows.text(row, 3).map(|name| format!(" COLLATE {name}")).unwrap_or_default();
        Some((rows.text(row, 1)?, collation))
    };
    for (place, name) in collection.key.clone().iter().enumerate() {
        let column = key_column(place);
        let (wanted, has) = (definition(columns, name), definition(&own, &column));
        if let Some((kind, collation)) = wanted.filter(|wanted| has.as_ref() != Some(wanted)) {
            let statement = format!(
                "ALTER TABLE {} ALTER COLUMN {column} TYPE {kind}{collation} USING {column}::text::{kind}",
                chunks.name
            );
            let change = || as_owner(chunks.owner, || run_once(&statement).map(|_| ()));
            match in_subtransaction(change) {
                Err(error) if matches!(&error.code()[..2], "22" | "23") => {
                    if !may_empty {
                        return Err(collection.other_key(name, &kind).detail(error.message));
                    }
                    empty(collection, &error)?;
                    change()?;
                }
                changed => changed?,
            }
            // Keys of the former type may be invalid in the new one. All rows are queued anyway.
            queue::forget(collection.id)?;
            is_changed = true;
        }
    }
    Ok(is_changed)
}

/// Empties a collection whose keys cannot be cast to the new type of the source's key, since the command has computed other values. All
/// rows are queued afterwards.
fn empty(collection: &mut Collection, error: &Error) -> Result<()> {
    Error::warning(format!(
        "collection \"{}\" is filled again, because its keys have changed",
        collection.name
    ))
    .detail(error.message.clone())
    .notice(PgLogLevel::WARNING);
    let (chunks, terms) = (collection.chunks()?, collection.terms()?);
    as_owner(chunks.owner, || run_once(&format!("TRUNCATE {}, {}", chunks.name, terms.name)))?;
    collection.chunk_count = 0;
    Ok(())
}

/// The collections whose sources are these tables or their parents.
pub fn sources(tables: &[pg_sys::Oid]) -> Result<Vec<Collection>> {
    find(include_str!("../../../sql/queries/affected.sql"), oids(tables))
}

/// The collections that a restore may complete with these tables. Concurrent sessions of one restore wait for
/// each other here; otherwise each might miss the objects that the other creates last.
pub fn restored_by(tables: &[pg_sys::Oid]) -> Result<Vec<Collection>> {
    let found = find(include_str!("../../../sql/queries/restoring.sql"), oids(tables))?;
    for collection in &found {
        OwnLock::new("restore", collection.id).wait_for_transaction();
    }
    Ok(found)
}

/// Adapts collections that were restored completely without being noticed. A collection that cannot be
/// adapted, for example because a session has locked its source, does not hold up the others.
pub fn follow_restored() -> Result<()> {
    let all = Arg::optional::<Vec<i64>>(None);
    for mut collection in find(include_str!("../../../sql/queries/restoring.sql"), all)? {
        if let Err(error) = in_subtransaction(|| follow(&mut collection, Followed::AnyRows)) {
            let name = &collection.name;
            log!(
                "ragstone worker: could not follow restored collection {name}: {}: {}",
                error.code(),
                error.message
            );
        }
    }
    Ok(())
}

fn oids(tables: &[pg_sys::Oid]) -> Arg {
    Arg::int8s(tables.iter().map(|oid| i64::from(oid.to_u32())))
}

fn find(query: &str, argument: Arg) -> Result<Vec<Collection>> {
    Collection::find_all(&as_owner(config_owner()?, || run(query, &[argument]))?)
}
