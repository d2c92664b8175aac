//! The byte format of a term's postings.
//!
//! Fewer than 128 postings are written one by one. Otherwise, each 128 postings form a *block*, and the rest is written one
//! by one. A table before them has for each block its last ordinal, its maximum frequency and its length. Ranking reads the
//! table, and only those blocks that may contain a chunk with a sufficient score.
//!
//! A block stores ordinals as differences and frequencies minus 1. Each of the three sequences (ordinals, frequencies,
//! fields) uses as many bits per value as the largest value of the block needs.

use super::Posting;
use super::bytes::{Bytes, put_number};
use bitpacking::{BitPacker, BitPacker4x};

/// Number of postings in a block.
pub const BLOCK: usize = BitPacker4x::BLOCK_LEN;

/// The place of a block in the bytes of its list, and the bounds of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Ordinal of its first posting, or a lower one.
    pub first: u32,
    /// Ordinal of its last posting.
    pub last: u32,
    /// Maximum frequency of a posting.
    pub max_frequency: u32,
    /// Number of postings.
    pub count: u32,
    /// Offset in the list's bytes.
    pub offset: u32,
    /// Length in bytes.
    pub length: u32,
}

/// The postings of a block.
pub struct Decoded {
    /// Ordinals.
    pub ordinals: [u32; BLOCK],
    /// Frequencies.
    pub frequencies: [u32; BLOCK],
    /// Bits of fields.
    pub fields: [u32; BLOCK],
    /// Number of postings.
    pub count: usize,
}

impl Default for Decoded {
    fn default() -> Self {
        Self { ordinals: [0; BLOCK], frequencies: [0; BLOCK], fields: [0; BLOCK], count: 0 }
    }
}

/// Encodes a list of postings, which must be sorted by ordinal.
pub fn encode(postings: &[Posting]) -> Vec<u8> {
    let (blocks, rest) = postings.as_chunks::<BLOCK>();
    if blocks.is_empty() {
        return encode_few(rest, 0);
    }
    let (mut table, mut encoded, mut next) = (Vec::new(), Vec::new(), 0);
    let mut note = |postings: &[Posting], bytes: &[u8], next: u32| {
        let Some(last) = postings.last() else { return next };
        let max_frequency = postings.iter().map(|posting| posting.frequency).max().unwrap_or(1);
        put_number(&mut table, u64::from(last.ordinal - next));
        put_number(&mut table, u64::from(max_frequency));
        put_number(&mut table, bytes.len() as u64);
        encoded.extend_from_slice(bytes);
        last.ordinal + 1
    };
    for block in blocks {
        next = note(block, &encode_block(block, next), next);
    }
    note(rest, &encode_few(rest, next), next);
    let mut bytes = Vec::with_capacity(table.len() + encoded.len() + 5);
    put_number(&mut bytes, table.len() as u64);
    bytes.append(&mut table);
    bytes.append(&mut encoded);
    bytes
}

/// Number of bytes at the beginning of a list that are enough to determine the length of its table.
pub const TABLE_LENGTH_BYTES: usize = 5;

/// The length of the table of a list with at least [`BLOCK`] postings, including the length field.
pub fn table_length(bytes: &[u8]) -> Option<usize> {
    let mut rest = Bytes(bytes);
    let length = rest.number_u32()? as usize;
    Some(bytes.len() - rest.0.len() + length)
}

/// The blocks of a list of `count` postings. `bytes` are the list's bytes up to the end of the table, or all of them if it
/// has no table. `None` if they are not valid for a list of `length` bytes.
pub fn blocks(bytes: &[u8], count: u32, length: u32, docs: u32) -> Option<Vec<Block>> {
    if (count as usize) < BLOCK {
        let mut decoded = Decoded::default();
        decode_few(bytes, count as usize, 0, &mut decoded)?;
        let max_frequency = *decoded.frequencies[..decoded.count].iter().max()?;
        let (first, last) =
            (*decoded.ordinals.first()?, *decoded.ordinals.get(decoded.count.checked_sub(1)?)?);
        return (last < docs).then(|| vec![Block { first, last, max_frequency, count, offset: 0, length }]);
    }
    let mut offset = u32::try_from(table_length(bytes)?).ok()?;
    let mut table = Bytes(bytes);
    table.number()?;
    let wanted = (count as usize).div_ceil(BLOCK);
    let mut blocks = Vec::with_capacity(wanted.min(bytes.len()));
    let mut next = 0u32;
    for place in 0..wanted {
        let last = next.checked_add(table.number_u32()?).filter(|last| *last < docs)?;
        let (max_frequency, length) = (table.number_u32()?, table.number_u32()?);
        let count = (count - (place * BLOCK) as u32).min(BLOCK as u32);
        blocks.push(Block { first: next, last, max_frequency, count, offset, length });
        offset = offset.checked_add(length)?;
        next = last + 1;
    }
    (offset == length).then_some(blocks)
}

