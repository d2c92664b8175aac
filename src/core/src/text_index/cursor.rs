//! Iterates over the postings of one term in one segment.

use super::Pages;
use super::dictionary::{List, TermEntry};
use super::header::Place;
use super::postings::{self, BLOCK, Block, Decoded, TABLE_LENGTH_BYTES};
use super::segment::{PageReader, Segment};

/// A position in a list of postings, which only moves forward.
pub struct Cursor {
    list: List,
    blocks: Vec<Block>,
    /// The current block; past the last one at the end.
    block: usize,
    /// The block that is decoded.
    decoded_block: usize,
    decoded: Decoded,
    at: usize,
    bytes: Vec<u8>,
}

impl Cursor {
    /// Starts before the first posting of a term.
    pub fn new<P: Pages>(
        entry: TermEntry,
        segment: &Segment,
        reader: &mut PageReader<P>,
    ) -> Result<Self, P::Error> {
        let mut bytes = Vec::new();
        let docs = segment.header.docs;
        let blocks = match &entry.list {
            List::Inline(list) => postings::blocks(list, entry.count, list.len() as u32, docs),
            List::At(place) => {
                let mut length = place.length;
                if entry.count as usize >= BLOCK {
                    let first = place.length.min(TABLE_LENGTH_BYTES as u32);
                    segment.read(Place { length: first, ..*place }, reader, &mut bytes)?;
                    let table = postings::table_length(&bytes).and_then(|table| u32::try_from(table).ok());
                    length = table.filter(|table| *table <= place.length).unwrap_or(0);
                }
                segment.read(Place { length, ..*place }, reader, &mut bytes)?;
                postings::blocks(&bytes, entry.count, place.length, docs)
            }
        };
        let offset =
            if let List::At(place) = &entry.list { place.offset } else { segment.header.root.offset };
        let blocks = blocks.ok_or_else(|| segment.damage(offset, "a list of postings is malformed"))?;
        let (decoded, at) = (Decoded::default(), 0);
        Ok(Self { list: entry.list, blocks, block: 0, decoded_block: usize::MAX, decoded, at, bytes })
    }

    /// The block that may contain the first posting at or after an ordinal, without reading the block.
    #[inline]
    pub fn block_from(&mut self, ordinal: u32) -> Option<&Block> {
        while self.blocks.get(self.block).is_some_and(|block| block.last < ordinal) {
            self.block += 1;
        }
        self.blocks.get(self.block)
    }

    /// Ordinal of the first posting at or after `ordinal`.
    #[inline]
    pub fn seek<P: Pages>(
        &mut self,
        ordinal: u32,
        segment: &Segment,
        reader: &mut PageReader<P>,
    ) -> Result<Option<u32>, P::Error> {
        if self.block_from(ordinal).is_none() {
            return Ok(None);
        }
        if self.decoded_block != self.block {
            self.decode(segment, reader)?;
        }
        // The block's last posting is not before the ordinal.
        while self.decoded.ordinals[self.at] < ordinal {
            self.at += 1;
        }
        Ok(Some(self.decoded.ordinals[self.at]))
    }

    /// Passes the remaining postings to `show`: ordinal, frequency and fields.
    pub fn each<P: Pages>(
        mut self,
        segment: &Segment,
        reader: &mut PageReader<P>,
        mut show: impl FnMut(u32, u32, u8, &mut PageReader<P>) -> Result<(), P::Error>,
    ) -> Result<(), P::Error> {
        let mut from = 0;
        while let Some(ordinal) = self.seek(from, segment, reader)? {
            show(ordinal, self.frequency(), self.decoded.fields[self.at] as u8, reader)?;
            from = ordinal + 1;
        }
        Ok(())
    }

    /// Frequency of the term in the chunk of the last posting that was found.
    #[inline]
    pub fn frequency(&self) -> u32 {
        self.decoded.frequencies[self.at]
    }

    fn decode<P: Pages>(&mut self, segment: &Segment, reader: &mut PageReader<P>) -> Result<(), P::Error> {
        let block = &self.blocks[self.block];
        let offset = match &self.list {
            List::Inline(list) => {
                let bytes = list.get(block.offset as usize..).unwrap_or_default();
                self.bytes.clear();
                self.bytes.extend_from_slice(&bytes[..bytes.len().min(block.length as usize)]);
                segment.header.root.offset
            }
            List::At(place) => {
                let offset = place.offset + u64::from(block.offset);
                segment.read(Place { offset, length: block.length }, reader, &mut self.bytes)?;
                offset
            }
        };
        postings::decode(&self.bytes, block, &mut self.decoded)
            .ok_or_else(|| segment.damage(offset, "a block of postings is malformed"))?;
        (self.decoded_block, self.at) = (self.block, 0);
        Ok(())
    }
}
