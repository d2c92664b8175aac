//! The segments of an index, and the best of their chunks by BM25.

use super::chunk_set::ChunkSet;
use super::cursor::Cursor;
use super::dictionary::{self, Terms};
use super::header::IndexCounts;
use super::ordinals::ordinals_of;
use super::query_term::QueryTerm;
use super::segment::{PageReader, Segment, largest_first};
use super::segment_search::SegmentSearch;
use super::top::Top;
use super::{Damage, Pages};
use crate::bm25;

/// Maximum number of chunks of an index. A set has one bit for each chunk, even if a damaged segment only claims to have them.
const MAX_CHUNKS: u64 = 1 << 30;

/// The segments of an index.
pub struct TextIndex<P> {
    reader: PageReader<P>,
    segments: Vec<Segment>,
}

impl<P: Pages> TextIndex<P> {
    /// Opens segments.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn open(pages: P, numbers: impl IntoIterator<Item = i64>) -> Result<Self, P::Error> {
        let mut reader = PageReader::new(pages);
        let (mut segments, mut chunks) = (Vec::new(), 0);
        for number in numbers {
            let segment = Segment::open(number, &mut reader)?;
            chunks += u64::from(segment.header.docs);
            if chunks > MAX_CHUNKS {
                return Err(Damage { segment: number, page: 0, what: "there are too many chunks" }.into());
            }
            segments.push(segment);
        }
        Ok(Self { reader, segments })
    }

    /// The segments.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segments, and the reader of their pages.
    pub(super) fn parts(&mut self) -> (&[Segment], &mut PageReader<P>) {
        (&self.segments, &mut self.reader)
    }

    /// Number of chunks and their mean length in words, including chunks that were deleted since the last merge.
    pub fn chunks(&self) -> (u64, f64) {
        let chunks: u64 = self.segments.iter().map(|segment| u64::from(segment.header.docs)).sum();
        let words = self.segments.iter().fold(0u64, |sum, segment| sum.saturating_add(segment.header.words));
        (chunks, words as f64 / chunks.max(1) as f64)
    }

    /// Number of existing chunks and rows.
    pub fn counts(&self) -> IndexCounts {
        self.segments.iter().map(Segment::counts).sum()
    }

    /// The terms among `lexemes` that at least one chunk contains.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn terms<'l>(
        &mut self,
        lexemes: impl IntoIterator<Item = &'l [u8]>,
    ) -> Result<Vec<QueryTerm>, P::Error> {
        let chunks = self.chunks().0;
        let mut terms = Vec::new();
        for lexeme in lexemes {
            let find = |segment| dictionary::find(segment, lexeme, &mut self.reader);
            let entries: Vec<_> = self.segments.iter().map(find).collect::<Result<_, _>>()?;
            let count = entries.iter().flatten().map(|entry| u64::from(entry.count)).sum();
            if count > 0 {
                let idf = bm25::idf(chunks, count);
                terms.push(QueryTerm::new(lexeme.to_vec(), count, idf, entries));
            }
        }
        Ok(terms)
    }

    /// All chunks.
    pub fn all(&self) -> ChunkSet {
        ChunkSet::all(&self.segments)
    }

    /// The chunks that contain at least one of these terms.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn holders(&mut self, terms: &[QueryTerm]) -> Result<ChunkSet, P::Error> {
        ChunkSet::holders(terms, &self.segments, &mut self.reader)
    }

    /// The numbers of chunks, and their lengths in words.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn numbers(&mut self, set: &ChunkSet) -> Result<Vec<(i64, u32)>, P::Error> {
        set.numbers(&self.segments, &mut self.reader)
    }

    /// Passes all postings to `show`: term, number of the chunk, frequency, and fields.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn postings(&mut self, mut show: impl FnMut(&[u8], i64, u32, u8)) -> Result<(), P::Error> {
        let Self { reader, segments } = self;
        for segment in segments.iter().filter(|segment| segment.header.docs > 0) {
            let mut terms = Terms::new(segment, reader)?;
            while let Some((term, entry)) = terms.next(segment, reader)? {
                Cursor::new(entry, segment, reader)?.each(
                    segment,
                    reader,
                    |ordinal, frequency, fields, reader| {
                        show(&term, segment.chunk_of(ordinal, reader)?, frequency, fields);
                        Ok(())
                    },
                )?;
            }
        }
        Ok(())
    }

    /// The best chunks of the index, or of `set`, with their scores; sorted by score, then by number.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn best(
        &mut self,
        terms: &[QueryTerm],
        wanted: usize,
        set: Option<&ChunkSet>,
    ) -> Result<Vec<(i64, f64)>, P::Error> {
        let average = self.chunks().1;
        let Self { reader, segments } = self;
        let mut top = Top::new(segments, wanted);
        // The best chunks of the largest segment set a threshold for all others.
        for place in largest_first(segments) {
            top.begin_segment();
            let search = SegmentSearch::new(terms, average, place, &segments[place], reader)?;
            if let Some(mut search) = search {
                search.set = set;
                search.run(&mut top, reader)?;
            }
        }
        top.into_chunks(reader)
    }

    /// The best of the given chunks that contain one of the terms, and are in `set` if there is one. The given lengths in
    /// words speed up the lookup; they come from the table of chunks, and may be older than the last rebuild of the index.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn best_of(
        &mut self,
        terms: &[QueryTerm],
        wanted: usize,
        chunks: &[(i64, u32)],
        set: Option<&ChunkSet>,
    ) -> Result<Vec<(i64, f64)>, P::Error> {
        let average = self.chunks().1;
        let Self { reader, segments } = self;
        let mut top = Top::new(segments, wanted);
        let ordinals = ordinals_of(chunks, segments, reader)?;
        for ((place, segment), mut ordinals) in segments.iter().enumerate().zip(ordinals) {
            top.begin_segment();
            let Some(mut search) = SegmentSearch::new(terms, average, place, segment, reader)? else {
                continue;
            };
            search.set = set;
            ordinals.retain(|ordinal| search.next_in_set(*ordinal) == Some(*ordinal));
            for ordinal in ordinals {
                search.score(ordinal, &mut top, reader)?;
            }
        }
        top.into_chunks(reader)
    }
}
