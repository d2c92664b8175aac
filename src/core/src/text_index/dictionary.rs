//! The terms of a segment, sorted, in a tree of blocks.
//!
//! In a block, each term lacks the prefix that it shares with the term before it. A leaf stores for each term the number of
//! its postings, and either the postings or their place. A block above the leaves stores, for each block below, its first
//! term and its place.

use super::bytes::{Bytes, put_number, shared_length};
use super::header::Place;
use super::segment::{PageReader, Segment};
use super::{Damage, Pages};

/// A block ends when it reaches this length, bytes.
const BLOCK_BYTES: usize = 1024;

/// Maximum length of postings that are stored in the dictionary itself, bytes.
const MAX_INLINE_BYTES: usize = 24;

/// Maximum length of a block, bytes: its last term may be long.
const MAX_BLOCK_BYTES: u32 = 1 << 20;

/// More levels than any segment has: each level is at least ten times as large as the one above.
const MAX_DEPTH: u8 = 12;

/// The place of a term's postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    /// In the dictionary itself.
    Inline(Vec<u8>),
    /// Elsewhere in the segment.
    At(Place),
}

/// The dictionary's entry for a term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermEntry {
    /// Number of chunks that contain it.
    pub count: u32,
    /// Its postings.
    pub list: List,
}

/// A level of the tree that is being written.
#[derive(Default)]
struct DictionaryLevel {
    block: Vec<u8>,
    first: Vec<u8>,
    last: Vec<u8>,
}

/// Writes a dictionary; its blocks go to `put`.
#[derive(Default)]
pub struct DictionaryWriter {
    levels: Vec<DictionaryLevel>,
}

impl DictionaryWriter {
    /// Adds a term, which must be greater than the one before.
    pub fn add<E>(
        &mut self,
        term: &[u8],
        count: u32,
        postings: &[u8],
        put: &mut impl FnMut(&[u8]) -> Result<Place, E>,
    ) -> Result<(), E> {
        let mut entry = Vec::with_capacity(postings.len().min(MAX_INLINE_BYTES) + 16);
        put_number(&mut entry, u64::from(count));
        let is_inline = postings.len() <= MAX_INLINE_BYTES;
        put_number(&mut entry, (postings.len() as u64) << 1 | u64::from(is_inline));
        if is_inline {
            entry.extend_from_slice(postings);
        } else {
            put_number(&mut entry, put(postings)?.offset);
        }
        self.add_to(0, term, &entry, put)
    }

    /// Writes the remaining blocks. Returns the place of the root and the number of levels below it.
    pub fn finish<E>(mut self, put: &mut impl FnMut(&[u8]) -> Result<Place, E>) -> Result<(Place, u8), E> {
        let mut depth = 0;
        while depth + 1 < self.levels.len() {
            self.flush(depth, put)?;
            depth += 1;
        }
        let root = self.levels.pop().unwrap_or_default();
        Ok((put(&root.block)?, depth as u8))
    }

    fn add_to<E>(
        &mut self,
        level: usize,
        term: &[u8],
        entry: &[u8],
        put: &mut impl FnMut(&[u8]) -> Result<Place, E>,
    ) -> Result<(), E> {
        if self.levels.len() <= level {
            self.levels.push(DictionaryLevel::default());
        }
        if self.levels[level].block.len() >= BLOCK_BYTES {
            self.flush(level, put)?;
        }
        let to = &mut self.levels[level];
        if to.block.is_empty() {
            to.first = term.to_vec();
            to.last.clear();
        }
        let shared = shared_length(&to.last, term);
        put_number(&mut to.block, shared as u64);
        put_number(&mut to.block, (term.len() - shared) as u64);
        to.block.extend_from_slice(&term[shared..]);
        to.block.extend_from_slice(entry);
        to.last = term.to_vec();
        Ok(())
    }

    /// Writes a level's block, and adds its entry to the level above.
    fn flush<E>(&mut self, level: usize, put: &mut impl FnMut(&[u8]) -> Result<Place, E>) -> Result<(), E> {
        let full = std::mem::take(&mut self.levels[level]);
        let place = put(&full.block)?;
        let mut entry = Vec::new();
        put_number(&mut entry, place.offset);
        put_number(&mut entry, u64::from(place.length));
        self.add_to(level + 1, &full.first, &entry, put)
    }
}

/// A block that is being read.
#[derive(Default)]
struct OpenBlock {
    bytes: Vec<u8>,
    at: usize,
    offset: u64,
    term: Vec<u8>,
}

impl OpenBlock {
    fn read<P: Pages>(segment: &Segment, place: Place, reader: &mut PageReader<P>) -> Result<Self, P::Error> {
        let mut bytes = Vec::new();
        if place.length > MAX_BLOCK_BYTES {
            return Err(segment.damage(place.offset, "a block of the dictionary is too long").into());
        }
        segment.read(place, reader, &mut bytes)?;
        Ok(Self { bytes, at: 0, offset: place.offset, term: Vec::new() })
    }

    fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn damage(&self, segment: &Segment) -> Damage {
        segment.damage(self.offset, "a block of the dictionary is malformed")
    }

    /// Reads the next term, and its entry with `read`.
    fn next<T>(&mut self, read: impl FnOnce(&mut Bytes) -> Option<T>) -> Option<T> {
        let mut rest = Bytes(&self.bytes[self.at..]);
        let (shared, length) = (rest.number_u32()? as usize, rest.number_u32()? as usize);
        let suffix = rest.take(length)?;
        if shared > self.term.len() {
            return None;
        }
        self.term.truncate(shared);
        self.term.extend_from_slice(suffix);
        let found = read(&mut rest)?;
        self.at = self.bytes.len() - rest.0.len();
        Some(found)
    }
}

