//! Reads PostgreSQL's `tsvector` from its bytes, and collects the terms of a chunk.
//!
//! The bytes are those of `src/include/tsearch/ts_type.h` after the varlena header: an `i32` count, that many `WordEntry`
//! words, then the lexemes, sorted, each followed by its positions if it has any.

use thiserror::Error;

/// Maximum length of a lexeme, bytes (less than `MAXSTRLEN`).
const MAX_LEXEME_BYTES: usize = (1 << 11) - 2;

/// A vector that cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TsVectorError {
    /// The bytes end too early.
    #[error("internal: malformed tsvector")]
    Malformed,
}

/// A vector's lexemes, read in place.
#[derive(Debug, Clone, Copy)]
pub struct Lexemes<'a> {
    entries: &'a [u8],
    strings: &'a [u8],
    count: usize,
}

impl<'a> Lexemes<'a> {
    /// Reads the bytes after a `tsvector`'s varlena header.
    pub fn new(payload: &'a [u8]) -> Result<Self, TsVectorError> {
        let (count, rest) = payload.split_first_chunk().ok_or(TsVectorError::Malformed)?;
        let count = usize::try_from(i32::from_ne_bytes(*count)).map_err(|_| TsVectorError::Malformed)?;
        let (entries, strings) = rest.split_at_checked(count * 4).ok_or(TsVectorError::Malformed)?;
        Ok(Self { entries, strings, count })
    }

    /// Each lexeme with its frequency and the fields that its weights stand for, for a vector made by `to_tsvector`.
    pub fn occurrences(self) -> impl Iterator<Item = (&'a [u8], u32, u8)> {
        (0..self.count).filter_map(move |i| {
            let entry = self.entry(i)?;
            Some((entry.lexeme, u32::from(entry.positions().unwrap_or(1)), entry.fields()))
        })
    }

    #[inline]
    fn entry(&self, index: usize) -> Option<WordEntry<'a>> {
        let word = self.entries.get(index * 4..)?.first_chunk()?;
        let (has_positions, length, offset) = unpack(u32::from_ne_bytes(*word));
        let lexeme = self.strings.get(offset..offset + length)?;
        let after = (offset + length).next_multiple_of(2);
        let tail = if has_positions { self.strings.get(after..)? } else { &[] };
        Some(WordEntry { lexeme, tail })
    }
}

struct WordEntry<'a> {
    lexeme: &'a [u8],
    /// Begins with the lexeme's positions; empty if it has none.
    tail: &'a [u8],
}

/// Fields of a chunk that may contain a term, as bits.
pub mod fields {
    /// The row's title; weight A in a vector.
    pub const TITLE: u8 = 1;
    /// Headings; weight B in a vector.
    pub const HEADING: u8 = 2;
    /// The text; weight D in a vector, like lexemes without a weight.
    pub const CONTENT: u8 = 4;
}

impl WordEntry<'_> {
    /// Number of positions.
    #[inline]
    fn positions(&self) -> Option<u16> {
        Some(u16::from_ne_bytes(*self.tail.first_chunk()?))
    }

    /// The fields that the weights of the positions stand for.
    fn fields(&self) -> u8 {
        let count = usize::from(self.positions().unwrap_or(0));
        let positions = self.tail.get(2..).unwrap_or_default().as_chunks().0.iter().take(count);
        // The weight is in the two upper bits (`WEP_GETWEIGHT`).
        positions.fold(0, |found, position| {
            found
                | match u16::from_ne_bytes(*position) >> 14 {
                    3 => fields::TITLE,
                    2 => fields::HEADING,
                    _ => fields::CONTENT,
                }
        })
    }
}

/// Unpacks a `WordEntry`: a C bit-field of 1, 11 and 20 bits, which compilers lay out from the low end on little-endian machines.
#[inline]
fn unpack(word: u32) -> (bool, usize, usize) {
    if cfg!(target_endian = "little") {
        (word & 1 == 1, (word >> 1 & 0x7ff) as usize, (word >> 12) as usize)
    } else {
        (word >> 31 == 1, (word >> 20 & 0x7ff) as usize, (word & 0xf_ffff) as usize)
    }
}

/// The terms of one chunk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkTerms {
    /// Lexemes with their frequencies and [`fields`], sorted by lexeme.
    terms: Vec<(Vec<u8>, u32, u8)>,
    /// Length of the chunk, words: the sum of the frequencies.
    pub words: u32,
}

