//! Decides which text search configurations analyse a collection's text: the collection's own, or one for
//! each row.

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

/// Prefix of the term that marks the chunks analysed by a configuration. No word begins with it.
const MARK: &str = "\u{1}language ";

/// The term that marks the chunks analysed by a configuration.
pub fn mark(configuration: &str) -> String {
    format!("{MARK}{configuration}")
}

/// True if a term is such a mark.
pub fn is_mark(term: &[u8]) -> bool {
    term.starts_with(MARK.as_bytes())
}

/// The configuration for each of some rows, given by their metadata. The language column holds the name of a
/// configuration or a language code; otherwise the collection's own configuration applies.
pub fn of_rows<'a>(collection: &Collection, metadata: impl Iterator<Item = &'a [u8]>) -> Result<Vec<String>> {
    let Some(column) = collection.language_column() else {
        let own = own(collection)?;
        return Ok(metadata.map(|_| own.clone()).collect());
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
    let of =
        |value: &String| known.get(value.as_str()).map_or_else(|| own(collection), |known| Ok(known.clone()));
    values.iter().map(of).collect()
}

/// The configuration of a collection.
///
/// # Errors
/// 42704 if it was dropped. `rag._collection_error` says the same.
fn own(collection: &Collection) -> Result<String> {
    let language = &collection.language;
    configurations(&[language])?.pop().flatten().ok_or_else(|| {
        Error::undefined(format!(
            "text search configuration {language} of collection \"{}\" no longer exists",
            collection.name
        ))
        .hint(format!(
            "Create it again, or give the collection another one with rag.alter_collection('{}', language => …).",
            collection.name
        ))
    })
}

/// The configurations that have analysed a collection's chunks.
pub fn of_chunks(collection: &Collection, index: &mut TextIndex<PageTable>) -> Result<Vec<String>> {
    if collection.language_column().is_none() {
        return Ok(vec![own(collection)?]);
    }
    let marks = index.terms_with_prefix(MARK.as_bytes(), |_| true);
    let marks = marks.map_err(|error| index_error(collection, error))?;
    let name = |mark: FoundTerm| String::from_utf8(mark.lexeme[MARK.len()..].to_vec()).ok();
    let mut names: Vec<String> = marks.into_iter().filter_map(name).collect();
    // A configuration that was dropped meanwhile cannot analyse the query.
    let known = configurations(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut known = known.into_iter();
    names.retain(|name| known.next().flatten().as_ref() == Some(name));
    if names.is_empty() {
        names.push(own(collection)?);
    }
    Ok(names)
}

/// The text of a member of a `jsonb` object that is given without its varlena header.
fn text_in(metadata: &[u8], column: &str) -> Result<Option<String>> {
    if metadata.is_empty() {
        return Ok(None);
    }
    let value = Jsonb(metadata.to_vec()).to_value()?;
    Ok(value.get(column).and_then(|value| value.as_str()).map(str::to_owned))
}
