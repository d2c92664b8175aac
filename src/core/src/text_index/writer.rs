//! Writes segments.

use super::bytes::put_number;
use super::dictionary::DictionaryWriter;
use super::header::{FORMAT, Header, IndexCounts, Place};
use super::{PAGE_BYTES, Posting, postings};

/// Writes a segment, page by page. The caller adds the chunks first, in the order of ordinals, then the terms in sorted order.
pub struct SegmentWriter<S> {
    out: Out<S>,
    header: Header,
    lengths: Vec<u8>,
    last: Option<(u32, u32)>,
    dictionary: DictionaryWriter,
}

/// The sequence of bytes after the header.
struct Out<S> {
    sink: S,
    buffer: Vec<u8>,
    offset: u64,
    pages: u32,
}

impl<E, S: FnMut(u32, &[u8]) -> Result<(), E>> Out<S> {
    fn put(&mut self, bytes: &[u8]) -> Result<Place, E> {
        let place = Place { offset: self.offset, length: bytes.len() as u32 };
        self.offset += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        // The last page stays in the buffer, so that a short segment can follow its header in page 0.
        let mut begin = 0;
        while self.buffer.len() - begin > PAGE_BYTES {
            self.pages += 1;
            (self.sink)(self.pages, &self.buffer[begin..begin + PAGE_BYTES])?;
            begin += PAGE_BYTES;
        }
        self.buffer.drain(..begin);
        Ok(place)
    }
}

impl<E, S: FnMut(u32, &[u8]) -> Result<(), E>> SegmentWriter<S> {
    /// Begins a segment of chunks whose numbers are in this range, both ends included. Its pages go to `sink`, with their
    /// numbers; page 0 is the last.
    pub fn new(least_chunk: i64, greatest_chunk: i64, sink: S) -> Self {
        let span = greatest_chunk.wrapping_sub(least_chunk).cast_unsigned();
        let chunk_width = (u64::BITS - span.leading_zeros()).div_ceil(8) as u8;
        Self {
            out: Out { sink, buffer: Vec::new(), offset: 0, pages: 0 },
            header: Header { format: FORMAT, least_chunk, chunk_width, ..Header::default() },
            lengths: Vec::new(),
            last: None,
            dictionary: DictionaryWriter::default(),
        }
    }

    /// Adds a chunk of `words` words, after all chunks that are shorter or have the same length and a lower number. Returns
    /// its ordinal.
    pub fn chunk(&mut self, chunk: i64, words: u32) -> Result<u32, E> {
        let number = chunk.wrapping_sub(self.header.least_chunk).to_le_bytes();
        self.out.put(&number[..usize::from(self.header.chunk_width)])?;
        let ordinal = self.header.docs;
        if self.last.is_none_or(|(_, length)| length != words) {
            let (before, length) = self.last.unwrap_or_default();
            put_number(&mut self.lengths, u64::from(ordinal - before));
            put_number(&mut self.lengths, u64::from(words - length));
            self.last = Some((ordinal, words));
        }
        self.header.docs += 1;
        self.header.words += u64::from(words);
        Ok(ordinal)
    }

    /// Adds a term with its postings: at least one, sorted by ordinal.
    pub fn term(&mut self, term: &[u8], list: &[Posting]) -> Result<(), E> {
        let out = &mut self.out;
        self.dictionary.add(term, list.len() as u32, &postings::encode(list), &mut |bytes| out.put(bytes))
    }

    /// Writes the rest of the segment.
    pub fn finish(self, counts: IndexCounts) -> Result<Header, E> {
        let Self { mut out, mut header, lengths, dictionary, .. } = self;
        (header.root, header.depth) = dictionary.finish(&mut |bytes| out.put(bytes))?;
        header.lengths = out.put(&lengths)?;
        header.counts = counts;
        header.is_small = true;
        let mut first = encode(&header);
        if out.pages == 0 && first.len() + out.buffer.len() <= PAGE_BYTES {
            first.extend_from_slice(&out.buffer);
        } else {
            header.is_small = false;
            first = encode(&header);
            (out.sink)(out.pages + 1, &out.buffer)?;
        }
        (out.sink)(0, &first)?;
        Ok(header)
    }
}

fn encode(header: &Header) -> Vec<u8> {
    // Serialising the header cannot fail.
    postcard::to_stdvec(header).unwrap_or_default()
}
