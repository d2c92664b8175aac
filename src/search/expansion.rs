//! Expands a word of a query to terms of the text index: terms that begin with the word, and terms with a
//! similar spelling.

use crate::collections::indexing::passage::WordTerms;
use crate::search::lookup::WordLookup;
use pgrx::PgLogLevel;
use ragstone_core::analysis::{has_no_spaces, in_lower_case, is_one_character, joined};
use ragstone_core::query_syntax::QueryItem;
use ragstone_core::text_index::{FoundTerm, QueryTerm};
use ragstone_core::typos::Misspelt;
use ragstone_pg::encoding;
use ragstone_pg::error::{Error, Result};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::rc::Rc;

/// Maximum number of terms to which a word is expanded; the most frequent ones are taken.
const MAX_TERMS: usize = 1_000;

/// Minimum length, in letters, of a word that is corrected if no chunk contains it.
const MIN_LETTERS: usize = 4;

/// Maximum number of words of a query that are corrected.
const MAX_CORRECTED: usize = 16;

/// Maximum number of words of a query that are checked for correction.
const MAX_CHECKED: usize = 256;

/// Maximum number of single characters of a query, of scripts without spaces, that are also searched for
/// inside words.
const MAX_CHARACTERS: usize = 16;

/// Maximum length of a word that is looked up, in bytes.
pub const MAX_WORD_BYTES: usize = 1_000;

/// The terms to which a word with the operator `*` or `~` expands; they are looked up once. None for other
/// items.
pub fn expanded(lookup: &mut WordLookup, item: &QueryItem) -> Result<Option<Rc<[QueryTerm]>>> {
    let (QueryItem::Prefix(word) | QueryItem::Misspelt(word)) = item else { return Ok(None) };
    if let Some(known) = lookup.expanded.get(item) {
        return Ok(Some(Rc::clone(known)));
    }
    let mut found = Vec::new();
    if word.len() <= MAX_WORD_BYTES {
        let terms = lookup.analyse(&[word])?.pop().unwrap_or_default();
        found = match item {
            QueryItem::Prefix(_) => terms_that_begin(lookup, word, &terms)?,
            _ => terms_alike(lookup, word, &terms)?,
        };
    }
    let found: Rc<[QueryTerm]> = found.into();
    lookup.expanded.insert(item.clone(), Rc::clone(&found));
    Ok(Some(found))
}

/// The terms that begin with a word, and the word's own terms. A word with hyphens or underscores is tried as
/// a prefix with and without these; its parts alone are other words.
fn terms_that_begin(lookup: &mut WordLookup, word: &str, terms: &WordTerms) -> Result<Vec<QueryTerm>> {
    let rules = lookup.rules(word)?;
    let typed = in_lower_case(word, rules);
    let in_one = joined(&typed).filter(|_| rules.splits_compounds);
    let terms = match &in_one {
        Some(in_one) => lookup.analyse(&[in_one.as_str()])?.pop().unwrap_or_default(),
        None => terms.clone(),
    };
    let prefixes: Vec<Vec<u8>> = in_one.iter().chain([&typed]).map(|prefix| encoded(prefix)).collect();
    let mut found = Vec::new();
    for prefix in &prefixes {
        found.extend(lookup.terms_with_prefix(prefix, |_| true)?);
    }
    found.sort_by_key(|found| Reverse(found.chunks));
    let mut terms = lookup.terms(whole(&terms))?;
    terms.retain(|term| !prefixes.iter().any(|prefix| term.lexeme.starts_with(prefix)));
    terms.extend(most_frequent(lookup, &format!("{word}*"), found)?);
    Ok(terms)
}

/// The terms of a query that some chunk contains. Also returns true if no chunk contains some other term of
/// the query.
pub fn terms_of_query(lookup: &mut WordLookup, query: &str) -> Result<(Vec<QueryTerm>, bool)> {
    let words = lookup.words_of_query(query)?;
    let mut left = if lookup.rules(query)?.makes_bigrams { MAX_CHARACTERS } else { 0 };
    let (characters, others): (Vec<&[u8]>, Vec<&[u8]>) = words.lexemes().partition(|lexeme| {
        let begins_pairs = left > 0 && is_one_character(&encoding::decode_lossy(lexeme));
        left -= usize::from(begins_pairs);
        begins_pairs
    });
    let mut found = lookup.terms(others.iter().copied())?;
    let has_others = found.len() < others.len();
    for character in characters {
        found.extend(term_with_character(lookup, character)?);
    }
    Ok((found, has_others))
}