impl ChunkTerms {
    /// Combines the payloads of the vectors that `to_tsvector` made of the pieces of a text, and further words with their
    /// fields, one entry per occurrence.
    pub fn new(
        payloads: &[Vec<u8>],
        words: impl IntoIterator<Item = (Vec<u8>, u8)>,
    ) -> Result<Self, TsVectorError> {
        let mut terms: Vec<_> = words.into_iter().map(|(word, fields)| (word, 1, fields)).collect();
        for payload in payloads {
            let found = Lexemes::new(payload)?.occurrences();
            terms.extend(found.map(|(lexeme, count, fields)| (lexeme.to_vec(), count, fields)));
        }
        terms.retain(|(lexeme, ..)| !lexeme.is_empty() && lexeme.len() <= MAX_LEXEME_BYTES);
        terms.sort_unstable();
        terms.dedup_by(|(lexeme, count, fields), (kept, sum, union)| {
            let is_same = lexeme == kept;
            if is_same {
                *sum += *count;
                *union |= *fields;
            }
            is_same
        });
        let words = terms.iter().map(|(_, frequency, _)| frequency).sum();
        Ok(Self { terms, words })
    }

    /// Adds the terms of `others` that are missing here, each once; they do not count for the length.
    pub fn add_missing(&mut self, others: Self) {
        let known = self.terms.len();
        for (lexeme, _, fields) in others.terms {
            if self.terms[..known].binary_search_by(|(term, ..)| term.cmp(&lexeme)).is_err() {
                self.terms.push((lexeme, 1, fields));
            }
        }
        self.terms.sort_unstable();
    }

    /// The distinct lexemes in sorted order, with their frequencies and fields.
    pub fn frequencies(&self) -> impl Iterator<Item = (&[u8], u32, u8)> {
        self.terms.iter().map(|(lexeme, frequency, fields)| (lexeme.as_slice(), *frequency, *fields))
    }

    /// The distinct lexemes in sorted order.
    pub fn lexemes(&self) -> impl Iterator<Item = &[u8]> {
        self.terms.iter().map(|(lexeme, ..)| lexeme.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(terms: &[(&str, u32, u8)]) -> ChunkTerms {
        let mut terms: Vec<_> =
            terms.iter().map(|(l, f, fields)| (l.as_bytes().to_vec(), *f, *fields)).collect();
        terms.sort();
        let words = terms.iter().map(|(_, f, _)| f).sum();
        ChunkTerms { terms, words }
    }

    fn pack(has_positions: bool, length: usize, offset: usize) -> u32 {
        let (flag, length, offset) = (u32::from(has_positions), length as u32, offset as u32);
        if cfg!(target_endian = "little") {
            flag | length << 1 | offset << 12
        } else {
            flag << 31 | length << 20 | offset
        }
    }

    #[test]
    fn what_to_tsvector_made_is_counted_by_positions() {
        // 'a':1,5 'b' by hand: two entries, then "a", padding, the number of positions, two positions, and "b".
        let mut payload = 2i32.to_ne_bytes().to_vec();
        payload.extend(pack(true, 1, 0).to_ne_bytes());
        payload.extend(pack(false, 1, 8).to_ne_bytes());
        payload.extend(b"a\0");
        // The first position has the weight A.
        for number in [2u16, 1 | 3 << 14, 5] {
            payload.extend(number.to_ne_bytes());
        }
        payload.extend(b"b");
        assert_eq!(
            ChunkTerms::new(&[payload], [(b"c".to_vec(), fields::HEADING), (b"a".to_vec(), 0)]).unwrap(),
            chunk(&[("a", 3, fields::TITLE | fields::CONTENT), ("b", 1, 0), ("c", 1, fields::HEADING)])
        );
    }

    #[test]
    fn truncated_bytes_are_refused_or_have_fewer_words() {
        let mut payload = 2i32.to_ne_bytes().to_vec();
        payload.extend(pack(true, 1, 0).to_ne_bytes());
        payload.extend(pack(false, 1, 8).to_ne_bytes());
        payload.extend(b"a\0\x01\0\x01\0\0\0b");
        assert_eq!(Lexemes::new(&payload).unwrap().occurrences().count(), 2);
        for length in 0..payload.len() {
            if let Ok(lexemes) = Lexemes::new(&payload[..length]) {
                assert!(lexemes.occurrences().count() < 2);
            }
        }
    }
}
