//! Reads segments.

use super::header::{FORMAT, Header, IndexCounts, Place};
use super::{Damage, PAGE_BYTES, Pages, bytes::Bytes};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

/// Maximum bytes of a list's table, a dictionary's block or a table of lengths. A damaged segment could claim more, and
/// fill the memory.
const MAX_READ_BYTES: u32 = 64 << 20;

/// Number of chunk numbers that are read at a time, from a few pages.
const READ_NUMBERS: u32 = 4096;

/// Maximum number of pages in the cache, 2 MB.
const MAX_HELD_PAGES: usize = 256;

/// Reads pages and caches some of them.
pub struct PageReader<P> {
    pages: P,
    held: HashMap<(i64, u32), Rc<[u8]>>,
}

impl<P: Pages> PageReader<P> {
    /// A reader of these pages.
    pub fn new(pages: P) -> Self {
        Self { pages, held: HashMap::new() }
    }

    fn page(&mut self, segment: i64, page: u32) -> Result<Rc<[u8]>, P::Error> {
        let missing = Damage { segment, page, what: "it is not there" };
        Ok(self.find_page(segment, page)?.ok_or(missing)?)
    }

    /// A page; `None` if it does not exist.
    pub(super) fn find_page(&mut self, segment: i64, page: u32) -> Result<Option<Rc<[u8]>>, P::Error> {
        if let Some(held) = self.held.get(&(segment, page)) {
            return Ok(Some(Rc::clone(held)));
        }
        let Some(bytes) = self.pages.page(segment, page)? else { return Ok(None) };
        let bytes: Rc<[u8]> = bytes.into();
        if self.held.len() >= MAX_HELD_PAGES {
            self.held.clear();
        }
        self.held.insert((segment, page), Rc::clone(&bytes));
        Ok(Some(bytes))
    }
}

/// A segment that was opened.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Its number.
    pub number: i64,
    /// The header.
    pub header: Header,
    /// Length of the header in page 0.
    header_length: usize,
    /// For each length of chunks, the first ordinal and the length, both ascending.
    lengths: Rc<[(u32, u32)]>,
}

/// The positions of segments, sorted by number of chunks, the largest first.
pub(super) fn largest_first(segments: &[Segment]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..segments.len()).collect();
    order.sort_by_key(|place| Reverse(segments[*place].header.docs));
    order
}

