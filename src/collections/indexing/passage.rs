//! A passage: a chunk that is being indexed.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::languages;
use ragstone_core::analysis::{self, Analysed, Found, Rules, has_no_spaces};
use ragstone_core::tsvector::{ChunkTerms, fields};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, run, select};
use ragstone_pg::switch_user::with_settings;
use ragstone_pg::value::Value;
use ragstone_pg::{encoding, text_search};
use std::ops::Range;
use std::rc::Rc;

/// Length of the text, in bytes, that `to_tsvector` gets in one call if the text has no limit of length.
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
    /// Index of the row in the batch; 0 if all rows are read.
    pub place: usize,
}

impl SourceRow {
    /// A row of which only title and metadata are known.
    pub fn without_content(title: String, metadata: Vec<u8>) -> Self {
        let (content, hash, key) = (String::new(), Vec::new(), Vec::new());
        Self { title, content, metadata, hash, key, place: 0 }
    }
}

/// A chunk of a row, with its text to embed and its words.
#[derive(Debug)]
pub struct Passage {
    /// Its row, without the content.
    pub row: Rc<SourceRow>,
    /// Its position in the row, from 1.
    pub seq: i32,
    /// Its first character in the row's content, from 1; 0 if it is not known.
    pub start_at: i32,
    /// Its last character in the row's content; 0 if it is not known.
    pub end_at: i32,
    /// Headings above it.
    pub heading: Option<String>,
    /// Its text, without title and headings.
    pub content: String,
    /// The text to embed: as much of title and headings as has room beside the content, and the content.
    pub text: String,
    /// Hash of [`Self::text`].
    pub hash: Vec<u8>,
    /// Words of title, headings and text.
    pub terms: ChunkTerms,
}

impl Passage {
    /// A passage that will not be embedded. Its hash and words are not known yet.
    pub fn new(row: &Rc<SourceRow>, seq: i32, heading: Option<String>, content: String) -> Self {
        Self::embedded_with([&row.title, ""], row, seq, heading, content)
    }

    /// A passage whose hash and words are not known yet. `before` are the parts of title and headings that
    /// are embedded before its content.
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
            start_at: 0,
            end_at: 0,
            heading,
            content,
            text,
            hash: Vec::new(),
            terms: ChunkTerms::default(),
        }
    }
}

/// Title, headings and content of a passage, each prepared for the text search configuration.
struct AnalysedPassage([Analysed; 3]);

/// The field of each of the three texts.
const FIELDS: [u8; 3] = [fields::TITLE, fields::HEADING, fields::CONTENT];

impl AnalysedPassage {
    fn new(passage: &Passage, rules: Rules) -> Self {
        let heading = passage.heading.as_deref().unwrap_or_default();
        Self([&passage.row.title, heading, &passage.content].map(|text| analysis::analyse(text, rules)))
    }

    /// The words of one of the fields, or the parts of its compound words.
    fn found(&self, field: usize, is_parts: bool) -> &Found {
        if is_parts { &self.0[field].parts } else { &self.0[field].words }
    }

    /// The words that bypass the text search configuration, with their fields.
    fn kept(&self, is_parts: bool) -> impl Iterator<Item = (String, u8)> {
        let of_field = move |field: usize| {
            self.found(field, is_parts).words.iter().map(move |word| (word.clone(), FIELDS[field]))
        };
        (0..FIELDS.len()).flat_map(of_field)
    }
}

/// Finds the hashes and words of a collection's passages, and stores them in the passages.
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
    let arguments = [
        Arg::texts(&languages),
        texts(0, false),
        texts(1, false),
        texts(2, false),
        texts(0, true),
        texts(1, true),
        texts(2, true),
        Arg::texts(passages.iter().map(|passage| &passage.text)),
    ];
    let rows = without_notices(|| run(include_str!("../../../sql/queries/words.sql"), &arguments))?;
    for (row, (passage, analysed)) in passages.iter_mut().zip(&analysed).enumerate() {
        let found = |is_parts| {
            let mut vectors = vec![tsvector(&rows, row, usize::from(is_parts))?];
            for field in 0..FIELDS.len() {
                let text = &analysed.found(field, is_parts).text;
                if if_short(text).len() < text.len() {
                    vectors.extend(without_notices(|| long_vectors(text, &languages[row..=row]))?);
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

/// PostgreSQL tells of each word that is too long to be indexed, of which there may be some in each row.
fn without_notices<T>(work: impl FnOnce() -> T) -> T {
    with_settings(&[("client_min_messages", "warning")], work)
}

/// A text whose words have room in a tsvector; nothing in place of a longer one.
fn if_short(text: &str) -> &str {
    if text.len() <= MAX_PIECE_BYTES { text } else { "" }
}

/// The words of a text of any length: one tsvector for each configuration and piece.
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

/// The words of a query to a collection, found by these configurations.
pub fn analyse_query(query: &str, languages: &[String], collection: &Collection) -> Result<ChunkTerms> {
    let (mut vectors, mut kept) = (Vec::new(), Vec::new());
    for (rules, languages) in by_rules(collection, languages, query.contains(has_no_spaces))? {
        let analysed = analysis::analyse_query(query, rules);
        // The space keeps the last word of the first text apart from the first word of the second.
        let text = format!("{} {}", analysed.words.text, analysed.parts.text);
        vectors.extend(long_vectors(&text, &languages)?);
        kept.extend(analysed.words.words.into_iter().chain(analysed.parts.words));
    }
    terms(&vectors, kept.into_iter().map(|word| (word, 0)))
}

/// The terms of a word.
#[derive(Debug, Clone, Default)]
pub struct WordTerms {
    /// Terms of the whole word, for each configuration.
    pub whole: Vec<ChunkTerms>,
    /// Terms of the word's parts.
    pub parts: ChunkTerms,
}

impl WordTerms {
    /// All terms, in no particular order and possibly repeated.
    pub fn lexemes(&self) -> impl Iterator<Item = &[u8]> {
        self.whole.iter().flat_map(ChunkTerms::lexemes).chain(self.parts.lexemes())
    }

    /// True if the text search configuration ignores the word.
    pub fn is_empty(&self) -> bool {
        self.lexemes().next().is_none()
    }
}

/// The terms of each of these words, found by these configurations.
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

/// As [`analyse_words`], for configurations that share the same rules.
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

/// The rules that prepare a text for these text search configurations: pairs of characters are made if any
/// configuration needs them.
pub fn rules(collection: &Collection, languages: &[String], text: &str) -> Result<Rules> {
    let rules = rules_of(collection, languages, text.contains(has_no_spaces))?;
    let with_pairs = rules.iter().find(|rules| rules.makes_bigrams).or(rules.first());
    Ok(with_pairs.copied().unwrap_or(without_pairs(collection)))
}

/// The rules for each of the configurations.
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

/// The configurations, grouped by equal rules.
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

/// Cuts a text into pieces whose words fit in a tsvector, whose maximum size is 1 MB.
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

/// The words that a configuration found, and the words in `kept`, each with its fields.
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
