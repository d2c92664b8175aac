//! A passage is a chunk that is being indexed.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::languages;
use ragstone_core::analysis::{self, Analysed, Found, Rules, has_no_spaces};
use ragstone_core::tsvector::{ChunkTerms, fields};
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
    /// What is embedded: as much of title and headings as has room beside the text, and the text.
    pub text: String,
    /// Hash of [`Self::text`].
    pub hash: Vec<u8>,
    /// Words of title, headings and text.
    pub terms: ChunkTerms,
}

impl Passage {
    /// A passage whose hash and words are not known yet, and that is not to be embedded.
    pub fn new(row: &Rc<SourceRow>, seq: i32, heading: Option<String>, content: String) -> Self {
        Self::embedded_with([&row.title, ""], row, seq, heading, content)
    }

    /// A passage whose hash and words are not known yet, and what is embedded before its text: of title and headings.
    pub fn embedded_with(
        before: [&str; 2],
        row: &Rc<SourceRow>,
        seq: i32,
        heading: Option<String>,
        content: String,
    ) -> Self {
        let parts = [before[0], before[1], content.as_str()];
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

/// Title, headings and text of a passage, each ready for the text search configuration.
struct AnalysedPassage([Analysed; 3]);

/// The field of each of them.
const FIELDS: [u8; 3] = [fields::TITLE, fields::HEADING, fields::CONTENT];

impl AnalysedPassage {
    fn new(passage: &Passage, rules: Rules) -> Self {
        let heading = passage.heading.as_deref().unwrap_or_default();
        Self([&passage.row.title, heading, &passage.content].map(|text| analysis::analyse(text, rules)))
    }

    /// The words of one of the fields, or their parts.
    fn found(&self, field: usize, is_parts: bool) -> &Found {
        if is_parts { &self.0[field].parts } else { &self.0[field].words }
    }

    /// The words that no configuration reads, with their fields.
    fn kept(&self, is_parts: bool) -> impl Iterator<Item = (String, u8)> {
        let of_field = move |field: usize| {
            self.found(field, is_parts).words.iter().map(move |word| (word.clone(), FIELDS[field]))
        };
        (0..FIELDS.len()).flat_map(of_field)
    }
}

/// Finds the hashes and words of a collection's passages.
pub fn analyse(passages: &mut [&mut Passage], collection: &Collection) -> Result<()> {
    if passages.is_empty() {
        return Ok(());
    }
    let languages =
        languages::of_rows(collection, passages.iter().map(|passage| passage.row.metadata.as_slice()))?;
    let have_no_spaces = passages.iter().any(|passage| passage.text.contains(has_no_spaces));
    let rules = rules_of(collection, &languages, have_no_spaces)?;
    let analysed: Vec<_> =
        passages.iter().zip(rules).map(|(passage, rules)| AnalysedPassage::new(passage, rules)).collect();
    let texts = |field, is_parts| {
        Arg::texts(analysed.iter().map(move |analysed| if_short(&analysed.found(field, is_parts).text)))
    };
    let rows = run(
        include_str!("../../../sql/queries/words.sql"),
        &[
            Arg::texts(&languages),
            texts(0, false),
            texts(1, false),
            texts(2, false),
            texts(0, true),
            texts(1, true),
            texts(2, true),
            Arg::texts(passages.iter().map(|passage| &passage.text)),
        ],
    )?;
    for (row, (passage, analysed)) in passages.iter_mut().zip(&analysed).enumerate() {
        let found = |is_parts| {
            let mut vectors = vec![tsvector(&rows, row, usize::from(is_parts))?];
            for field in 0..FIELDS.len() {
                let text = &analysed.found(field, is_parts).text;
                if if_short(text).len() < text.len() {
                    vectors.extend(long_vectors(text, &languages[row..=row])?);
                }
            }
            terms(&vectors, analysed.kept(is_parts))
        };
        passage.terms = found(false)?;
        passage.terms.add_missing(found(true)?);
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

/// The words of a text of any length, as these configurations find them.
fn long_vectors(text: &str, languages: &[String]) -> Result<Vec<Vec<u8>>> {
    let rows = select(
        "SELECT pg_catalog.to_tsvector(language::pg_catalog.regconfig, piece)
         FROM pg_catalog.unnest($1) language, pg_catalog.unnest($2) piece",
        &[Arg::texts(languages), Arg::texts(pieces(text))],
    )?;
    (0..rows.count).map(|row| tsvector(&rows, row, 0)).collect()
}

fn marked(language: &str) -> Result<ChunkTerms> {
    ChunkTerms::new(&[], [(languages::mark(language).into_bytes(), 0)]).map_err(Error::internal)
}

/// The words of a query of a collection, as these configurations find them.
pub fn analyse_query(query: &str, languages: &[String], collection: &Collection) -> Result<ChunkTerms> {
    let (mut vectors, mut kept) = (Vec::new(), Vec::new());
    for (rules, languages) in by_rules(collection, languages, query.contains(has_no_spaces))? {
        let analysed = analysis::analyse_query(query, rules);
        // A space between keeps the last word of the one from being a word with the first of the other.
        let text = format!("{} {}", analysed.words.text, analysed.parts.text);
        vectors.extend(long_vectors(&text, &languages)?);
        kept.extend(analysed.words.words.into_iter().chain(analysed.parts.words));
    }
    terms(&vectors, kept.into_iter().map(|word| (word, 0)))
}

/// The terms of a word.
#[derive(Debug, Clone, Default)]
pub struct WordTerms {
    /// Those of the whole word, by each configuration.
    pub whole: Vec<ChunkTerms>,
    /// Those of its parts.
    pub parts: ChunkTerms,
}

impl WordTerms {
    /// All of them, in no order; some twice.
    pub fn lexemes(&self) -> impl Iterator<Item = &[u8]> {
        self.whole.iter().flat_map(ChunkTerms::lexemes).chain(self.parts.lexemes())
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
    let mut found = vec![WordTerms::default(); words.len()];
    if words.is_empty() {
        return Ok(found);
    }
    let have_no_spaces = words.iter().any(|word| word.contains(has_no_spaces));
    for (rules, languages) in by_rules(collection, languages, have_no_spaces)? {
        for (found, more) in found.iter_mut().zip(words_by(words, &languages, rules)?) {
            found.whole.extend(more.whole);
            found.parts.add_missing(more.parts);
        }
    }
    Ok(found)
}

/// The same by configurations that read a text which is rewritten by the same rules.
fn words_by(words: &[&str], languages: &[String], rules: Rules) -> Result<Vec<WordTerms>> {
    let analysed: Vec<_> = words.iter().map(|word| analysis::analyse_query(word, rules)).collect();
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
    let found_in = |found: Range<usize>, column, kept: Vec<String>| {
        let vectors: Vec<_> = found.map(|row| tsvector(&rows, row, column)).collect::<Result<_>>()?;
        terms(&vectors, kept.into_iter().map(|word| (word, 0)))
    };
    let found = analysed.into_iter().enumerate().map(|(place, analysed)| {
        let found = place * languages.len()..(place + 1) * languages.len();
        Ok(WordTerms {
            whole: found
                .clone()
                .map(|row| found_in(row..row + 1, 0, analysed.words.words.clone()))
                .collect::<Result<_>>()?,
            parts: found_in(found, 1, analysed.parts.words)?,
        })
    });
    found.collect()
}

/// What is done with a text before one of these text search configurations reads it: pairs are made if any of them needs them.
pub fn rules(collection: &Collection, languages: &[String], text: &str) -> Result<Rules> {
    let rules = rules_of(collection, languages, text.contains(has_no_spaces))?;
    let with_pairs = rules.iter().find(|rules| rules.makes_bigrams).or(rules.first());
    Ok(with_pairs.copied().unwrap_or(without_pairs(collection)))
}

/// The same for each of them.
fn rules_of(collection: &Collection, languages: &[String], have_no_spaces: bool) -> Result<Vec<Rules>> {
    let without = without_pairs(collection);
    if !have_no_spaces {
        return Ok(vec![without; languages.len()]);
    }
    let have_no_words = text_search::have_default_parser(languages)?;
    Ok(have_no_words.into_iter().map(|makes_bigrams| Rules { makes_bigrams, ..without }).collect())
}

fn without_pairs(collection: &Collection) -> Rules {
    Rules {
        normalises: encoding::is_utf8(),
        folds_accents: collection.ignore_accents,
        splits_compounds: collection.word_parts,
        makes_bigrams: false,
    }
}

/// The configurations in groups of the same rules.
fn by_rules(
    collection: &Collection,
    languages: &[String],
    have_no_spaces: bool,
) -> Result<Vec<(Rules, Vec<String>)>> {
    let rules = rules_of(collection, languages, have_no_spaces)?;
    let mut groups: Vec<(Rules, Vec<String>)> = Vec::new();
    for (rules, language) in rules.into_iter().zip(languages) {
        match groups.iter_mut().find(|(known, _)| *known == rules) {
            Some((_, group)) => group.push(language.clone()),
            None => groups.push((rules, vec![language.clone()])),
        }
    }
    Ok(groups)
}

/// A text in pieces whose words have room in a tsvector, which ends at a megabyte.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while rest.len() > MAX_PIECE_BYTES {
        let piece = &rest[..rest.floor_char_boundary(MAX_PIECE_BYTES)];
        let end = piece.rfind(char::is_whitespace).filter(|end| *end > 0).unwrap_or(piece.len());
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    pieces.push(rest);
    pieces
}

fn tsvector(rows: &Rows, row: usize, column: usize) -> Result<Vec<u8>> {
    rows.tsvector(row, column).ok_or_else(|| Error::internal("a text has no words"))
}

/// The words that a configuration found, and those that are added as they are, with their fields.
fn terms(vectors: &[Vec<u8>], kept: impl Iterator<Item = (String, u8)>) -> Result<ChunkTerms> {
    let kept = kept.map(|(word, fields)| {
        let mut bytes = Vec::with_capacity(word.len());
        encoding::encode(word.as_bytes(), &mut bytes);
        (bytes, fields)
    });
    ChunkTerms::new(vectors, kept).map_err(Error::internal)
}

/// Checks that the engine returned one embedding for each passage.
pub fn check_embeddings(values: usize, passages: usize, dimensions: usize) -> Result<()> {
    if values == passages * dimensions {
        return Ok(());
    }
    Err(Error::internal(format!("{values} values for {passages} passages")))
}
