//! A passage is a chunk that is being indexed.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::languages;
use ragstone_core::analysis::{self, Found, Rules, has_no_spaces};
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

impl SourceRow {
    /// A row of which only title and metadata are known.
    pub fn without_content(title: String, metadata: Vec<u8>) -> Self {
        let (content, hash, key) = (String::new(), Vec::new(), Vec::new());
        Self { title, content, metadata, hash, key, place: 0 }
    }
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
    let rules = rules_if(collection, passages.iter().any(|passage| passage.text.contains(has_no_spaces)))?;
    let analysed: Vec<_> = passages.iter().map(|passage| analysis::analyse(&passage.text, rules)).collect();
    let languages = languages::of_rows(collection, passages.iter().map(|passage| passage.row.metadata.as_slice()))?;
    let rows = run(
        "SELECT to_tsvector(t.language::regconfig, t.words), to_tsvector(t.language::regconfig, t.parts), sha256(convert_to(t.text, 'UTF8'))
         FROM unnest($1, $2, $3, $4) WITH ORDINALITY t (language, words, parts, text, place)
         ORDER BY t.place",
        &[
            Arg::texts(&languages),
            Arg::texts(analysed.iter().map(|analysed| if_short(&analysed.words.text))),
            Arg::texts(analysed.iter().map(|analysed| if_short(&analysed.parts.text))),
            Arg::texts(passages.iter().map(|passage| &passage.text)),
        ],
    )?;
    for (row, (passage, analysed)) in passages.iter_mut().zip(analysed).enumerate() {
        let of_found = |column, found: Found| match if_short(&found.text) {
            "" if !found.text.is_empty() => long_terms(&found.text, &languages[row..=row], found.words),
            _ => terms(&rows, row..row + 1, column, found.words),
        };
        passage.terms = of_found(0, analysed.words)?;
        passage.terms.add_missing(of_found(1, analysed.parts)?);
        if collection.language_place.is_some() {
            passage.terms.add_missing(marked(&languages[row])?);
        }
        passage.hash = rows.bytea(row, 2).ok_or_else(|| Error::internal("a passage has no hash"))?;
    }
    Ok(())
}

/// A text whose words have room in a tsvector; nothing in place of a longer one.
fn if_short(text: &str) -> &str {
    if text.len() <= MAX_PIECE_BYTES { text } else { "" }
}

/// The words of a text of any length, as these configurations find them, and words that are added as they are.
fn long_terms(
    text: &str,
    languages: &[String],
    words: impl IntoIterator<Item = String>,
) -> Result<ChunkTerms> {
    let rows = select(
        "SELECT pg_catalog.to_tsvector(language::pg_catalog.regconfig, piece)
         FROM pg_catalog.unnest($1) language, pg_catalog.unnest($2) piece",
        &[Arg::texts(languages), Arg::texts(pieces(text))],
    )?;
    terms(&rows, 0..rows.count, 0, words)
}

fn marked(language: &str) -> Result<ChunkTerms> {
    ChunkTerms::new(&[], [languages::mark(language).into_bytes()]).map_err(Error::internal)
}

/// The words of a query of a collection, as these configurations find them.
pub fn analyse_query(query: &str, languages: &[String], collection: &Collection) -> Result<ChunkTerms> {
    let analysed = analysis::analyse(query, rules(collection, query)?);
    // A space between keeps the last word of the one from being a word with the first of the other.
    let text = format!("{} {}", analysed.words.text, analysed.parts.text);
    long_terms(&text, languages, analysed.words.words.into_iter().chain(analysed.parts.words))
}

/// The terms of a word.
#[derive(Debug, Clone, Default)]
pub struct WordTerms {
    /// Those of the whole word.
    pub whole: ChunkTerms,
    /// Those of its parts.
    pub parts: ChunkTerms,
}

impl WordTerms {
    /// All of them, in no order; some twice.
    pub fn lexemes(&self) -> impl Iterator<Item = &[u8]> {
        self.whole.lexemes().chain(self.parts.lexemes())
    }

    /// True if the word is left out of the index.
    pub fn is_empty(&self) -> bool {
        self.lexemes().next().is_none()
    }
}

/// The terms of each of some words, as these configurations find them.
pub fn analyse_words(
    words: &[&str],
    languages: &[String],
    collection: &Collection,
) -> Result<Vec<WordTerms>> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let rules = rules_if(collection, words.iter().any(|word| word.contains(has_no_spaces)))?;
    let analysed: Vec<_> = words.iter().map(|word| analysis::analyse(word, rules)).collect();
    let rows = select(
        "SELECT pg_catalog.to_tsvector(l::pg_catalog.regconfig, w.words), pg_catalog.to_tsvector(l::pg_catalog.regconfig, w.parts)
         FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) WITH ORDINALITY w (words, parts, place),
              pg_catalog.unnest($1) l
         ORDER BY w.place",
        &[
            Arg::texts(languages),
            Arg::texts(analysed.iter().map(|analysed| &analysed.words.text)),
            Arg::texts(analysed.iter().map(|analysed| &analysed.parts.text)),
        ],
    )?;
    let found = analysed.into_iter().enumerate().map(|(place, analysed)| {
        let found = place * languages.len()..(place + 1) * languages.len();
        Ok(WordTerms {
            whole: terms(&rows, found.clone(), 0, analysed.words.words)?,
            parts: terms(&rows, found, 1, analysed.parts.words)?,
        })
    });
    found.collect()
}

/// What is done with a text before the collection's text search configuration reads it.
pub fn rules(collection: &Collection, text: &str) -> Result<Rules> {
    rules_if(collection, text.contains(has_no_spaces))
}

fn rules_if(collection: &Collection, have_no_spaces: bool) -> Result<Rules> {
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