fn read_place(rest: &mut Bytes) -> Option<Place> {
    Some(Place { offset: rest.number()?, length: rest.number_u32()? })
}

fn read_entry(rest: &mut Bytes) -> Option<TermEntry> {
    let count = rest.number_u32()?;
    let number = rest.number()?;
    let length = u32::try_from(number >> 1).ok()?;
    let list = if number & 1 == 1 {
        List::Inline(rest.take(length as usize)?.to_vec())
    } else {
        List::At(Place { offset: rest.number()?, length })
    };
    (count > 0).then_some(TermEntry { count, list })
}

/// The entry of a term in a segment's dictionary.
///
/// # Errors
/// [`Damage`]; errors of reading pages.
pub fn find<P: Pages>(
    segment: &Segment,
    term: &[u8],
    reader: &mut PageReader<P>,
) -> Result<Option<TermEntry>, P::Error> {
    let mut place = segment.header.root;
    for _ in 0..segment.header.depth {
        let mut block = OpenBlock::read(segment, place, reader)?;
        let mut below = None;
        while !block.is_at_end() {
            let next = block.next(read_place).ok_or_else(|| block.damage(segment))?;
            if block.term.as_slice() > term {
                break;
            }
            below = Some(next);
        }
        let Some(below) = below else { return Ok(None) };
        place = below;
    }
    let mut block = OpenBlock::read(segment, place, reader)?;
    while !block.is_at_end() {
        let entry = block.next(read_entry).ok_or_else(|| block.damage(segment))?;
        match block.term.as_slice().cmp(term) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Ok(Some(entry)),
            std::cmp::Ordering::Greater => return Ok(None),
        }
    }
    Ok(None)
}

/// Iterates over all terms of a segment, in order.
pub struct Terms {
    /// The blocks from the root to a leaf.
    path: Vec<OpenBlock>,
    depth: usize,
    /// The term that was read last.
    last: Option<Vec<u8>>,
}

impl Terms {
    /// Starts before the first term.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn new<P: Pages>(segment: &Segment, reader: &mut PageReader<P>) -> Result<Self, P::Error> {
        if segment.header.depth > MAX_DEPTH {
            return Err(segment.damage(segment.header.root.offset, "the dictionary is too deep").into());
        }
        let depth = usize::from(segment.header.depth);
        let root = OpenBlock::read(segment, segment.header.root, reader)?;
        Ok(Self { path: vec![root], depth, last: None })
    }

    /// Starts before the first term that is not less than `term`.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn from<P: Pages>(
        term: &[u8],
        segment: &Segment,
        reader: &mut PageReader<P>,
    ) -> Result<Self, P::Error> {
        let mut terms = Self::new(segment, reader)?;
        while terms.path.len() <= terms.depth {
            let Some(block) = terms.path.last_mut() else { break };
            let mut below = None;
            while !block.is_at_end() {
                let (at, before) = (block.at, block.term.clone());
                let next = block.next(read_place).ok_or_else(|| block.damage(segment))?;
                if below.is_some() && block.term.as_slice() > term {
                    // This entry is read again after the block below.
                    (block.at, block.term) = (at, before);
                    break;
                }
                below = Some(next);
            }
            let Some(below) = below else { break };
            terms.path.push(OpenBlock::read(segment, below, reader)?);
        }
        terms.skip_lesser(term, segment)?;
        Ok(terms)
    }

    /// Skips the terms of the current leaf that are less than `term`.
    fn skip_lesser(&mut self, term: &[u8], segment: &Segment) -> Result<(), Damage> {
        let Some(leaf) = self.path.last_mut() else { return Ok(()) };
        while !leaf.is_at_end() {
            let (at, before) = (leaf.at, leaf.term.clone());
            leaf.next(read_entry).ok_or_else(|| leaf.damage(segment))?;
            if leaf.term.as_slice() >= term {
                (leaf.at, leaf.term) = (at, before);
                break;
            }
        }
        Ok(())
    }

    /// The next term.
    ///
    /// # Errors
    /// [`Damage`]; errors of reading pages.
    pub fn next<P: Pages>(
        &mut self,
        segment: &Segment,
        reader: &mut PageReader<P>,
    ) -> Result<Option<(Vec<u8>, TermEntry)>, P::Error> {
        while !self.path.is_empty() {
            let is_leaf = self.path.len() > self.depth;
            let Some(block) = self.path.last_mut().filter(|block| !block.is_at_end()) else {
                self.path.pop();
                continue;
            };
            if is_leaf {
                let entry = block.next(read_entry).ok_or_else(|| block.damage(segment))?;
                let term = block.term.clone();
                // A damaged tree whose branches meet could have an unbounded number of terms.
                if self.last.replace(term.clone()).is_some_and(|last| last >= term) {
                    let what = "terms of the dictionary are not in order";
                    return Err(segment.damage(segment.header.root.offset, what).into());
                }
                return Ok(Some((term, entry)));
            }
            let place = block.next(read_place).filter(|place| place.length > 0);
            let place = place.ok_or_else(|| block.damage(segment))?;
            self.path.push(OpenBlock::read(segment, place, reader)?);
        }
        Ok(None)
    }
}