impl Segment {
    /// Reads a segment's header.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn open<P: Pages>(number: i64, reader: &mut PageReader<P>) -> Result<Self, P::Error> {
        let page = reader.page(number, 0)?;
        let damage = |what| Damage { segment: number, page: 0, what };
        let (format, _) = postcard::take_from_bytes::<u16>(&page).map_err(|_| damage("it has no header"))?;
        if format != FORMAT {
            return Err(damage("it has the format of another version").into());
        }
        let (header, rest) =
            postcard::take_from_bytes::<Header>(&page).map_err(|_| damage("its header is incomplete"))?;
        if header.chunk_width > 8 || (header.chunk_width == 0 && header.docs > 1) {
            return Err(damage("numbers of chunks have a wrong length").into());
        }
        let header_length = page.len() - rest.len();
        let mut segment = Self { number, header, header_length, lengths: Rc::new([]) };
        if segment.header.docs > 0 {
            segment.lengths = segment.read_lengths(reader)?;
            // Checks that there are as many chunk numbers as the header claims.
            segment.chunk_of(segment.header.docs - 1, reader)?;
        }
        Ok(segment)
    }

    /// The changes that the segment's transactions made.
    pub fn counts(&self) -> IndexCounts {
        self.header.counts
    }

    /// The error for inconsistent bytes at an offset.
    pub(super) fn damage(&self, offset: u64, what: &'static str) -> Damage {
        Damage { segment: self.number, page: self.page_of(offset).0, what }
    }

    /// The page that contains an offset, and the position in the page.
    fn page_of(&self, offset: u64) -> (u32, usize) {
        if self.header.is_small {
            return (0, usize::try_from(offset).unwrap_or(usize::MAX).saturating_add(self.header_length));
        }
        let page = u32::try_from(offset / PAGE_BYTES as u64 + 1).unwrap_or(u32::MAX);
        (page, (offset % PAGE_BYTES as u64) as usize)
    }

    /// Reads the bytes at a place.
    pub(super) fn read<P: Pages>(
        &self,
        place: Place,
        reader: &mut PageReader<P>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), P::Error> {
        bytes.clear();
        if place.length > MAX_READ_BYTES {
            return Err(self.damage(place.offset, "an entry is too long").into());
        }
        let mut offset = place.offset;
        let mut left = place.length as usize;
        while left > 0 {
            let (number, begin) = self.page_of(offset);
            let page = reader.page(self.number, number)?;
            let rest = page.get(begin..).filter(|rest| !rest.is_empty());
            let rest = rest.ok_or_else(|| self.damage(offset, "it ends too early"))?;
            let part = &rest[..rest.len().min(left)];
            bytes.extend_from_slice(part);
            left -= part.len();
            offset += part.len() as u64;
        }
        Ok(())
    }

    fn read_lengths<P: Pages>(&self, reader: &mut PageReader<P>) -> Result<Rc<[(u32, u32)]>, P::Error> {
        let mut bytes = Vec::new();
        self.read(self.header.lengths, reader, &mut bytes)?;
        let damage = || self.damage(self.header.lengths.offset, "the table of lengths is malformed");
        let (mut rest, mut lengths) = (Bytes(&bytes), Vec::new());
        let (mut ordinal, mut length) = (0u32, 0u32);
        while !rest.0.is_empty() {
            let (more, longer) = rest.number_u32().zip(rest.number_u32()).ok_or_else(damage)?;
            let rising = lengths.is_empty() || (more > 0 && longer > 0);
            ordinal = ordinal
                .checked_add(more)
                .filter(|ordinal| rising && *ordinal < self.header.docs)
                .ok_or_else(damage)?;
            length = length.checked_add(longer).ok_or_else(damage)?;
            lengths.push((ordinal, length));
        }
        if lengths.first().is_none_or(|first| first.0 != 0) {
            return Err(damage().into());
        }
        Ok(lengths.into())
    }

    /// The length in words of the chunk with this ordinal.
    #[inline]
    pub fn length_of(&self, ordinal: u32) -> u32 {
        let place = self.lengths.partition_point(|(first, _)| *first <= ordinal);
        place.checked_sub(1).map_or(0, |place| self.lengths[place].1)
    }

    /// The ordinals of all chunks with this length.
    fn ordinals_of(&self, length: u32) -> std::ops::Range<u32> {
        match self.lengths.binary_search_by_key(&length, |(_, length)| *length) {
            Ok(place) => {
                self.lengths[place].0..self.lengths.get(place + 1).map_or(self.header.docs, |next| next.0)
            }
            Err(_) => 0..0,
        }
    }

    /// The number of the chunk with this ordinal.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn chunk_of<P: Pages>(&self, ordinal: u32, reader: &mut PageReader<P>) -> Result<i64, P::Error> {
        let width = u32::from(self.header.chunk_width);
        let place = Place { offset: u64::from(ordinal) * u64::from(width), length: width };
        let (page, begin) = self.page_of(place.offset);
        let held = if width == 0 { None } else { Some(reader.page(self.number, page)?) };
        if let Some(bytes) = held.as_ref().and_then(|page| page.get(begin..begin + width as usize)) {
            return Ok(self.chunk_from(bytes));
        }
        let mut bytes = Vec::new();
        self.read(place, reader, &mut bytes)?;
        Ok(self.chunk_from(&bytes))
    }

    /// The number of a chunk from its stored bytes, at most eight.
    fn chunk_from(&self, bytes: &[u8]) -> i64 {
        let mut number = [0; 8];
        number[..bytes.len()].copy_from_slice(bytes);
        self.header.least_chunk.wrapping_add(i64::from_le_bytes(number))
    }

    /// Passes the ordinals and numbers of all chunks to `show`, in the order of ordinals, until `show` breaks.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub(super) fn each_chunk<P: Pages>(
        &self,
        reader: &mut PageReader<P>,
        mut show: impl FnMut(u32, i64) -> ControlFlow<()>,
    ) -> Result<(), P::Error> {
        let width = u32::from(self.header.chunk_width);
        let (mut first, mut bytes) = (0, Vec::new());
        while first < self.header.docs {
            let count = READ_NUMBERS.min(self.header.docs - first);
            let place = Place { offset: u64::from(first) * u64::from(width), length: count * width };
            self.read(place, reader, &mut bytes)?;
            for at in 0..count {
                let number = &bytes[(at * width) as usize..((at + 1) * width) as usize];
                if show(first + at, self.chunk_from(number)).is_break() {
                    return Ok(());
                }
            }
            first += count;
        }
        Ok(())
    }

    /// The ordinal of a chunk with this length, if the segment contains it.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn ordinal_of<P: Pages>(
        &self,
        chunk: i64,
        length: u32,
        reader: &mut PageReader<P>,
    ) -> Result<Option<u32>, P::Error> {
        let mut ordinals = self.ordinals_of(length);
        while !ordinals.is_empty() {
            let middle = ordinals.start.midpoint(ordinals.end);
            match self.chunk_of(middle, reader)?.cmp(&chunk) {
                std::cmp::Ordering::Equal => return Ok(Some(middle)),
                std::cmp::Ordering::Less => ordinals.start = middle + 1,
                std::cmp::Ordering::Greater => ordinals.end = middle,
            }
        }
        Ok(None)
    }
}
