//! Compares ranking with scoring every chunk.
#![allow(clippy::unwrap_used)]

use super::header::{Header, IndexCounts, Place};
use super::merge::merge;
use super::rank::TextIndex;
use super::*;
use crate::bm25;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Pages in memory.
#[derive(Default, Clone)]
struct Memory(HashMap<(i64, u32), Vec<u8>>);

impl Pages for Memory {
    type Error = Damage;

    fn page(&mut self, segment: i64, page: u32) -> Result<Option<Vec<u8>>, Damage> {
        Ok(self.0.get(&(segment, page)).cloned())
    }
}

/// A chunk's length in words, and its terms.
type Chunk = (u32, BTreeMap<Vec<u8>, (u32, u8)>);

/// A sequence of pseudorandom numbers (Vigna's SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// A term: low numbers are frequent, like common words.
    fn term(&mut self, vocabulary: u64) -> Vec<u8> {
        let rank = self.below(vocabulary).min(self.below(vocabulary)).min(self.below(vocabulary));
        format!("word{rank}").into_bytes()
    }

    fn chunk(&mut self, vocabulary: u64) -> Chunk {
        let (length, mut terms) = (1 + self.below(40) as u32, BTreeMap::new());
        for _ in 0..length {
            let fields = u8::from(self.below(9) == 0);
            let (frequency, of) = terms.entry(self.term(vocabulary)).or_insert((0, 0));
            *frequency += 1;
            *of |= fields;
        }
        (length, terms)
    }
}

fn write(pages: &mut Memory, segment: i64, chunks: &BTreeMap<i64, Chunk>) {
    let indexed = chunks.iter().map(|(chunk, (words, terms))| IndexedChunk {
        chunk: *chunk,
        words: *words,
        terms: terms
            .iter()
            .map(|(term, (frequency, fields))| (term.as_slice(), *frequency, *fields))
            .collect(),
    });
    let counts = IndexCounts { chunks: chunks.len() as i64, rows: 0 };
    let sink = |page: u32, bytes: &[u8]| -> Result<(), Damage> {
        assert!(bytes.len() <= PAGE_BYTES && pages.0.insert((segment, page), bytes.to_vec()).is_none());
        Ok(())
    };
    build(indexed.collect(), counts, sink).unwrap();
}

/// The best chunks, by scoring every chunk.
fn expected(chunks: &BTreeMap<i64, Chunk>, terms: &[QueryTerm], wanted: usize) -> Vec<(i64, f64)> {
    let total: u64 = chunks.values().map(|(words, _)| u64::from(*words)).sum();
    let average = total as f64 / chunks.len().max(1) as f64;
    let mut scored = Vec::new();
    for (number, (words, found)) in chunks {
        let factor = bm25::length_factor(*words, average);
        let (mut score, mut is_found) = (0.0, false);
        for term in terms {
            let frequency = found.get(&term.lexeme).map_or(0, |(frequency, _)| *frequency);
            is_found |= frequency > 0;
            score += bm25::term_score(term.idf, frequency, factor);
        }
        if is_found {
            scored.push((*number, score));
        }
    }
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scored.truncate(wanted);
    scored
}

fn open(pages: &Memory) -> TextIndex<Memory> {
    let mut segments: Vec<i64> = pages.0.keys().map(|(segment, _)| *segment).collect();
    segments.sort_unstable();
    segments.dedup();
    TextIndex::open(pages.clone(), segments).unwrap()
}

