//! Postgres's `tsvector` as bytes, and the words of a chunk.
//!
//! The bytes are those of `src/include/tsearch/ts_type.h` after the varlena header: an `i32` count, that many
//! `WordEntry` words, then the lexemes, sorted, each followed by its positions if it has any.

use thiserror::Error;

/// The longest lexeme in bytes (less than `MAXSTRLEN`).
const MAX_LEXEME_BYTES: usize = (1 << 11) - 2;

/// A vector that cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TsVectorError {
    /// The bytes end before what they announce.
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

    /// Each lexeme with its occurrences, for a vector made by `to_tsvector`.
    pub fn occurrences(self) -> impl Iterator<Item = (&'a [u8], u32)> {
        (0..self.count).filter_map(move |i| {
            let entry = self.entry(i)?;
            Some((entry.lexeme, u32::from(entry.positions().unwrap_or(1))))
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
    /// Starts with the lexeme's positions; empty if it has none.
    tail: &'a [u8],
}

impl WordEntry<'_> {
    /// How many positions there are.
    #[inline]
    fn positions(&self) -> Option<u16> {
        Some(u16::from_ne_bytes(*self.tail.first_chunk()?))
    }
}

/// `WordEntry` is a C bit-field of 1, 11 and 20 bits, which compilers lay out from the low end on little-endian machines.
#[inline]
fn unpack(word: u32) -> (bool, usize, usize) {
    if cfg!(target_endian = "little") {
        (word & 1 == 1, (word >> 1 & 0x7ff) as usize, (word >> 12) as usize)
    } else {
        (word >> 31 == 1, (word >> 20 & 0x7ff) as usize, (word & 0xf_ffff) as usize)
    }
}

/// The words of one chunk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkTerms {
    /// Lexemes with their frequencies, sorted by lexeme.
    terms: Vec<(Vec<u8>, u32)>,
    /// Words that count for the length: the sum of the frequencies.
    pub words: u32,
}

impl ChunkTerms {
    /// From the payloads of what `to_tsvector` made of the pieces of a text, and words beside these, once for each occurrence.
    pub fn new(
        payloads: &[Vec<u8>],
        words: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Self, TsVectorError> {
        let mut terms: Vec<_> = words.into_iter().map(|word| (word, 1)).collect();
        for payload in payloads {
            let found = Lexemes::new(payload)?.occurrences();
            terms.extend(found.map(|(lexeme, count)| (lexeme.to_vec(), count)));
        }
        terms.retain(|(lexeme, _)| !lexeme.is_empty() && lexeme.len() <= MAX_LEXEME_BYTES);
        terms.sort_unstable();
        terms.dedup_by(|(lexeme, count), (kept, sum)| {
            let is_same = lexeme == kept;
            *sum += if is_same { *count } else { 0 };
            is_same
        });
        let words = terms.iter().map(|(_, frequency)| frequency).sum();
        Ok(Self { terms, words })
    }

    /// Adds those of other terms that are not there, each once and without counting for the length.
    pub fn add_missing(&mut self, others: Self) {
        let known = self.terms.len();
        for (lexeme, _) in others.terms {
            if self.terms[..known].binary_search_by(|(term, _)| term.cmp(&lexeme)).is_err() {
                self.terms.push((lexeme, 1));
            }
        }
        self.terms.sort_unstable();
    }

    /// The different words, in order, with how often each stands in the chunk.
    pub fn frequencies(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.terms.iter().map(|(lexeme, frequency)| (lexeme.as_slice(), *frequency))
    }

    /// The different words, in order.
    pub fn lexemes(&self) -> impl Iterator<Item = &[u8]> {
        self.terms.iter().map(|(lexeme, _)| lexeme.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(terms: &[(&str, u32)]) -> ChunkTerms {
        let mut terms: Vec<_> = terms.iter().map(|(l, f)| (l.as_bytes().to_vec(), *f)).collect();
        terms.sort();
        let words = terms.iter().map(|(_, f)| f).sum();
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
        // 'a':1,5 'b' by hand: two entries, then "a", padding, the number of positions, two of them, and "b".
        let mut payload = 2i32.to_ne_bytes().to_vec();
        payload.extend(pack(true, 1, 0).to_ne_bytes());
        payload.extend(pack(false, 1, 8).to_ne_bytes());
        payload.extend(b"a\0");
        for number in [2u16, 1, 5] {
            payload.extend(number.to_ne_bytes());
        }
        payload.extend(b"b");
        assert_eq!(
            ChunkTerms::new(&[payload], [b"c".to_vec(), b"a".to_vec()]).unwrap(),
            chunk(&[("a", 3), ("b", 1), ("c", 1)])
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
