//! Builds the text index of a collection again from its chunks, without embedding anything: with another text search configuration or
//! changed dictionaries, or because a page is damaged. Searches use the old one until the transaction commits.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::KeyColumns;
use crate::collections::catalog::tables::keep_others_from_writing;
use crate::collections::indexing::index_changes::IndexChanges;
use crate::collections::indexing::passage::{Passage, SourceRow, analyse};
use crate::collections::indexing::segments::{MergeExtent, keep_others_from_merging, merge_segments};
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{connect, run};
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::transactions::keeps_one_snapshot;
use std::rc::Rc;

/// Number of chunks whose words are found by one statement.
const FETCHED_CHUNKS: i64 = 128;

/// Builds the text index of a collection whose name is locked.
pub fn rebuild_text(collection: &Collection) -> Result<()> {
    if keeps_one_snapshot() {
        // What others committed since its first statement would keep its former words.
        return Err(Error::wrong_state("a text index is built again in transactions of READ COMMITTED only")
            .hint("Begin the transaction with ISOLATION LEVEL READ COMMITTED."));
    }
    connect(|| keep_others_from_writing(collection))?;
    keep_others_from_merging(collection);
    let terms = collection.terms()?;
    connect(|| as_owner(terms.owner, || run(&format!("DELETE FROM {}", terms.name), &[])))?;
    let mut changes = IndexChanges::default();
    let owner = collection.chunks()?.owner;
    let operators = connect(|| Ok::<_, Error>(KeyColumns::of(collection)?.operators))?;
    let select = collection.select_texts(&operators)?;
    let cursor = connect(|| as_owner(owner, || Cursor::open(&select, &[])))?;
    while add_chunks(collection, &cursor, &mut changes)? {
        if changes.is_large() {
            changes.write(collection)?;
        }
    }
    connect(|| as_owner(owner, || cursor.close()))?;
    changes.write(collection)?;
    merge_segments(collection, MergeExtent::All)
}

/// Adds the next chunks; false if there are none.
fn add_chunks(collection: &Collection, cursor: &Cursor, changes: &mut IndexChanges) -> Result<bool> {
    let owner = collection.chunks()?.owner;
    connect(|| {
        let rows = as_owner(owner, || cursor.fetch(FETCHED_CHUNKS))?;
        let mut chunks = Vec::with_capacity(rows.count);
        for row in 0..rows.count {
            let (Some(chunk), Some(seq), Some(content)) =
                (rows.int8(row, 0), rows.int4(row, 1), rows.text(row, 3))
            else {
                return Err(Error::internal("a chunk has no number or text"));
            };
            let metadata = rows.jsonb(row, 4).map(|metadata| metadata.0).unwrap_or_default();
            let source = Rc::new(SourceRow::without_content(rows.text(row, 5).unwrap_or_default(), metadata));
            chunks.push((chunk, Passage::new(&source, seq, rows.text(row, 2), content)));
        }
        let mut passages: Vec<&mut Passage> = chunks.iter_mut().map(|(_, passage)| passage).collect();
        as_owner(owner, || analyse(&mut passages, collection))?;
        for (chunk, passage) in &chunks {
            changes.add(*chunk, &passage.terms, passage.seq == 1);
        }
        Ok(rows.count > 0)
    })
}