/// Compares rankings for random queries with the expected ones.
fn check(pages: &Memory, chunks: &BTreeMap<i64, Chunk>, vocabulary: u64, random: &mut Random) {
    let mut index = open(pages);
    assert_eq!(index.chunks().0, chunks.len() as u64);
    for _ in 0..60 {
        let words: HashSet<Vec<u8>> = (0..=random.below(9)).map(|_| random.term(vocabulary)).collect();
        let terms = index.terms(words.iter().map(Vec::as_slice)).unwrap();
        for term in &terms {
            let holding = chunks.values().filter(|(_, terms)| terms.contains_key(&term.lexeme)).count();
            assert_eq!(term.chunks, holding as u64);
        }
        let wanted = [1, 3, 10, 50, 100_000][random.below(5) as usize];
        assert_eq!(index.best(&terms, wanted, None).unwrap(), expected(chunks, &terms, wanted));
        let some: BTreeMap<i64, Chunk> =
            chunks.iter().filter(|_| random.below(20) == 0).map(|(a, b)| (*a, b.clone())).collect();
        let few: Vec<(i64, u32)> = some.iter().map(|(chunk, (words, _))| (*chunk, *words)).collect();
        let all = expected(chunks, &terms, usize::MAX);
        let mut of_some: Vec<_> = all.into_iter().filter(|(chunk, _)| some.contains_key(chunk)).collect();
        of_some.truncate(wanted);
        assert_eq!(index.best_of(&terms, wanted, &few, None).unwrap(), of_some);
        // Some chunks were deleted and are in no segment, and lengths may come from another configuration.
        let mut wrong: Vec<_> =
            few.iter().map(|(chunk, words)| (*chunk, words ^ random.below(4) as u32)).collect();
        wrong.extend([(i64::MIN, 3), (i64::MAX, 0)].into_iter().chain(few.first().copied()));
        assert_eq!(index.best_of(&terms, wanted, &wrong, None).unwrap(), of_some);
        check_sets(&mut index, chunks, &terms, (wanted, &few));
        if random.below(9) == 0 {
            check_expansion(&mut index, chunks, &random.term(vocabulary)[..5]);
        }
    }
}

/// Compares rankings restricted to chunks without the query's first term with the expected ones.
fn check_sets(
    index: &mut TextIndex<Memory>,
    chunks: &BTreeMap<i64, Chunk>,
    terms: &[QueryTerm],
    (wanted, few): (usize, &[(i64, u32)]),
) {
    let Some((first, rest)) = terms.split_first() else { return };
    let holders = index.holders(std::slice::from_ref(first)).unwrap();
    let mut without = index.all();
    without.subtract(&holders);
    let lacks = |chunk: &i64| !chunks[chunk].1.contains_key(&first.lexeme);
    let numbers: BTreeMap<i64, u32> = index.numbers(&without).unwrap().into_iter().collect();
    let left = chunks.iter().filter(|(chunk, _)| lacks(chunk));
    assert_eq!(numbers, left.map(|(chunk, (words, _))| (*chunk, *words)).collect());
    assert_eq!(without.count(), numbers.len());
    let mut all = expected(chunks, rest, usize::MAX);
    all.retain(|(chunk, _)| lacks(chunk));
    let mut of_few = all.clone();
    of_few.retain(|(chunk, _)| few.iter().any(|(other, _)| other == chunk));
    all.truncate(wanted);
    of_few.truncate(wanted);
    assert_eq!(index.best(rest, wanted, Some(&without)).unwrap(), all);
    assert_eq!(index.best_of(rest, wanted, few, Some(&without)).unwrap(), of_few);
    without.intersect(&holders);
    assert_eq!(without.count(), 0);
    without.unite(&holders);
    assert_eq!(without, holders);
}

/// Compares the ranking by one combined term for a prefix with the ranking of chunks in which these terms are one.
fn check_expansion(index: &mut TextIndex<Memory>, chunks: &BTreeMap<i64, Chunk>, prefix: &[u8]) {
    let found = index.terms_with_prefix(prefix, |term| term.last() != Some(&b'7')).unwrap();
    let is_meant = |term: &[u8]| term.starts_with(prefix) && term.last() != Some(&b'7');
    let mut counts = BTreeMap::<Vec<u8>, u64>::new();
    let mut united = BTreeMap::new();
    for (number, (words, terms)) in chunks {
        let meant: Vec<_> = terms.iter().filter(|(term, _)| is_meant(term)).collect();
        meant.iter().for_each(|(term, _)| *counts.entry((*term).clone()).or_default() += 1);
        let frequency = meant.iter().map(|(_, (frequency, _))| frequency).sum();
        let one = (frequency > 0).then(|| (found[0].lexeme.clone(), (frequency, 0)));
        united.insert(*number, (*words, one.into_iter().collect()));
    }
    let told = found.iter().map(|found| (found.lexeme.clone(), found.chunks));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), counts);
    assert!(found.is_sorted_by(|a, b| a.chunks >= b.chunks));
    let terms = index.terms(found.iter().map(|found| found.lexeme.as_slice())).unwrap();
    let one = index.one_for(&terms).unwrap();
    assert_eq!(one.is_some(), !found.is_empty());
    let one: Vec<QueryTerm> = one.into_iter().collect();
    assert_eq!(index.best(&one, 10, None).unwrap(), expected(&united, &one, 10));
}

