//! Which text search configurations find the words of a collection: its own, or one for each row.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::segments::index_error;
use ragstone_core::analysis::configuration_of;
use ragstone_core::text_index::FoundTerm;
use ragstone_core::text_index::rank::TextIndex;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::page_table::PageTable;
use ragstone_pg::text_search::configurations;
use std::collections::HashMap;

/// Begins the term by which a chunk is found under its configuration. No word begins so.
const MARK: &str = "\u{1}language ";

/// The term for chunks whose words were found by a configuration.
pub fn mark(configuration: &str) -> String {
    format!("{MARK}{configuration}")
}

/// Whether a term is such a one.
pub fn is_mark(term: &[u8]) -> bool {
    term.starts_with(MARK.as_bytes())
}

/// The configuration for each of some rows, given by their metadata: what their column says, as the name of a configuration or the code
/// of a language, or the collection's own.
pub fn of_rows<'a>(collection: &Collection, metadata: impl Iterator<Item = &'a [u8]>) -> Result<Vec<String>> {
    let Some(column) = collection.language_column() else {
        return Ok(metadata.map(|_| collection.language.clone()).collect());
    };
    let value = |metadata: &[u8]| Ok::<_, Error>(text_in(metadata, column)?.unwrap_or_default());
    let values: Vec<String> = metadata.map(value).collect::<Result<_>>()?;
    let mut names: Vec<&str> = values.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let exact = configurations(&names)?;
    let codes: Vec<&str> = names.iter().map(|name| configuration_of(name).unwrap_or_default()).collect();
    let by_code = configurations(&codes)?;
    let found = names.into_iter().zip(exact.into_iter().zip(by_code));
    let known: HashMap<&str, String> =
        found.filter_map(|(name, (exact, by_code))| Some((name, exact.or(by_code)?))).collect();
    let of = |value: &String| known.get(value.as_str()).unwrap_or(&collection.language).clone();
    Ok(values.iter().map(of).collect())
}

/// The configurations by which words of a collection's chunks were found.
pub fn of_chunks(collection: &Collection, index: &mut TextIndex<PageTable>) -> Result<Vec<String>> {
    if collection.language_column().is_none() {
        return Ok(vec![collection.language.clone()]);
    }
    let marks = index.terms_with_prefix(MARK.as_bytes(), |_| true);
    let marks = marks.map_err(|error| index_error(collection, error))?;
    let name = |mark: FoundTerm| String::from_utf8(mark.lexeme[MARK.len()..].to_vec()).ok();
    let mut names: Vec<String> = marks.into_iter().filter_map(name).collect();
    // A configuration that was dropped since finds nothing any more.
    let known = configurations(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut known = known.into_iter();
    names.retain(|name| known.next().flatten().as_ref() == Some(name));
    if names.is_empty() {
        names.push(collection.language.clone());
    }
    Ok(names)
}

/// The text of a member of a `jsonb` object without its varlena header.
fn text_in(metadata: &[u8], column: &str) -> Result<Option<String>> {
    if metadata.is_empty() {
        return Ok(None);
    }
    let value = Jsonb(metadata.to_vec()).to_value()?;
    Ok(value.get(column).and_then(|value| value.as_str()).map(str::to_owned))
}
