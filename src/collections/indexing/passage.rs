//! A passage is a chunk that is being indexed.

use ragstone_core::tsvector::{ChunkTerms, TsVectorError};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{Arg, run};
use ragstone_pg::value::Value;
use std::rc::Rc;

/// A row of the source that is to be split.
#[derive(Debug)]
pub struct SourceRow {
    /// Text that is put before each of its chunks.
    pub title: String,
    /// Text that is split.
    pub content: String,
    /// A `jsonb` value without its varlena header.
    pub metadata: Vec<u8>,
    /// Hash of title, metadata and content.
    pub hash: Vec<u8>,
    /// Values of the key columns.
    pub key: Vec<Value>,
    /// Its position among the rows that were asked for; 0 if all rows are read.
    pub place: usize,
}

/// A chunk of a row, with what is indexed of it.
#[derive(Debug)]
pub struct Passage {
    /// Its row, without the content.
    pub row: Rc<SourceRow>,
    /// Its position in the row, from 1.
    pub seq: i32,
    /// Headings above it.
    pub heading: Option<String>,
    /// Its text, without title and headings.
    pub content: String,
    /// What is embedded and indexed: title, headings and text.
    pub text: String,
    /// Hash of [`Self::text`].
    pub hash: Vec<u8>,
    /// Words of [`Self::text`].
    pub terms: ChunkTerms,
}

impl Passage {
    /// A passage whose hash and words are not known yet.
    pub fn new(row: &Rc<SourceRow>, seq: i32, heading: Option<String>, content: String) -> Self {
        let parts = [row.title.as_str(), heading.as_deref().unwrap_or(""), content.as_str()];
        let text = parts.into_iter().filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join("\n");
        Self {
            row: Rc::clone(row),
            seq,
            heading,
            content,
            text,
            hash: Vec::new(),
            terms: ChunkTerms::default(),
        }
    }

    /// The tsvector that is stored: the words with their levels.
    pub fn tsvector(&self, reference_words: f64) -> Result<Vec<u8>> {
        self.terms.encode(reference_words).map_err(|error| tsvector_error(&error))
    }
}

/// Finds the hashes and words of passages.
pub fn analyse(passages: &mut [&mut Passage], language: &str) -> Result<()> {
    if passages.is_empty() {
        return Ok(());
    }
    let texts = Arg::texts(passages.iter().map(|passage| &passage.text));
    let rows = run(
        "SELECT to_tsvector($1::regconfig, t.text), sha256(convert_to(t.text, 'UTF8'))
         FROM unnest($2) WITH ORDINALITY t (text, place)
         ORDER BY t.place",
        &[Arg::text(language), texts],
    )?;
    for (row, passage) in passages.iter_mut().enumerate() {
        let tsvector = rows.tsvector(row, 0).ok_or_else(|| Error::internal("a passage has no words"))?;
        passage.terms = ChunkTerms::from_tsvector(&tsvector).map_err(|error| tsvector_error(&error))?;
        passage.hash = rows.bytea(row, 1).ok_or_else(|| Error::internal("a passage has no hash"))?;
    }
    Ok(())
}

/// The words of a query.
pub fn analyse_query(query: &str, language: &str) -> Result<ChunkTerms> {
    let rows = ragstone_pg::spi::select(
        "SELECT pg_catalog.to_tsvector($1::pg_catalog.regconfig, $2)",
        &[Arg::text(language), Arg::text(query)],
    )?;
    let tsvector = rows.tsvector(0, 0).ok_or_else(|| Error::internal("a query has no words"))?;
    ChunkTerms::from_tsvector(&tsvector).map_err(|error| tsvector_error(&error))
}

/// Checks that the engine returned one embedding for each passage.
pub fn check_embeddings(values: usize, passages: usize, dimensions: usize) -> Result<()> {
    if values == passages * dimensions {
        return Ok(());
    }
    Err(Error::internal(format!("{values} values for {passages} passages")))
}

/// An error of the tsvector encoder, as an SQL error.
pub fn tsvector_error(error: &TsVectorError) -> Error {
    match error {
        TsVectorError::Malformed => Error::internal(error),
        TsVectorError::TooLong(_) => Error::over_limit(error.to_string()).hint("Use a smaller chunk_size."),
    }
}
