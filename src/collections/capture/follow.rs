//! A collection follows changes of its source's definition: columns that are renamed or dropped, a new owner, a new
//! type of the key, partitions that are attached or detached.

use crate::collections::capture::triggers;
use crate::collections::catalog::collection::{Collection, TableUse};
use crate::collections::catalog::keys::key_column;
use crate::collections::catalog::owner_change::accept_owner;
use crate::collections::queue;
use crate::collections::queue::failure;
use pgrx::{PgLogLevel, log, pg_sys};
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_lock::OwnLock;
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, run, run_once};
use ragstone_pg::switch_user::as_owner;

/// Adapts a collection to the present definition of its source. A collection that a restore has not completed is left
/// alone: a trigger created now would collide with the dump's own, and its chunk table may be filled later.
pub fn follow(collection: &mut Collection) -> Result<()> {
    if collection.is_restoring() && !is_whole(collection)? { Ok(()) } else { align(collection) }
}

/// The same where the caller knows that the restore has ended.
pub fn align(collection: &mut Collection) -> Result<()> {
    collection.lock_tables(TableUse::Reading)?;
    let columns = columns(collection)?;
    match resolve(collection, &columns) {
        Err(error) => {
            triggers::remove(collection)?;
            if collection.is_restoring() {
                // It was restored without triggers. Its columns are found by name until the missing one exists again.
                collection.column_numbers = vec![0; collection.key.len() + 2 + collection.metadata.len()];
                write_numbers(collection)?;
            }
            return failure::set_error(collection.id, Some(&error));
        }
        Ok(resolved) => rename(collection, resolved)?,
    }
    if collection.accepted_owner.is_none() {
        // A restore sets owners one by one.
        accept_owner(collection)?;
    }
    // A collection that was given away follows when its new owner refreshes it.
    if !collection.is_given_away() {
        follow_key_types(collection, &columns)?;
    }
    triggers::install(collection)?;
    queue::append_all(collection.id)
}

/// True if a restore has completed a collection. A restore creates last the indexes of its tables and the triggers of
/// its source, each after the rows; a collection that could not follow its source has no triggers.
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

/// Name and number of each of the collection's columns. They are found by number if there is one, so that a renamed
/// column is found, and otherwise by name.
fn resolve(collection: &Collection, columns: &Rows) -> Result<Vec<(String, i16)>> {
    let all = (0..columns.count)
        .filter_map(|row| Some((columns.text(row, 0)?, columns.int2(row, 4)?)))
        .collect::<Vec<_>>();
    let find = |name: &str, number: i16| {
        let by_number = all.iter().find(|column| column.1 == number);
        let found = by_number.or_else(|| all.iter().find(|column| column.0 == name));
        found.cloned().ok_or_else(|| {
            Error::undefined_column(format!("column \"{name}\" of the source does not exist any more"))
                .hint("Add it again, or drop the collection with rag.drop_collection.")
        })
    };
    let names = collection.key.iter().map(Some).chain([Some(&collection.content), collection.title.as_ref()]);
    let names = names.chain(collection.metadata.iter().map(Some));
    let numbers = collection.column_numbers.iter().copied().chain(std::iter::repeat(0));
    names
        .zip(numbers)
        .map(|(name, number)| name.map_or(Ok((String::new(), 0)), |name| find(name, number)))
        .collect()
}

fn rename(collection: &mut Collection, resolved: Vec<(String, i16)>) -> Result<()> {
    let (names, numbers): (Vec<_>, Vec<_>) = resolved.into_iter().unzip();
    let keys = collection.key.len();
    let (key, rest) = names.split_at(keys);
    let [content, title, metadata @ ..] = rest else {
        return Err(Error::internal("a collection has no content column"));
    };
    collection.key = key.to_vec();
    collection.content.clone_from(content);
    collection.title = Some(title.clone()).filter(|title| !title.is_empty());
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
    write_numbers(collection)
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

/// Changes the types of the chunk table's key columns to those of the source.
fn follow_key_types(collection: &Collection, columns: &Rows) -> Result<()> {
    let chunks = collection.chunks()?;
    let own = run(include_str!("../../../sql/queries/columns.sql"), &[Arg::new(chunks.oid)])?;
    let definition = |rows: &Rows, name: &str| {
        let row = (0..rows.count).find(|row| rows.text(*row, 0).as_deref() == Some(name))?;
        let collation = rows.text(row, 3).map(|name| format!(" COLLATE {name}")).unwrap_or_default();
        Some((rows.text(row, 1)?, collation))
    };
    for (place, name) in collection.key.iter().enumerate() {
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
                    empty(collection, &error)?;
                    change()?;
                }
                changed => changed?,
            }
            // Keys of the former type may be none in the new one. All rows are queued anyway.
            queue::forget(collection.id)?;
        }
    }
    Ok(())
}

/// Empties a collection whose keys cannot be cast to the new type of the source's key, since the command has computed other values. All
/// rows are queued afterwards.
fn empty(collection: &Collection, error: &Error) -> Result<()> {
    Error::warning(format!("collection \"{}\" is filled again, as its keys have changed", collection.name))
        .detail(error.message.clone())
        .notice(PgLogLevel::WARNING);
    let (chunks, terms) = (collection.chunks()?, collection.terms()?);
    as_owner(chunks.owner, || run_once(&format!("TRUNCATE {}, {}", chunks.name, terms.name)).map(|_| ()))
}

/// The collections whose sources are these tables or their parents.
pub fn sources(tables: &[pg_sys::Oid]) -> Result<Vec<Collection>> {
    find(include_str!("../../../sql/queries/affected.sql"), oids(tables))
}

/// The collections that a restore may complete with these tables. Concurrent sessions of one restore wait for each
/// other here, since otherwise each might miss what the other creates last.
pub fn restored_by(tables: &[pg_sys::Oid]) -> Result<Vec<Collection>> {
    let found = find(include_str!("../../../sql/queries/restoring.sql"), oids(tables))?;
    for collection in &found {
        OwnLock::new("restore", collection.id).wait_for_transaction();
    }
    Ok(found)
}

/// Follows collections that were restored completely without this being noticed. One that cannot be followed, for example because a
/// session has locked its source, holds up no other one.
pub fn follow_restored() -> Result<()> {
    let all = Arg::optional::<Vec<i64>>(None);
    for mut collection in find(include_str!("../../../sql/queries/restoring.sql"), all)? {
        if let Err(error) = in_subtransaction(|| follow(&mut collection)) {
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
