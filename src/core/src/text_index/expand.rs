//! Combines several terms into one: all terms with a prefix, or with similar spelling.

use super::cursor::Cursor;
use super::dictionary::{List, TermEntry, Terms};
use super::query_term::QueryTerm;
use super::rank::TextIndex;
use super::{Pages, Posting, postings};
use crate::bm25;
use std::collections::BTreeMap;

/// Maximum number of postings of terms that are combined; merging them takes up to 32 MB.
pub const MAX_EXPANDED_POSTINGS: u64 = 2_000_000;

/// A term of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTerm {
    /// The term.
    pub lexeme: Vec<u8>,
    /// Number of chunks that contain it, including chunks that were deleted since the last merge.
    pub chunks: u64,
}

impl<P: Pages> TextIndex<P> {
    /// The terms with a prefix for which `accepts` is true, the most frequent first.
    ///
    /// # Errors
    /// [`Damage`](super::Damage); errors of reading pages.
    pub fn terms_with_prefix(
        &mut self,
        prefix: &[u8],
        mut accepts: impl FnMut(&[u8]) -> bool,
    ) -> Result<Vec<FoundTerm>, P::Error> {
        let (segments, reader) = self.parts();
        let mut found = BTreeMap::<Vec<u8>, u64>::new();
        for segment in segments.iter().filter(|segment| segment.header.docs > 0) {
            let mut terms = Terms::from(prefix, segment, reader)?;
            while let Some((term, entry)) = terms.next(segment, reader)? {
                if !term.starts_with(prefix) {
                    break;
                }
                if let Some(count) = found.get_mut(&term) {
                    *count += u64::from(entry.count);
                } else if accepts(&term) {
                    found.insert(term, u64::from(entry.count));
                }
            }
        }
        let mut found: Vec<_> =
            found.into_iter().map(|(lexeme, chunks)| FoundTerm { lexeme, chunks }).collect();
        found.sort_by(|a, b| b.chunks.cmp(&a.chunks).then_with(|| a.lexeme.cmp(&b.lexeme)));
        Ok(found)
    }

    /// One term that stands for several: its frequency in a chunk is the sum of theirs. `None` if no chunk contains them.
    ///
    /// # Errors
    /// [`Damage`](super::Damage); errors of reading pages.
    pub fn one_for(&mut self, terms: &[QueryTerm]) -> Result<Option<QueryTerm>, P::Error> {
        let total = self.chunks().0;
        let (segments, reader) = self.parts();
        let mut entries = Vec::with_capacity(segments.len());
        for (place, segment) in segments.iter().enumerate() {
            let mut list = Vec::new();
            for entry in terms.iter().filter_map(|term| term.entry(place)) {
                Cursor::new(entry.clone(), segment, reader)?.each(
                    segment,
                    reader,
                    |ordinal, frequency, fields, _| {
                        list.push(Posting { ordinal, frequency: frequency.max(1), fields });
                        Ok(())
                    },
                )?;
            }
            list.sort_by_key(|posting| posting.ordinal);
            list.dedup_by(|posting, kept| {
                let is_same = posting.ordinal == kept.ordinal;
                if is_same {
                    kept.frequency = kept.frequency.saturating_add(posting.frequency);
                    kept.fields |= posting.fields;
                }
                is_same
            });
            let entry = TermEntry { count: list.len() as u32, list: List::Inline(postings::encode(&list)) };
            entries.push((entry.count > 0).then_some(entry));
        }
        let chunks: u64 = entries.iter().flatten().map(|entry| u64::from(entry.count)).sum();
        let lexeme = terms.first().map(|term| term.lexeme.clone()).unwrap_or_default();
        Ok((chunks > 0).then(|| QueryTerm::new(lexeme, chunks, bm25::idf(total, chunks), entries)))
    }
}
