//! Postgres's `tsvector` as bytes, and how a chunk's words are kept in one.
//!
//! The bytes are those of `src/include/tsearch/ts_type.h` after the varlena header: an `i32` count, that many
//! `WordEntry` words, then the lexemes, sorted, each followed by its positions if it has any.
//!
//! A chunk's vector is not what `to_tsvector` made of its text. Ranking needs to know *how often* a word occurs and never
//! where, so a lexeme has no position if it occurs once, and otherwise a single one, whose number is the frequency.
//! That makes the vectors a third smaller. And a lexeme that weighs much in its chunk is there again for each
//! [level](crate::levels::level) that it reaches, with the level as a last byte, so that the GIN index can find the chunks in
//! which a common word is important without reading all the others: see [`crate::threshold`].

use crate::levels;
use thiserror::Error;

/// The longest lexeme in bytes (less than `MAXSTRLEN`).
const MAX_LEXEME_BYTES: usize = (1 << 11) - 2;

/// The most bytes of the lexemes of one vector, positions included (`MAXSTRPOS`).
const MAX_STRINGS_BYTES: usize = (1 << 20) - 1;

/// The largest position, and so the largest frequency (`MAXENTRYPOS - 1`).
const MAX_POSITION: u16 = (1 << 14) - 1;

/// Lexemes over this many bytes get no level: there is no room for it in the longest ones.
pub const MAX_LEVELLED_BYTES: usize = MAX_LEXEME_BYTES - 1;

/// A vector that cannot be read or written.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TsVectorError {
    /// The bytes end before what they announce.
    #[error("internal: malformed tsvector")]
    Malformed,
    /// More text than a vector holds.
    #[error("chunk has too many different words: {0} bytes, the limit is {MAX_STRINGS_BYTES}")]
    TooLong(usize),
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
            Some((entry.lexeme, u32::from(entry.positions().map_or(1, |(count, _)| count))))
        })
    }

    /// How often a lexeme occurs, for a vector made by [`ChunkTerms::encode`]; 0 if it does not.
    #[inline]
    pub fn frequency(&self, lexeme: &[u8]) -> u32 {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            let Some(entry) = self.entry(middle) else {
                return 0;
            };
            match entry.lexeme.cmp(lexeme) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return entry.frequency(),
            }
        }
        0
    }

    /// Each lexeme, levelled ones too, with its frequency, for a vector made by [`ChunkTerms::encode`].
    pub fn frequencies(self) -> impl Iterator<Item = (&'a [u8], u32)> {
        (0..self.count).filter_map(move |i| self.entry(i).map(|entry| (entry.lexeme, entry.frequency())))
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
    /// How many positions there are, and the first.
    #[inline]
    fn positions(&self) -> Option<(u16, u16)> {
        let &[a, b, c, d] = self.tail.first_chunk()?;
        Some((u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]) & MAX_POSITION))
    }

    #[inline]
    fn frequency(&self) -> u32 {
        self.positions().map_or(1, |(_, first)| u32::from(first))
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

fn pack(has_positions: bool, length: usize, offset: usize) -> u32 {
    let (flag, length, offset) = (u32::from(has_positions), length as u32, offset as u32);
    if cfg!(target_endian = "little") {
        flag | length << 1 | offset << 12
    } else {
        flag << 31 | length << 20 | offset
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
        terms.retain(|(lexeme, _)| {
            !lexeme.is_empty() && lexeme.len() <= MAX_LEXEME_BYTES && !levels::is_levelled(lexeme)
        });
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

    /// The different words, in order.
    pub fn lexemes(&self) -> impl Iterator<Item = &[u8]> {
        self.terms.iter().map(|(lexeme, _)| lexeme.as_slice())
    }

    /// The payload of the vector that is stored, its levels relative to chunks of `reference_words`.
    pub fn encode(&self, reference_words: f64) -> Result<Vec<u8>, TsVectorError> {
        let mut entries = Vec::with_capacity(self.terms.len() * 2);
        for (lexeme, frequency) in &self.terms {
            entries.push((lexeme.clone(), *frequency));
            let level = levels::level(*frequency, self.words, reference_words);
            if lexeme.len() <= MAX_LEVELLED_BYTES {
                entries.extend((1..=level).map(|level| (levels::levelled(lexeme, level), 1)));
            }
        }
        // A lexeme's level sorts directly behind it, but so may longer lexemes: only a sort gets all of them right.
        entries.sort_unstable();
        write(&entries)
    }
}

fn write(entries: &[(Vec<u8>, u32)]) -> Result<Vec<u8>, TsVectorError> {
    let mut words = Vec::with_capacity(entries.len() * 4);
    let mut strings: Vec<u8> = Vec::new();
    for (lexeme, frequency) in entries {
        let offset = strings.len();
        words.extend_from_slice(&pack(*frequency > 1, lexeme.len(), offset).to_ne_bytes());
        strings.extend_from_slice(lexeme);
        if *frequency > 1 {
            strings.resize(strings.len().next_multiple_of(2), 0);
            let position = u16::try_from(*frequency).unwrap_or(MAX_POSITION).min(MAX_POSITION);
            strings.extend_from_slice(&1u16.to_ne_bytes());
            strings.extend_from_slice(&position.to_ne_bytes());
        }
    }
    if strings.len() > MAX_STRINGS_BYTES {
        return Err(TsVectorError::TooLong(strings.len()));
    }
    let mut payload = (entries.len() as i32).to_ne_bytes().to_vec();
    payload.append(&mut words);
    payload.append(&mut strings);
    Ok(payload)
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

    #[test]
    fn frequencies_survive() {
        let payload = chunk(&[("base", 2), ("backup", 7), ("a", 1), ("wal", 300)]).encode(310.0).unwrap();
        let lexemes = Lexemes::new(&payload).unwrap();
        assert_eq!(lexemes.frequency(b"backup"), 7);
        assert_eq!(lexemes.frequency(b"base"), 2);
        assert_eq!(lexemes.frequency(b"a"), 1);
        assert_eq!(lexemes.frequency(b"wal"), 300);
        assert_eq!(lexemes.frequency(b"absent"), 0);
    }

    #[test]
    fn heavy_words_have_a_level() {
        let payload = chunk(&[("backup", 7), ("base", 1)]).encode(8.0).unwrap();
        let lexemes: Vec<_> =
            Lexemes::new(&payload).unwrap().frequencies().map(|(l, _)| l.to_vec()).collect();
        assert_eq!(levels::level(7, 8, 8.0), 3);
        assert_eq!(lexemes, [&b"backup"[..], b"backup\x01", b"backup\x02", b"backup\x03", b"base"]);
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
    fn truncated_bytes_are_refused_or_read_as_absent() {
        let payload = chunk(&[("backup", 7), ("base", 1)]).encode(8.0).unwrap();
        for length in 0..payload.len() {
            if let Ok(lexemes) = Lexemes::new(&payload[..length]) {
                assert!(lexemes.frequency(b"base") <= 1);
            }
        }
    }
}
