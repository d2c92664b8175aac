//! Rebuilds the text index of a collection from its chunks, without embedding anything: after the text search
//! configuration or dictionaries have changed, or because a page is damaged or has an older format. Searches
//! use the old index until the transaction commits, unless PostgreSQL itself cannot read it.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::KeyColumns;
use crate::collections::catalog::tables::keep_others_from_writing;
use crate::collections::indexing::index_changes::{IndexChanges, write_given_lengths};
use crate::collections::indexing::passage::{Passage, SourceRow, analyse};
use crate::collections::indexing::segments::{MergeExtent, keep_others_from_merging, merge_segments};
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{connect, run, run_once};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::transactions::keeps_one_snapshot;
use std::rc::Rc;

/// Number of chunks that one statement analyses.
const FETCHED_CHUNKS: i64 = 128;

/// SQLSTATEs that PostgreSQL raises for a table with a damaged page, or whose file is damaged, unreadable or
/// missing.
const UNREADABLE: [&str; 4] = ["XX001", "XX002", "58030", "58P01"];

/// Rebuilds the text index of a collection. The caller must hold the lock of the collection's name.
pub fn rebuild_text(collection: &Collection) -> Result<()> {
    if keeps_one_snapshot() {
        // Chunks that other transactions committed since the first statement would not be visible, and would
        // keep their former words.
        return Err(Error::wrong_state(
            "a text index can be rebuilt only in a transaction of isolation level READ COMMITTED",
        )
        .hint("Begin the transaction with ISOLATION LEVEL READ COMMITTED."));
    }
    connect(|| keep_others_from_writing(collection))?;
    keep_others_from_merging(collection);
    delete_pages(collection)?;
    let (mut changes, mut lengths) = (IndexChanges::default(), Vec::new());
    let owner = collection.chunks()?.owner;
    let operators = connect(|| Ok::<_, Error>(KeyColumns::of(collection)?.operators))?;
    let select = collection.select_texts(&operators)?;
    let cursor = connect(|| as_owner(owner, || Cursor::open(&select, &[])))?;
    while add_chunks(collection, &cursor, &mut changes, &mut lengths)? {
        if changes.is_large() {
            changes.write(collection)?;
        }
    }
    connect(|| as_owner(owner, || cursor.close()))?;
    changes.write(collection)?;
    connect(|| as_owner(owner, || write_given_lengths(collection, &lengths)))?;
    merge_segments(collection, MergeExtent::All)?;
    connect(|| collection.update_text_options())
}

/// Deletes all pages. If PostgreSQL cannot read the table, it is truncated, and searches wait until the
/// transaction ends.
fn delete_pages(collection: &Collection) -> Result<()> {
    let terms = collection.terms()?;
    let delete = || as_owner(terms.owner, || run(&format!("DELETE FROM {}", terms.name), &[]).map(|_| ()));
    match in_subtransaction(|| connect(delete)) {
        Err(error) if UNREADABLE.contains(&error.code().as_str()) => {
            let truncate = format!("TRUNCATE {}", terms.name);
            connect(|| as_owner(terms.owner, || run_once(&truncate).map(|_| ())))
        }
        deleted => deleted,
    }
}

/// Adds the next chunks, and the lengths of those chunks whose length in the chunk table differs. Returns
/// false if there are no more chunks.
fn add_chunks(
    collection: &Collection,
    cursor: &Cursor,
    changes: &mut IndexChanges,
    lengths: &mut Vec<(i64, u32)>,
) -> Result<bool> {
    let owner = collection.chunks()?.owner;
    connect(|| {
        let rows = as_owner(owner, || cursor.fetch(FETCHED_CHUNKS))?;
        let (mut chunks, mut given) = (Vec::with_capacity(rows.count), Vec::with_capacity(rows.count));
        for row in 0..rows.count {
            let (Some(chunk), Some(seq), Some(content)) =
                (rows.int8(row, 0), rows.int4(row, 1), rows.text(row, 3))
            else {
                return Err(Error::internal("a chunk has no number or text"));
            };
            let metadata = rows.jsonb(row, 4).map(|metadata| metadata.0).unwrap_or_default();
            let source = Rc::new(SourceRow::without_content(rows.text(row, 5).unwrap_or_default(), metadata));
            given.push(rows.int4(row, 6).unwrap_or(0).max(0).unsigned_abs());
            chunks.push((chunk, Passage::new(&source, seq, rows.text(row, 2), content)));
        }
        let mut passages: Vec<&mut Passage> = chunks.iter_mut().map(|(_, passage)| passage).collect();
        as_owner(owner, || analyse(&mut passages, collection))?;
        for ((chunk, passage), given) in chunks.iter().zip(given) {
            changes.add(*chunk, &passage.terms, passage.seq == 1);
            if passage.terms.words != given {
                lengths.push((*chunk, passage.terms.words));
            }
        }
        Ok(rows.count > 0)
    })
}
