//! The contents of a collection's text index.

use crate::collections::catalog::collection::{Collection, TableUse};
use crate::collections::indexing::segments::{index_error, open_index};
use ragstone_pg::encoding;
use ragstone_pg::error::Result;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::page_table::ReadAt;
use ragstone_pg::spi::{Arg, connect, select};
use ragstone_pg::switch_user::as_owner;
use std::collections::HashSet;

/// A term of a chunk.
pub struct Posting {
    /// The term.
    pub lexeme: String,
    /// Number of the chunk.
    pub chunk: i64,
    /// Number of occurrences in the chunk.
    pub frequency: u32,
    /// The fields that contain it, as bits; 0 for the content only.
    pub fields: u8,
}

/// All postings of chunks that still exist.
pub fn postings(name: &str) -> Result<Vec<Posting>> {
    with_safe_search_path(|| connect(|| read(&Collection::get(name, Some(TableUse::Reading))?)))
}

fn read(collection: &Collection) -> Result<Vec<Posting>> {
    let chunks = collection.chunks()?;
    as_owner(chunks.owner, || {
        let rows = select(&format!("SELECT chunk_id FROM {}", chunks.name), &[] as &[Arg])?;
        let there: HashSet<i64> = (0..rows.count).filter_map(|row| rows.int8(row, 0)).collect();
        let mut found = Vec::new();
        let mut index = open_index(collection, ReadAt::Statement)?;
        let read = index.postings(|term, chunk, frequency, fields| {
            if there.contains(&chunk) {
                let lexeme = encoding::decode_lossy(term).into_owned();
                found.push(Posting { lexeme, chunk, frequency, fields });
            }
        });
        read.map_err(|error| index_error(collection, error))?;
        Ok(found)
    })
}