/// Decodes a block from its bytes. `None` if they are not valid for this block.
pub fn decode(bytes: &[u8], block: &Block, decoded: &mut Decoded) -> Option<()> {
    // The postings of a list without a table may begin at any ordinal.
    let next = if block.offset == 0 { 0 } else { block.first };
    if block.count as usize == BLOCK {
        decode_block(bytes, next, decoded)?;
    } else {
        decode_few(bytes, block.count as usize, next, decoded)?;
    }
    let last = decoded.count.checked_sub(1)?;
    (decoded.ordinals[last] == block.last
        && decoded.frequencies[..decoded.count].iter().all(|frequency| *frequency <= block.max_frequency))
    .then_some(())
}

/// Writes postings one by one: the difference from the lowest possible ordinal, with two bits that tell whether frequency
/// and fields follow.
fn encode_few(postings: &[Posting], mut next: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(postings.len() * 2);
    for posting in postings {
        let (is_frequent, has_fields) = (posting.frequency > 1, posting.fields > 0);
        let flags = u64::from(is_frequent) << 1 | u64::from(has_fields);
        put_number(&mut bytes, u64::from(posting.ordinal - next) << 2 | flags);
        if is_frequent {
            put_number(&mut bytes, u64::from(posting.frequency));
        }
        if has_fields {
            bytes.push(posting.fields);
        }
        next = posting.ordinal + 1;
    }
    bytes
}

fn decode_few(bytes: &[u8], count: usize, mut next: u32, decoded: &mut Decoded) -> Option<()> {
    let mut bytes = Bytes(bytes);
    for place in 0..count {
        let number = bytes.number()?;
        let ordinal = next.checked_add(u32::try_from(number >> 2).ok()?)?;
        decoded.ordinals[place] = ordinal;
        decoded.frequencies[place] = if number & 2 == 0 { 1 } else { bytes.number_u32()? };
        decoded.fields[place] = if number & 1 == 0 { 0 } else { u32::from(bytes.byte()?) };
        next = ordinal.checked_add(1)?;
    }
    decoded.count = count;
    bytes.0.is_empty().then_some(())
}

fn encode_block(postings: &[Posting; BLOCK], mut next: u32) -> Vec<u8> {
    let (mut distances, mut frequencies, mut fields) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
    for (place, posting) in postings.iter().enumerate() {
        distances[place] = posting.ordinal - next;
        frequencies[place] = posting.frequency - 1;
        fields[place] = u32::from(posting.fields);
        next = posting.ordinal + 1;
    }
    let packer = BitPacker4x::new();
    let columns = [distances, frequencies, fields];
    let widths = columns.map(|column| packer.num_bits(&column));
    let mut bytes = widths.to_vec();
    for (column, width) in columns.iter().zip(widths) {
        let begin = bytes.len();
        bytes.resize(begin + BitPacker4x::compressed_block_size(width), 0);
        packer.compress(column, &mut bytes[begin..], width);
    }
    bytes
}

fn decode_block(bytes: &[u8], mut next: u32, decoded: &mut Decoded) -> Option<()> {
    let packer = BitPacker4x::new();
    let mut bytes = Bytes(bytes);
    let widths = [bytes.byte()?, bytes.byte()?, bytes.byte()?];
    let columns = [&mut decoded.ordinals, &mut decoded.frequencies, &mut decoded.fields];
    for (column, width) in columns.into_iter().zip(widths) {
        if width > 32 {
            return None;
        }
        packer.decompress(bytes.take(BitPacker4x::compressed_block_size(width))?, column, width);
    }
    for (ordinal, frequency) in decoded.ordinals.iter_mut().zip(&mut decoded.frequencies) {
        *ordinal = next.checked_add(*ordinal)?;
        next = ordinal.checked_add(1)?;
        *frequency = frequency.checked_add(1)?;
    }
    decoded.count = BLOCK;
    bytes.0.is_empty().then_some(())
}
