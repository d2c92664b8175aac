//! A collection follows what is done to its source's definition: columns that are renamed or dropped, another owner,
//! another type of key, partitions that come and go.

use crate::collections::capture::triggers;
use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::key_column;
use crate::collections::catalog::owner_change::follow_owner;
use crate::collections::queue;
use crate::collections::queue::failure;
use pgrx::pg_sys;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::spi::{Arg, Rows, run, run_once};
use ragstone_pg::switch_user::as_owner;

/// Brings a collection into line with its source as it is now. While a restore brings its parts, it is left alone: a
/// trigger made here would be in the way of the dump's own, and an empty chunk table may be about to be filled.
pub fn follow(collection: &mut Collection) -> Result<()> {
    if collection.is_restoring() && !is_whole(collection)? { Ok(()) } else { align(collection) }
}

/// The same where the caller knows that nothing is to come any more.
pub fn align(collection: &mut Collection) -> Result<()> {
    let columns = columns(collection)?;
    match resolve(collection, &columns) {
        Err(error) => {
            triggers::remove(collection)?;
            if collection.is_restoring() {
                // It came without triggers then, and is known by names alone until the column is there again.
                collection.column_numbers = vec![0; collection.key.len() + 2 + collection.metadata.len()];
                write_numbers(collection)?;
            }
            return failure::set_error(collection.id, Some(&error));
        }
        Ok(resolved) => rename(collection, resolved)?,
    }
    follow_owner(collection)?;
    follow_key_types(collection, &columns)?;
    triggers::install(collection)?;
    queue::append_all(collection.id)
}

/// Whether all of a restored collection is there. What is made last are the indexes of its tables, which wait for their
/// rows, and the triggers of the source, which wait for its rows; a failed one has none.
fn is_whole(collection: &Collection) -> Result<bool> {
    let filled = run(include_str!("../../../sql/queries/filled.sql"), &[Arg::new(collection.id)])?;
    if filled.boolean(0, 0) != Some(true) {
        return Ok(false);
    }
    Ok(triggers::are_complete(collection)? || resolve(collection, &columns(collection)?).is_err())
}

fn columns(collection: &Collection) -> Result<Rows> {
    run(include_str!("../../../sql/queries/columns.sql"), &[Arg::new(collection.source()?.oid)])
}

/// Name and number of each of the collection's columns: by number as far as there is one, so that a renamed column is
/// found, and by name else.
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
             SET key_columns = $2, content_column = $3, title_column = $4, metadata_columns = $5, error = NULL
             WHERE id = $1",
            &arguments,
        )
    })?;
    write_numbers(collection)
}

fn write_numbers(collection: &Collection) -> Result<()> {
    let arguments = [Arg::new(collection.id), Arg::int2s(&collection.column_numbers)];
    as_owner(config_owner()?, || {
        run(
            "INSERT INTO rag._columns (collection, numbers) VALUES ($1, $2)
             ON CONFLICT (collection) DO UPDATE SET numbers = excluded.numbers",
            &arguments,
        )
    })?;
    Ok(())
}

/// Gives the chunk table's key columns the types that the source's have now.
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
            as_owner(chunks.owner, || run_once(&statement))?;
        }
    }
    Ok(())
}

/// The collections whose sources are these tables, or that these are partitions or children of.
pub fn sources(tables: &[pg_sys::Oid]) -> Result<Vec<Collection>> {
    find(include_str!("../../../sql/queries/affected.sql"), oids(tables))
}

/// The collections of which a restore brings something with these tables. Sessions that restore side by side wait for each
/// other here, as else each might miss what the other brings last.
pub fn restored_by(tables: &[pg_sys::Oid]) -> Result<Vec<Collection>> {
    let found = find(include_str!("../../../sql/queries/restoring.sql"), oids(tables))?;
    for collection in &found {
        run(
            "SELECT pg_advisory_xact_lock(hashtextextended('ragstone restore ' || $1, 0))",
            &[Arg::new(collection.id)],
        )?;
    }
    Ok(found)
}

/// Takes up the collections of which a restore has brought everything while nobody was looking.
pub fn follow_restored() -> Result<()> {
    let all = Arg::optional::<Vec<i64>>(None);
    for mut collection in find(include_str!("../../../sql/queries/restoring.sql"), all)? {
        follow(&mut collection)?;
    }
    Ok(())
}

fn oids(tables: &[pg_sys::Oid]) -> Arg {
    Arg::int8s(tables.iter().map(|oid| i64::from(oid.to_u32())))
}

fn find(query: &str, argument: Arg) -> Result<Vec<Collection>> {
    Collection::find_all(&run(query, &[argument])?)
}