fn merge_all(pages: &mut Memory, number: i64, deleted: &HashSet<i64>) {
    let index = open(pages);
    let mut merged = Memory::default();
    merge(
        index.segments(),
        &mut PageReader::new(pages.clone()),
        |chunks| Ok(chunks.iter().map(|chunk| !deleted.contains(chunk)).collect()),
        |page, bytes| {
            merged.0.insert((number, page), bytes.to_vec());
            Ok(())
        },
    )
    .unwrap();
    *pages = merged;
}

#[test]
fn rankings_are_those_of_scoring_every_chunk() {
    for (seed, vocabulary, sizes) in
        [(1, 30, vec![1, 2, 700]), (2, 5000, vec![3000, 40, 9, 1]), (3, 4, vec![2000, 2000])]
    {
        let (mut random, mut pages, mut chunks) = (Random(seed), Memory::default(), BTreeMap::new());
        for (segment, size) in sizes.into_iter().enumerate() {
            let mut own = BTreeMap::new();
            while own.len() < size {
                // The number ranges of segments overlap, as those of concurrent writers do.
                let number = random.below(1 << 20) as i64 - 1000;
                if !chunks.contains_key(&number) {
                    own.insert(number, random.chunk(vocabulary));
                }
            }
            write(&mut pages, segment as i64, &own);
            chunks.append(&mut own);
        }
        check(&pages, &chunks, vocabulary, &mut random);
        let deleted: HashSet<i64> = chunks.keys().copied().filter(|_| random.below(5) == 0).collect();
        merge_all(&mut pages, 77, &deleted);
        chunks.retain(|chunk, _| !deleted.contains(chunk));
        check(&pages, &chunks, vocabulary, &mut random);
    }
}

