//! Stores passages as chunks, many in one statement.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::index_changes::IndexChanges;
use crate::collections::indexing::passage::Passage;
use pgrx::pg_sys;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::value::has_array_type;

/// Maximum number of chunks in one statement.
const CHUNKS_PER_STATEMENT: usize = 128;

/// Stores passages, each with its embedding, and adds their words to the text index's changes.
pub fn store(
    collection: &Collection,
    fingerprint: &str,
    passages: &[(&Passage, &[f32])],
    changes: &mut IndexChanges,
) -> Result<()> {
    let owner = collection.chunks()?.owner;
    let key = passages.first().map(|(passage, _)| passage.row.key.as_slice()).unwrap_or_default();
    let have_arrays = key.iter().all(|value| has_array_type(value.oid));
    // If the type of a key column has no array type, each statement stores the chunks of one row, and gives
    // the key once.
    let groups: Vec<&[(&Passage, &[f32])]> = if have_arrays {
        vec![passages]
    } else {
        passages
            .chunk_by(|(left, _), (right, _)| {
                left.row.place == right.row.place && left.row.key == right.row.key
            })
            .collect()
    };
    let statement = collection.insert_chunks(!have_arrays)?;
    for slice in groups.into_iter().flat_map(|group| group.chunks(CHUNKS_PER_STATEMENT)) {
        connect(|| as_owner(owner, || store_slice(&statement, fingerprint, slice, have_arrays, changes)))?;
    }
    Ok(())
}

fn store_slice(
    statement: &str,
    fingerprint: &str,
    slice: &[(&Passage, &[f32])],
    have_arrays: bool,
    changes: &mut IndexChanges,
) -> Result<()> {
    let passages = || slice.iter().map(|(passage, _)| *passage);
    let mut arguments = vec![
        Arg::int4s(passages().map(|passage| passage.seq)),
        Arg::int4s(passages().map(|passage| passage.terms.words as i32)),
        Arg::float4s(slice.iter().flat_map(|(_, embedding)| embedding.iter())),
        Arg::optional_texts(passages().map(|passage| passage.heading.as_deref())),
        Arg::texts(passages().map(|passage| &passage.content)),
        Arg::varlenas(pg_sys::JSONBOID, passages().map(|passage| passage.row.metadata.as_slice())),
        Arg::byteas(passages().map(|passage| passage.row.hash.as_slice())),
        Arg::byteas(passages().map(|passage| passage.hash.as_slice())),
        Arg::text(fingerprint),
        Arg::int4s(passages().map(|passage| passage.start_at)),
        Arg::int4s(passages().map(|passage| passage.end_at)),
    ];
    if let Some((first, _)) = slice.first() {
        arguments.extend(first.row.key.iter().enumerate().map(|(column, value)| match have_arrays {
            true => Arg::values(value.oid, passages().map(|passage| &passage.row.key[column])),
            false => Arg::value(value),
        }));
    }
    let stored = run(statement, &arguments)?;
    for (row, passage) in passages().enumerate() {
        let chunk = stored.int8(row, 0).ok_or_else(|| Error::internal("a chunk has no number"))?;
        changes.add(chunk, &passage.terms, passage.seq == 1);
    }
    Ok(())
}
