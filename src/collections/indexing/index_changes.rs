//! Changes of a collection's text index that are not written yet. They are written as a new segment, so two
//! sessions that index different rows never wait for each other.

use crate::collections::catalog::collection::Collection;
use ragstone_core::text_index::header::IndexCounts;
use ragstone_core::text_index::{GIVEN_LENGTHS, IndexedChunk, build, write_lengths};
use ragstone_core::tsvector::{ChunkTerms, fields};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;

/// Number of terms, about 50 MB, that are held in memory before they are written.
const MAX_HELD_TERMS: usize = 500_000;

/// Chunks that were added, and counts of added and deleted rows and chunks.
#[derive(Default)]
pub struct IndexChanges {
    added: Vec<(i64, ChunkTerms)>,
    held_terms: usize,
    counts: IndexCounts,
}

impl IndexChanges {
    /// Adds a chunk. The row is counted with its first chunk.
    pub fn add(&mut self, chunk: i64, terms: &ChunkTerms, is_first: bool) {
        self.held_terms += terms.lexemes().count();
        self.added.push((chunk, terms.clone()));
        self.counts.chunks += 1;
        self.counts.rows += i64::from(is_first);
    }

    /// Counts deleted chunks. `deleted` has their positions in their rows.
    pub fn count_deleted(&mut self, deleted: &Rows) {
        self.counts.chunks -= deleted.count as i64;
        self.counts.rows -= (0..deleted.count).filter(|row| deleted.int4(*row, 0) == Some(1)).count() as i64;
    }

    /// True if the changes are large enough to [`write`](Self::write) them.
    pub fn is_large(&self) -> bool {
        self.held_terms >= MAX_HELD_TERMS
    }

    /// Writes the changes as a segment, as the owner of the collection's tables. Returns the number of
    /// segments written: 0 if nothing has changed.
    pub fn write(&mut self, collection: &Collection) -> Result<usize> {
        let changes = std::mem::take(self);
        if changes.added.is_empty() && changes.counts == IndexCounts::default() {
            return Ok(0);
        }
        let chunks = changes.added.iter().map(|(chunk, terms)| IndexedChunk {
            chunk: *chunk,
            words: terms.words,
            terms: terms
                .frequencies()
                .map(|(lexeme, frequency, of)| (lexeme, frequency, stored(of)))
                .collect(),
        });
        connect(|| {
            as_owner(collection.terms()?.owner, || {
                let mut pages = NewPages::new(collection)?;
                build(chunks.collect(), changes.counts, |page, bytes| pages.add(page, bytes))?;
                pages.write()
            })
        })?;
        Ok(1)
    }
}

/// The field bits as they are stored: 0 for a term that occurs in the content only, as most terms do.
fn stored(of: u8) -> u8 {
    if of == fields::CONTENT { 0 } else { of }
}

/// Pages of a new segment, which are written in batches.
pub struct NewPages {
    statement: String,
    segment: i64,
    held: Vec<(i32, Vec<u8>)>,
}

/// Writes the lengths, in words, of the chunks for which the chunk table has other lengths, in the order of
/// the chunks' numbers. Must run as the owner of the collection's tables.
pub fn write_given_lengths(collection: &Collection, chunks: &[(i64, u32)]) -> Result<()> {
    let mut pages = NewPages::of(collection, GIVEN_LENGTHS)?;
    write_lengths(chunks, |page, bytes| pages.add(page, bytes))?;
    pages.write()
}

impl NewPages {
    /// Number of pages in one statement.
    const MAX_HELD: usize = 64;

    /// The pages of a new segment of a collection. Must run as the owner of the collection's tables.
    pub fn new(collection: &Collection) -> Result<Self> {
        // Segments and chunks are numbered by the same sequence, so that no segment reuses the number of a
        // segment that is being merged.
        let sequence = "SELECT pg_catalog.nextval(pg_catalog.pg_get_serial_sequence($1, 'chunk_id'))";
        let rows = run(sequence, &[Arg::text(&collection.chunks()?.name)])?;
        let segment = rows.int8(0, 0).ok_or_else(|| {
            Error::wrong_state("the chunk table has lost the sequence of its column \"chunk_id\"")
                .hint("Drop the collection with rag.drop_collection and create it again.")
        })?;
        Self::of(collection, segment)
    }

    fn of(collection: &Collection, segment: i64) -> Result<Self> {
        let statement = format!(
            "INSERT INTO {} (segment, page, data)
             SELECT $1, page, data FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) p (page, data)",
            collection.terms()?.name
        );
        Ok(Self { statement, segment, held: Vec::new() })
    }

    /// Adds a page.
    pub fn add(&mut self, page: u32, bytes: &[u8]) -> Result<()> {
        let page = i32::try_from(page).map_err(|_| Error::over_limit("the text index has too many pages"))?;
        self.held.push((page, bytes.to_vec()));
        if self.held.len() >= Self::MAX_HELD { self.write() } else { Ok(()) }
    }

    /// Writes the pages that are held in memory.
    pub fn write(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return Ok(());
        }
        let arguments = [
            Arg::new(self.segment),
            Arg::int4s(held.iter().map(|(page, _)| *page)),
            Arg::byteas(held.iter().map(|(_, bytes)| bytes.as_slice())),
        ];
        run(&self.statement, &arguments)?;
        Ok(())
    }
}
