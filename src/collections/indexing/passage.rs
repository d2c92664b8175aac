//! A passage is a chunk that is being indexed.

use crate::collections::catalog::collection::Collection;
use ragstone_core::analysis::{self, Rules, has_no_spaces};
use ragstone_core::tsvector::ChunkTerms;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, run, select};
use ragstone_pg::value::Value;
use ragstone_pg::{encoding, text_search};
use std::ops::Range;
use std::rc::Rc;

/// Length of text that is given to `to_tsvector` at once, where there is no limit to it.
const MAX_PIECE_BYTES: usize = 200_000;

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
}

/// Finds the hashes and words of a collection's passages.
pub fn analyse(passages: &mut [&mut Passage], collection: &Collection) -> Result<()> {
    if passages.is_empty() {
        return Ok(());
    }
    let rules = rules(collection, passages.iter().any(|passage| passage.text.contains(has_no_spaces)))?;
    let analysed: Vec<_> = passages.iter().map(|passage| analysis::analyse(&passage.text, rules)).collect();
    let rows = run(
        "SELECT to_tsvector($1::regconfig, t.words), to_tsvector($1::regconfig, t.parts), sha256(convert_to(t.text, 'UTF8'))
         FROM unnest($2, $3, $4) WITH ORDINALITY t (words, parts, text, place)
         ORDER BY t.place",
        &[
            Arg::text(&collection.language),
            Arg::texts(analysed.iter().map(|analysed| &analysed.words.text)),
            Arg::texts(analysed.iter().map(|analysed| &analysed.parts.text)),
            Arg::texts(passages.iter().map(|passage| &passage.text)),
        ],
    )?;
    for (row, (passage, analysed)) in passages.iter_mut().zip(analysed).enumerate() {
        passage.terms = terms(&rows, row..row + 1, 0, analysed.words.words)?;
        passage.terms.add_missing(terms(&rows, row..row + 1, 1, analysed.parts.words)?);
        passage.hash = rows.bytea(row, 2).ok_or_else(|| Error::internal("a passage has no hash"))?;
    }
    Ok(())
}

/// The words of a query of a collection.
pub fn analyse_query(query: &str, collection: &Collection) -> Result<ChunkTerms> {
    let analysed = analysis::analyse(query, rules(collection, query.contains(has_no_spaces))?);
    let pieces = [&analysed.words.text, &analysed.parts.text].into_iter().flat_map(|text| pieces(text));
    let rows = select(
        "SELECT pg_catalog.to_tsvector($1::pg_catalog.regconfig, piece) FROM pg_catalog.unnest($2) piece",
        &[Arg::text(&collection.language), Arg::texts(pieces)],
    )?;
    terms(&rows, 0..rows.count, 0, analysed.words.words.into_iter().chain(analysed.parts.words))
}

/// What is done with texts before the collection's text search configuration reads them.
fn rules(collection: &Collection, have_no_spaces: bool) -> Result<Rules> {
    Ok(Rules {
        normalises: encoding::is_utf8(),
        folds_accents: collection.ignore_accents,
        splits_compounds: collection.word_parts,
        makes_bigrams: have_no_spaces && text_search::has_default_parser(&collection.language)?,
    })
}

/// A text in pieces whose words have room in a tsvector, which ends at a megabyte.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while rest.len() > MAX_PIECE_BYTES {
        let piece = &rest[..rest.floor_char_boundary(MAX_PIECE_BYTES)];
        let end = piece.rfind(' ').filter(|end| *end > 0).unwrap_or(piece.len());
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    pieces.push(rest);
    pieces
}

/// The words that the configuration found, in a column of some rows, and those that are added as they are.
fn terms(
    rows: &Rows,
    found: Range<usize>,
    column: usize,
    words: impl IntoIterator<Item = String>,
) -> Result<ChunkTerms> {
    let tsvector = |row| rows.tsvector(row, column).ok_or_else(|| Error::internal("a text has no words"));
    let tsvectors = found.map(tsvector).collect::<Result<Vec<_>>>()?;
    let words = words.into_iter().map(|word| {
        let mut bytes = Vec::with_capacity(word.len());
        encoding::encode(word.as_bytes(), &mut bytes);
        bytes
    });
    ChunkTerms::new(&tsvectors, words).map_err(Error::internal)
}

/// Checks that the engine returned one embedding for each passage.
pub fn check_embeddings(values: usize, passages: usize, dimensions: usize) -> Result<()> {
    if values == passages * dimensions {
        return Ok(());
    }
    Err(Error::internal(format!("{values} values for {passages} passages")))
}