/// A single term for a character of a script without spaces. It combines the pairs that begin with the
/// character, and the character itself where no other one follows it.
fn term_with_character(lookup: &mut WordLookup, character: &[u8]) -> Result<Option<QueryTerm>> {
    let is_pair = |term: &[u8]| encoding::decode_lossy(term).chars().nth(2).is_none();
    let found = lookup.terms_with_prefix(character, is_pair)?;
    let terms = most_frequent(lookup, &encoding::decode_lossy(character), found)?;
    lookup.one_for(&terms)
}

/// The terms that differ from a word by a few typos, including the word itself.
fn terms_alike(lookup: &mut WordLookup, word: &str, terms: &WordTerms) -> Result<Vec<QueryTerm>> {
    let found = alike(lookup, word, terms)?;
    most_frequent(lookup, &format!("{word}~"), found.into_iter().map(|(term, _)| term).collect())
}

/// For each word of a query that no chunk contains: the terms with the fewest typos. `known` are the query's
/// terms that some chunk contains.
pub fn corrections(lookup: &mut WordLookup, query: &str, known: &[QueryTerm]) -> Result<Vec<QueryTerm>> {
    let known: HashSet<&[u8]> = known.iter().map(|term| term.lexeme.as_slice()).collect();
    let mut seen = HashSet::new();
    let words = query.split_whitespace().map(|word| word.trim_matches(|end: char| !end.is_alphanumeric()));
    let words = words.filter(|word| is_correctable(word) && seen.insert(*word)).take(MAX_CHECKED);
    let words: Vec<&str> = words.collect();
    let is_unknown = |terms: &WordTerms| !terms.is_empty() && !terms.lexemes().any(|l| known.contains(l));
    let unknown = words.iter().zip(lookup.analyse(&words)?).filter(|(_, terms)| is_unknown(terms));
    let mut corrections = Vec::new();
    for (word, terms) in unknown.take(MAX_CORRECTED) {
        let found = alike(lookup, word, &terms)?;
        let Some(least) = found.iter().map(|(_, distance)| *distance).min() else { continue };
        let nearest = found.into_iter().filter(|(_, distance)| *distance == least).map(|(term, _)| term);
        let terms = most_frequent(lookup, word, nearest.collect())?;
        corrections.extend(lookup.one_for(&terms)?);
    }
    Ok(corrections)
}

/// True for a word that consists of letters only: part numbers, codes and file names must not be corrected.
fn is_correctable(word: &str) -> bool {
    word.len() <= MAX_WORD_BYTES
        && word.chars().count() >= MIN_LETTERS
        && word.chars().all(|letter| letter.is_alphabetic() && !has_no_spaces(letter))
}

/// The terms that differ from a word by a few typos, each with the number of typos.
fn alike(lookup: &mut WordLookup, word: &str, terms: &WordTerms) -> Result<Vec<(FoundTerm, usize)>> {
    let stems = whole(terms).map(|lexeme| encoding::decode_lossy(lexeme).into_owned()).collect::<Vec<_>>();
    let misspelt = Misspelt::new(in_lower_case(word, lookup.rules(word)?), stems);
    let first = misspelt.first_letter().map(String::from).unwrap_or_default();
    let distance = |term: &[u8]| misspelt.distance(&encoding::decode_lossy(term));
    let found = lookup.terms_with_prefix(&encoded(&first), |term| distance(term).is_some())?;
    Ok(found
        .into_iter()
        .filter_map(|found| {
            let distance = distance(&found.lexeme)?;
            Some((found, distance))
        })
        .collect())
}

/// The most frequent terms within the limits. If terms are left out, a NOTICE says so, unless row-level
/// security hides rows from the caller.
fn most_frequent(lookup: &mut WordLookup, asked: &str, mut found: Vec<FoundTerm>) -> Result<Vec<QueryTerm>> {
    let all = found.len();
    found.truncate(MAX_TERMS);
    let (mut postings, budget) = (0, lookup.expansion_budget);
    let is_few = |found: &&FoundTerm| {
        postings += found.chunks;
        postings <= budget
    };
    let kept = found.iter().take_while(is_few).count().max(1).min(found.len());
    if kept < all && lookup.sees_all {
        Error::information(format!("\"{asked}\" stands for the most frequent words only"))
            .notice(PgLogLevel::NOTICE);
    }
    let taken = found[..kept].iter().map(|found| found.chunks).sum();
    lookup.expansion_budget = budget.saturating_sub(taken);
    let lexemes = found[..kept].iter().map(|found| found.lexeme.as_slice());
    lookup.terms(lexemes)
}

/// The lexemes of a whole word, of all configurations.
fn whole(terms: &WordTerms) -> impl Iterator<Item = &[u8]> {
    let mut lexemes: Vec<&[u8]> = terms.whole.iter().flat_map(|terms| terms.lexemes()).collect();
    lexemes.sort_unstable();
    lexemes.dedup();
    lexemes.into_iter()
}

fn encoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    encoding::encode(text.as_bytes(), &mut bytes);
    bytes
}