#[test]
fn deep_rankings_are_those_of_scoring_every_chunk() {
    let (mut random, mut pages, mut chunks) = (Random(4), Memory::default(), BTreeMap::new());
    for segment in 0..4 {
        // Few different words, so that many chunks have the same score.
        let own: BTreeMap<i64, Chunk> =
            (0..2000).map(|place| (place * 4 + 3 - segment, random.chunk(6))).collect();
        write(&mut pages, segment, &own);
        chunks.extend(own);
    }
    let mut index = open(&pages);
    for wanted in [300, 1000, 2500, 4001, 5999, 7999, 8000, 1 << 20] {
        let words: HashSet<Vec<u8>> = (0..3).map(|_| random.term(6)).collect();
        let terms = index.terms(words.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(index.best(&terms, wanted, None).unwrap(), expected(&chunks, &terms, wanted));
    }
}

#[test]
fn equal_scores_are_in_the_order_of_numbers() {
    let chunk = || (3, BTreeMap::from([(b"same".to_vec(), (1, 0)), (b"words".to_vec(), (2, 0))]));
    let (mut pages, mut chunks) = (Memory::default(), BTreeMap::new());
    for segment in 0..3 {
        let own: BTreeMap<_, _> = (0..1000).map(|place| (place * 3 + 2 - segment, chunk())).collect();
        write(&mut pages, segment, &own);
        chunks.extend(own);
    }
    let mut index = open(&pages);
    let terms = index.terms([&b"same"[..], b"words", b"absent"]).unwrap();
    assert_eq!(terms.len(), 2);
    let best: Vec<i64> = index.best(&terms, 7, None).unwrap().into_iter().map(|(chunk, _)| chunk).collect();
    assert_eq!(best, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_whole_block_may_be_so_short_that_the_dictionary_has_it() {
    for docs in [127, 128, 129, 256] {
        let chunk = |number: i64| (number, (1, BTreeMap::from([(b"same".to_vec(), (1, 0))])));
        let chunks: BTreeMap<i64, Chunk> = (0..docs).map(chunk).collect();
        let mut pages = Memory::default();
        write(&mut pages, 1, &chunks);
        let mut index = open(&pages);
        let terms = index.terms([&b"same"[..]]).unwrap();
        assert_eq!(index.best(&terms, 1000, None).unwrap(), expected(&chunks, &terms, 1000));
        let mut shown = 0;
        index
            .postings(|term, _, frequency, _| shown += i64::from(term == b"same" && frequency == 1))
            .unwrap();
        assert_eq!(shown, docs);
    }
}

#[test]
fn what_a_segment_holds_survives() {
    let long = vec![b'x'; 10_000];
    let mut terms: BTreeMap<Vec<u8>, (u32, u8)> =
        (0..100_000).map(|number| (format!("w{number}").into_bytes(), (1, 0))).collect();
    terms.insert(long.clone(), (1_000_000, 5));
    let chunks = BTreeMap::from([(i64::MAX, (u32::MAX, terms)), (i64::MIN, (0, BTreeMap::new()))]);
    let mut pages = Memory::default();
    write(&mut pages, 1, &chunks);
    for _ in 0..2 {
        let mut index = open(&pages);
        let found = index.terms([long.as_slice(), b"w99999", b"w100000", b""]).unwrap();
        assert_eq!(found.iter().map(|term| term.chunks).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(index.best(&found, 10, None).unwrap(), expected(&chunks, &found, 10));
        assert_eq!(index.counts(), IndexCounts { chunks: 2, rows: 0 });
        merge_all(&mut pages, 2, &HashSet::new());
    }
}

#[test]
fn an_index_without_chunks_finds_nothing() {
    let mut pages = Memory::default();
    write(&mut pages, 1, &BTreeMap::new());
    assert_eq!(pages.0.len(), 1, "a note of what was deleted has one page");
    let mut index = open(&pages);
    assert!(index.terms([&b"a"[..]]).unwrap().is_empty() && index.best(&[], 10, None).unwrap().is_empty());
    merge_all(&mut pages, 2, &HashSet::new());
    assert_eq!(open(&pages).chunks(), (0, 0.0));
}

#[test]
fn segments_that_say_they_have_too_many_chunks_are_refused() {
    let limit = 1u32 << 30;
    let open = |docs: &[u32]| {
        let mut pages = Memory::default();
        for (segment, docs) in (0..).zip(docs) {
            let mut header =
                Header { format: header::FORMAT, docs: *docs, chunk_width: 1, ..Header::default() };
            header.lengths = Place { offset: u64::from(docs - 1), length: 2 };
            // The last number and the table of lengths (with one length) exist; the numbers before are not read.
            let page = header.lengths.offset / PAGE_BYTES as u64;
            pages.0.insert((segment, page as u32 + 1), vec![0; PAGE_BYTES]);
            pages.0.insert((segment, 0), postcard::to_allocvec(&header).unwrap());
        }
        TextIndex::open(pages, 0..docs.len() as i64).map(|index| index.chunks().0)
    };
    assert_eq!(open(&[limit]), Ok(u64::from(limit)));
    assert_eq!(open(&[limit - 5, 5]), Ok(u64::from(limit)));
    for docs in [&[limit + 1][..], &[u32::MAX], &[limit / 2, limit / 2, 1], &[u32::MAX; 9]] {
        let refused = open(docs).unwrap_err();
        assert_eq!(refused.what, "there are too many chunks");
    }
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let (mut random, mut pages) = (Random(9), Memory::default());
    let chunks: BTreeMap<i64, Chunk> = (0..3000).map(|number| (number, random.chunk(200))).collect();
    write(&mut pages, 1, &chunks);
    let mut keys: Vec<_> = pages.0.keys().copied().collect();
    keys.sort_unstable();
    let words: Vec<Vec<u8>> = (0..200).map(|rank| format!("word{rank}").into_bytes()).collect();
    let mut refused = 0;
    for _ in 0..400 {
        let mut damaged = pages.clone();
        let key = keys[random.below(keys.len() as u64) as usize];
        match random.below(3) {
            0 => drop(damaged.0.remove(&key)),
            1 => {
                let page = damaged.0.get_mut(&key).unwrap();
                page.truncate(random.below(page.len() as u64) as usize);
            }
            _ => {
                let page = damaged.0.get_mut(&key).unwrap();
                for _ in 0..=random.below(4) {
                    let place = random.below(page.len() as u64) as usize;
                    page[place] = random.below(256) as u8;
                }
            }
        }
        let outcome = TextIndex::open(damaged.clone(), [1]).and_then(|mut index| {
            let terms = index.terms(words.iter().map(Vec::as_slice))?;
            index.best(&terms[..terms.len().min(3)], 10, None)?;
            index.best_of(&terms, 10, &[(5, 3), (7, 8)], None)?;
            let all = |chunks: &[i64]| Ok(vec![true; chunks.len()]);
            merge(index.segments(), &mut PageReader::new(damaged), all, |_, _| Ok(()))
        });
        refused += usize::from(outcome.is_err());
    }
    assert!(refused > 200, "{refused}");
}
