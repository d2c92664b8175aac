//! Counts for each word in how many chunks of a collection it occurs, and for the collection its chunks and words.
//!
//! Writers only append to the terms table, so that two sessions that index different rows never wait for each other. A
//! row may have negative counts, for deleted chunks. From time to time the rows of each word are merged into one. The
//! empty word has the totals: chunks, words, and as its first level the rows of the source.

use crate::collections::catalog::collection::Collection;
use ragstone_core::levels::{LEVELS, is_levelled};
use ragstone_core::tsvector::Lexemes;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::plans::by_index;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, connect, run, select};
use ragstone_pg::switch_user::as_owner;
use std::collections::HashMap;

/// Number of words that are held in memory before they are written, about 20 MB.
const MAX_BUFFERED_WORDS: usize = 200_000;

/// Maximum number of words in one statement.
const MAX_STATEMENT_WORDS: usize = 10_000;

/// Merging reads the whole table. It is worth its cost once a quarter of the rows, and at least 10,000, are new.
const MERGE_FRACTION: i64 = 4;
const MIN_MERGE_ROWS: i64 = 10_000;

/// Changes of a word's numbers of chunks: all chunks, then those that reach each level over 0.
type Counts = [i64; LEVELS];

/// Changes of counts that are not written yet.
#[derive(Default)]
pub struct TermCounts {
    words: HashMap<Vec<u8>, Counts>,
    chunks: i64,
    rows: i64,
    total_words: i64,
}

impl TermCounts {
    /// Counts a chunk that was added (1) or deleted (-1). The row is counted with its first chunk.
    pub fn count(&mut self, tsvector: &[u8], words: i32, first: bool, sign: i64) -> Result<()> {
        for (lexeme, _) in Lexemes::new(tsvector).map_err(Error::internal)?.frequencies() {
            let (word, level) = match lexeme.split_last() {
                Some((level, word)) if is_levelled(lexeme) => (word, usize::from(*level)),
                _ => (lexeme, 0),
            };
            if !self.words.contains_key(word) {
                self.words.insert(word.to_vec(), [0; LEVELS]);
            }
            if let Some(counts) = self.words.get_mut(word) {
                counts[level] += sign;
            }
        }
        self.chunks += sign;
        self.rows += if first { sign } else { 0 };
        self.total_words += sign * i64::from(words);
        Ok(())
    }

    /// Subtracts deleted chunks, given as words, tsvector and position in the row.
    pub fn count_deleted(&mut self, deleted: &Rows) -> Result<()> {
        for row in 0..deleted.count {
            let words = deleted.int4(row, 0).unwrap_or(0);
            let first = deleted.int4(row, 2) == Some(1);
            self.count(&deleted.tsvector(row, 1).unwrap_or_default(), words, first, -1)?;
        }
        Ok(())
    }

    /// True if it is time to [`write`](Self::write).
    pub fn is_large(&self) -> bool {
        self.words.len() >= MAX_BUFFERED_WORDS
    }

    /// Adds the changes to the terms table, as its owner.
    pub fn write(&mut self, collection: &mut Collection) -> Result<()> {
        let mut words: Vec<_> = std::mem::take(&mut self.words).into_iter().collect();
        words.retain(|(_, counts)| counts.iter().any(|count| *count != 0));
        // Sorted, so that the index grows at its end.
        words.sort_unstable();
        let terms = collection.terms()?;
        for slice in words.chunks(MAX_STATEMENT_WORDS) {
            connect(|| as_owner(terms.owner, || write_slice(&terms.name, slice)))?;
        }
        let (chunks, rows) = (std::mem::take(&mut self.chunks), std::mem::take(&mut self.rows));
        let total = std::mem::take(&mut self.total_words);
        if chunks != 0 || rows != 0 || total != 0 {
            let zeros = ", 0".repeat(LEVELS - 2);
            let statement = format!(
                "INSERT INTO {} (lexeme, chunks, words{}) VALUES ('', $1, $2, $3{zeros})",
                terms.name,
                levels("level_")
            );
            connect(|| {
                let arguments = [Arg::new(chunks), Arg::new(total), Arg::new(rows)];
                as_owner(terms.owner, || run(&statement, &arguments).map(|_| ()))
            })?;
        }
        collection.terms_appended += words.len() as i64 + 1;
        Ok(())
    }
}

/// Merges the rows of each word in the terms table, if that is worth its cost.
pub fn merge_term_counts(collection: &mut Collection) -> Result<()> {
    let least = (collection.terms_folded / MERGE_FRACTION).max(MIN_MERGE_ROWS);
    if collection.terms_folded > 0 && collection.terms_appended < least {
        return Ok(());
    }
    let terms = collection.terms()?;
    let statement = format!(
        "WITH old AS (DELETE FROM {name} RETURNING *)
         INSERT INTO {name} (lexeme, chunks, words{levels})
         SELECT lexeme, sum(chunks), sum(words){sums} FROM old GROUP BY lexeme HAVING sum(chunks) <> 0 ORDER BY lexeme",
        name = terms.name,
        levels = levels("level_"),
        sums = (1..LEVELS).map(|level| format!(", sum(level_{level})")).collect::<String>(),
    );
    collection.terms_folded =
        connect(|| as_owner(terms.owner, || run(&statement, &[]).map(|rows| rows.count as i64)))?.max(1);
    collection.terms_appended = 0;
    Ok(())
}

impl Collection {
    /// Reads the numbers of rows and chunks from the terms table.
    pub fn count(&mut self) -> Result<()> {
        let terms = self.terms()?;
        let statement = format!(
            "SELECT coalesce(sum(level_1), 0)::bigint, coalesce(sum(chunks), 0)::bigint FROM {} WHERE lexeme OPERATOR(pg_catalog.=) ''",
            terms.name
        );
        let rows = connect(|| {
            as_owner(terms.owner, || {
                let rows = by_index(|| select(&statement, &[]))?;
                Ok::<_, Error>((rows.int8(0, 0).unwrap_or(0), rows.int8(0, 1).unwrap_or(0)))
            })
        })?;
        (self.source_rows, self.chunk_count) = rows;
        Ok(())
    }
}

/// The level columns, each preceded by a comma.
fn levels(prefix: &str) -> String {
    (1..LEVELS).map(|level| format!(", {prefix}{level}")).collect()
}

fn write_slice(table: &str, slice: &[(Vec<u8>, Counts)]) -> Result<()> {
    let statement = format!(
        "INSERT INTO {table} (words, lexeme, chunks{columns}) SELECT 0, * FROM unnest($1, $2{values})",
        columns = levels("level_"),
        values = (1..LEVELS).map(|level| format!(", ${}", level + 2)).collect::<String>(),
    );
    let mut arguments = vec![Arg::server_texts(slice.iter().map(|(word, _)| word.as_slice()))];
    arguments.extend((0..LEVELS).map(|level| Arg::int8s(slice.iter().map(|(_, counts)| counts[level]))));
    run(&statement, &arguments)?;
    Ok(())
}
