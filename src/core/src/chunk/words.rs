//! Finds where unstructured text can be split: between sentences, words and grapheme clusters.

use icu_segmenter::{
    GraphemeClusterSegmenter, GraphemeClusterSegmenterBorrowed, SentenceSegmenter, SentenceSegmenterBorrowed,
    WordSegmenter, WordSegmenterBorrowed,
    options::{SentenceBreakInvariantOptions, WordBreakInvariantOptions},
};

/// Finds sentences (UAX 29), words (with dictionaries for scripts without spaces) and grapheme clusters.
pub struct Segmenter {
    sentences: SentenceSegmenterBorrowed<'static>,
    words: WordSegmenterBorrowed<'static>,
    characters: GraphemeClusterSegmenterBorrowed<'static>,
}

impl Segmenter {
    /// A segmenter of texts in any language.
    pub fn new() -> Self {
        Self {
            sentences: SentenceSegmenter::new(SentenceBreakInvariantOptions::default()),
            words: WordSegmenter::new_dictionary(WordBreakInvariantOptions::default()),
            characters: GraphemeClusterSegmenter::new(),
        }
    }

    /// Appends the ends of the sentences of a document that begin at `from`, up to `limit`; the ends of words if the first
    /// sentence is longer, and so on. Appends nothing if even the first grapheme cluster is longer.
    pub fn boundaries(&self, document: &str, from: usize, limit: usize, boundaries: &mut Vec<usize>) {
        let end = document.floor_char_boundary((limit + LOOKAHEAD_BYTES).min(document.len()));
        let text = &document[from..end];
        let mut append = |offsets: &mut dyn Iterator<Item = usize>| {
            boundaries.extend(offsets.skip(1).map(|offset| from + offset).take_while(|end| *end <= limit));
            !boundaries.is_empty()
        };
        let _ = append(&mut self.sentences.segment_str(text))
            || append(&mut self.words.segment_str(text))
            || append(&mut self.characters.segment_str(text));
    }
}

/// Bytes that are read beyond the limit to see whether something ends there.
const LOOKAHEAD_BYTES: usize = 64;
