//! The lengths in the index of chunks that have other lengths in the table of chunks: the index was rebuilt with other
//! words, and the table was left unchanged. They are stored in pages of the index beside its segments, which list chunks
//! and lengths by the chunks' numbers.

use super::bytes::{Bytes, put_number};
use super::segment::PageReader;
use super::{Damage, PAGE_BYTES, Pages};

/// The segment number of these pages, which no segment has. The pages are numbered from 1; there is no page 0.
pub const GIVEN_LENGTHS: i64 = i64::MIN;

/// Maximum bytes of an entry: two numbers, of 64 and of 32 bits.
const MAX_ENTRY_BYTES: usize = 15;

/// Bytes before the entries of a page: the number of pages, and the number of the page's first chunk.
const HEAD_BYTES: usize = 12;

/// Writes the lengths in the index of chunks that have other lengths in the table. `chunks` must be sorted by number.
///
/// # Errors
/// Errors of the sink.
pub fn write_lengths<E>(
    chunks: &[(i64, u32)],
    mut sink: impl FnMut(u32, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut pages: Vec<Vec<u8>> = Vec::new();
    let mut last = 0i64;
    for (chunk, words) in chunks {
        let is_full = |page: &Vec<u8>| page.len() + MAX_ENTRY_BYTES > PAGE_BYTES;
        if pages.last().is_none_or(is_full) {
            let mut page = vec![0; HEAD_BYTES];
            page[4..].copy_from_slice(&chunk.to_le_bytes());
            pages.push(page);
            last = *chunk;
        }
        if let Some(page) = pages.last_mut() {
            put_number(page, chunk.wrapping_sub(last).cast_unsigned());
            put_number(page, u64::from(*words));
        }
        last = *chunk;
    }
    let count = (pages.len() as u32).to_le_bytes();
    for (number, page) in (1..).zip(&mut pages) {
        page[..4].copy_from_slice(&count);
        sink(number, page)?;
    }
    Ok(())
}

/// A page that was read.
struct LengthPage {
    /// Number of pages.
    pages: u32,
    first: i64,
    entries: Vec<(i64, u32)>,
}

fn read<P: Pages>(number: u32, reader: &mut PageReader<P>) -> Result<Option<LengthPage>, P::Error> {
    let Some(bytes) = reader.find_page(GIVEN_LENGTHS, number)? else { return Ok(None) };
    let page = parse(&bytes).ok_or(Damage {
        segment: GIVEN_LENGTHS,
        page: number,
        what: "lengths of chunks are inconsistent",
    })?;
    Ok(Some(page))
}

fn parse(bytes: &[u8]) -> Option<LengthPage> {
    let (pages, rest) = bytes.split_first_chunk()?;
    let (first, rest) = rest.split_first_chunk()?;
    let first = i64::from_le_bytes(*first);
    let (mut rest, mut chunk, mut entries) = (Bytes(rest), first, Vec::new());
    while !rest.0.is_empty() {
        chunk = chunk.wrapping_add(rest.number()?.cast_signed());
        entries.push((chunk, rest.number_u32()?));
    }
    Some(LengthPage { pages: u32::from_le_bytes(*pages), first, entries })
}

/// The lengths in the index of those of `chunks` that have other lengths in the table. `chunks` must be sorted.
///
/// # Errors
/// [`Damage`]; errors of reading pages.
pub(super) fn lengths_of<P: Pages>(
    chunks: impl Iterator<Item = i64>,
    reader: &mut PageReader<P>,
) -> Result<Vec<(i64, u32)>, P::Error> {
    let Some(mut page) = read(1, reader)? else { return Ok(Vec::new()) };
    let (mut number, mut found) = (1, Vec::new());
    for chunk in chunks {
        if page.entries.last().is_none_or(|(last, _)| *last < chunk) {
            // Searches for the last page whose first number is not greater.
            let (mut least, mut beyond) = (number, page.pages.saturating_add(1));
            while least + 1 < beyond {
                let middle = least.midpoint(beyond);
                match read(middle, reader)? {
                    Some(other) if other.first <= chunk => (least, number, page) = (middle, middle, other),
                    _ => beyond = middle,
                }
            }
        }
        if let Ok(place) = page.entries.binary_search_by_key(&chunk, |(number, _)| *number) {
            found.push(page.entries[place]);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::header::IndexCounts;
    use super::super::rank::TextIndex;
    use super::super::{IndexedChunk, build};
    use super::*;
    use std::cell::Cell;
    use std::collections::HashMap;

    /// Pages in memory, and the number of pages read.
    struct Counted<'a>(&'a HashMap<(i64, u32), Vec<u8>>, &'a Cell<usize>);

    impl Pages for Counted<'_> {
        type Error = Damage;

        fn page(&mut self, segment: i64, page: u32) -> Result<Option<Vec<u8>>, Damage> {
            self.1.set(self.1.get() + 1);
            Ok(self.0.get(&(segment, page)).cloned())
        }
    }

    const CHUNKS: i64 = 50_000;

    /// A chunk's number and length in words.
    fn chunk(place: i64) -> (i64, u32) {
        (place * 3 - 1000, (place * 7919 % 997) as u32)
    }

    /// The pages of a segment whose chunks contain the same word.
    fn pages() -> HashMap<(i64, u32), Vec<u8>> {
        let mut pages = HashMap::new();
        let chunks = (0..CHUNKS).map(chunk);
        let chunks = chunks.map(|(chunk, words)| IndexedChunk { chunk, words, terms: vec![(b"w", 1, 0)] });
        let sink = |page, bytes: &[u8]| {
            pages.insert((5, page), bytes.to_vec());
            Ok::<_, Damage>(())
        };
        build(chunks.collect(), IndexCounts::default(), sink).unwrap();
        pages
    }

    /// Looks chunks up with wrong lengths. Returns the numbers that were found, and how many pages were read.
    fn found(pages: &HashMap<(i64, u32), Vec<u8>>, chunks: &[(i64, u32)]) -> (Vec<i64>, usize) {
        let read = Cell::new(0);
        let mut index = TextIndex::open(Counted(pages, &read), [5]).unwrap();
        let terms = index.terms([&b"w"[..]]).unwrap();
        let wrong: Vec<_> = chunks.iter().map(|(chunk, words)| (*chunk, words + 1000)).collect();
        read.set(0);
        let best = index.best_of(&terms, chunks.len(), &wrong, None).unwrap();
        let mut numbers: Vec<i64> = best.into_iter().map(|(chunk, _)| chunk).collect();
        numbers.sort_unstable();
        (numbers, read.get())
    }

    #[test]
    fn chunks_are_found_by_the_lengths_that_are_noted() {
        let mut pages = pages();
        let all: Vec<_> = (0..CHUNKS).map(chunk).collect();
        let mut some: Vec<_> = all.iter().copied().filter(|(_, words)| *words == 996).collect();
        some.drain(1..some.len() - 1);
        let numbers: Vec<i64> = some.iter().map(|(chunk, _)| *chunk).collect();
        let (without, read_without) = found(&pages, &some);
        write_lengths(&all, |page, bytes| {
            assert!(bytes.len() <= PAGE_BYTES && page > 0);
            pages.insert((GIVEN_LENGTHS, page), bytes.to_vec());
            Ok::<_, Damage>(())
        })
        .unwrap();
        let lengths = pages.keys().filter(|(segment, _)| *segment == GIVEN_LENGTHS).count();
        assert!(lengths > 10, "{lengths} pages of lengths");
        let (with, read_with) = found(&pages, &some);
        assert_eq!((&without, &with), (&numbers, &numbers));
        assert!(read_with < read_without, "{read_with} pages instead of {read_without}");
        // Chunks without a stored length are found as well.
        pages.remove(&(GIVEN_LENGTHS, 1));
        assert_eq!(found(&pages, &some).0, numbers);
        pages.insert((GIVEN_LENGTHS, 1), vec![0xff; 100]);
        let read = Cell::new(0);
        let mut index = TextIndex::open(Counted(&pages, &read), [5]).unwrap();
        let terms = index.terms([&b"w"[..]]).unwrap();
        let damage = index.best_of(&terms, 1, &[(numbers[0], 5000)], None).unwrap_err();
        assert_eq!((damage.segment, damage.page), (GIVEN_LENGTHS, 1));
    }

    #[test]
    fn numbers_of_chunks_are_read_until_all_are_found() {
        let pages = pages();
        let shortest = chunk(0);
        let (_, all) = found(&pages, &[chunk(0), chunk(CHUNKS - 1)]);
        let (numbers, read) = found(&pages, &[shortest]);
        assert_eq!(numbers, [shortest.0]);
        assert!(read * 3 < all, "{read} pages of {all}");
    }
}
