//! Looks up words in the text index of a collection.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::languages;
use crate::collections::indexing::passage::{WordTerms, analyse_query, analyse_words, rules};
use crate::collections::indexing::segments::{index_error, open_index};
use ragstone_core::analysis::Rules;
use ragstone_core::query_syntax::QueryItem;
use ragstone_core::text_index::rank::TextIndex;
use ragstone_core::text_index::{ChunkSet, FoundTerm, MAX_EXPANDED_POSTINGS, QueryTerm};
use ragstone_core::tsvector::ChunkTerms;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::page_table::{PageTable, ReadAt};
use std::collections::HashMap;
use std::rc::Rc;

/// The text index of a collection, and the conversion of query words to its terms. The caller must have the
/// rights of the tables' owner.
pub struct WordLookup<'a> {
    collection: &'a Collection,
    index: TextIndex<PageTable>,
    /// The text search configurations that have analysed the collection's chunks.
    languages: Vec<String>,
    /// The terms to which words of the query with the operators `*` and `~` expand; filled on look-up.
    pub expanded: HashMap<QueryItem, Rc<[QueryTerm]>>,
    /// Number of postings that further expanded words of the query may have in total.
    pub expansion_budget: u64,
    /// True if the caller sees all rows of the source. Other callers get no notice that depends on which
    /// words the index contains.
    pub sees_all: bool,
}

impl<'a> WordLookup<'a> {
    /// Opens the text index of a collection. `sees_all` is true if the caller sees all rows of the source.
    pub fn open(collection: &'a Collection, sees_all: bool) -> Result<Self> {
        let mut index = open_index(collection, ReadAt::Statement)?;
        let languages = languages::of_chunks(collection, &mut index)?;
        let expansion_budget = MAX_EXPANDED_POSTINGS;
        Ok(Self { collection, index, languages, expanded: HashMap::new(), expansion_budget, sees_all })
    }

    /// The index.
    pub fn into_index(self) -> TextIndex<PageTable> {
        self.index
    }

    /// The rules that prepare a text for the configurations.
    pub fn rules(&self, text: &str) -> Result<Rules> {
        rules(self.collection, &self.languages, text)
    }

    /// The words of a query.
    pub fn words_of_query(&self, query: &str) -> Result<ChunkTerms> {
        analyse_query(query, &self.languages, self.collection)
    }

    /// The terms of each of these words.
    pub fn analyse(&self, words: &[&str]) -> Result<Vec<WordTerms>> {
        analyse_words(words, &self.languages, self.collection)
    }

    /// The terms among these lexemes that some chunk contains.
    pub fn terms<'l>(&mut self, lexemes: impl IntoIterator<Item = &'l [u8]>) -> Result<Vec<QueryTerm>> {
        self.index.terms(lexemes).map_err(|error| self.damaged(error))
    }

    /// The terms that begin with a prefix and that `accepts` accepts, the most frequent first.
    pub fn terms_with_prefix(
        &mut self,
        prefix: &[u8],
        mut accepts: impl FnMut(&[u8]) -> bool,
    ) -> Result<Vec<FoundTerm>> {
        let is_word = |term: &[u8]| !languages::is_mark(term) && accepts(term);
        self.index.terms_with_prefix(prefix, is_word).map_err(|error| self.damaged(error))
    }

    /// A single term that stands for all of these; None if no chunk contains any of them.
    pub fn one_for(&mut self, terms: &[QueryTerm]) -> Result<Option<QueryTerm>> {
        self.index.one_for(terms).map_err(|error| self.damaged(error))
    }

    /// The set of all chunks.
    pub fn all(&self) -> ChunkSet {
        self.index.all()
    }

    /// The set of chunks that contain one of these terms.
    pub fn holders(&mut self, terms: &[QueryTerm]) -> Result<ChunkSet> {
        self.index.holders(terms).map_err(|error| self.damaged(error))
    }

    /// The numbers of the chunks in a set, with their lengths in words.
    pub fn numbers(&mut self, set: &ChunkSet) -> Result<Vec<(i64, u32)>> {
        self.index.numbers(set).map_err(|error| self.damaged(error))
    }

    fn damaged(&self, error: Error) -> Error {
        index_error(self.collection, error)
    }
}
