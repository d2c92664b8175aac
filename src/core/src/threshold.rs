//! Which chunks can be among the best, before any of them is read.
//!
//! MaxScore (Turtle and Flood, "Query evaluation: strategies and optimizations", 1995) skips documents whose terms, each at its
//! largest possible weight, do not sum to the score of the n-th best. Here the skipping is left to Postgres's GIN
//! index: the condition "these bounds can sum to the threshold" is monotone in the terms that a chunk holds, so it is a formula of
//! ANDs and ORs, and GIN evaluates such a formula without reading the postings of the terms that do not decide. Terms come
//! in [levels](crate::levels::level), each with its own bound and its own posting list, so that one common word alone is bounded too.
//!
//! Ranking asks for all chunks that can reach a guessed threshold. If n of them do reach it, they are the n best: every chunk left
//! out has less. If not, it asks again with a lower threshold, at last with none, which is every chunk with any of the words.

use crate::condition::{Condition, Operand, all, any};
use crate::levels::{LEVELS, largest_impact, usual_impact};
use crate::tsvector::MAX_LEVELLED_BYTES;

/// Most operands in a condition.
const MAX_OPERANDS: usize = 96;

/// Most steps in the construction of a condition.
const MAX_STEPS: usize = 4_000;

/// Sets of levels that a condition may distinguish.
const LEVEL_CHOICES: [&[usize]; 4] = [&[0, 1, 2, 3], &[0, 1, 3], &[0, 2], &[0]];

/// About the most numbers of terms for which a condition is tried.
const MAX_TRIES: usize = 16;

/// Steps of the distribution from which the threshold is guessed.
const SCORE_BINS: usize = 512;

/// A word of the query that some chunk holds.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryTerm {
    /// As it stands in the index.
    pub lexeme: Vec<u8>,
    /// Its weight.
    pub idf: f64,
    /// How many chunks hold it in each level; level 0 counts only those that are in no higher one.
    pub chunks: [u64; LEVELS],
}

/// Sorts terms by their weight, those of the same weight by their words.
pub fn sort_heaviest_first(terms: &mut [QueryTerm]) {
    terms.sort_by(|a, b| b.idf.total_cmp(&a.idf).then_with(|| a.lexeme.cmp(&b.lexeme)));
}

/// A query against one collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// Heaviest first.
    terms: Vec<QueryTerm>,
    /// `[terms][levels]`: the largest score that a term can add.
    largest: Vec<[f64; LEVELS]>,
    /// The largest score that the terms from this one on can add together; one longer than `terms`.
    rest: Vec<f64>,
    chunks: u64,
}

impl Bounds {
    /// `chunks` is the size of the collection, `average` its words per chunk, and `reference` that for which its levels were made.
    pub fn new(mut terms: Vec<QueryTerm>, chunks: u64, average: f64, reference: f64) -> Self {
        sort_heaviest_first(&mut terms);
        let bound = |term: &QueryTerm, level| {
            let level = if term.lexeme.len() > MAX_LEVELLED_BYTES { LEVELS } else { level };
            term.idf * largest_impact(level, average, reference)
        };
        let largest: Vec<_> =
            terms.iter().map(|term| std::array::from_fn(|level| bound(term, level))).collect();
        let mut rest = vec![0.0; terms.len() + 1];
        for i in (0..terms.len()).rev() {
            rest[i] = rest[i + 1] + largest[i][LEVELS - 1];
        }
        Self { terms, largest, rest, chunks }
    }

    /// The terms, heaviest first.
    pub fn terms(&self) -> &[QueryTerm] {
        &self.terms
    }

    /// A score that about `wanted` chunks reach, if terms and levels were independent; 0 if there are fewer chunks.
    ///
    /// Words of a question attract each other, so usually more chunks reach it.
    pub fn guess(&self, wanted: f64) -> f64 {
        let step = self.rest[0] / (SCORE_BINS - 1) as f64;
        if self.chunks == 0 || step <= 0.0 {
            return 0.0;
        }
        let mut distribution = vec![0.0; SCORE_BINS];
        distribution[0] = 1.0;
        for term in &self.terms {
            distribution = self.add_term(&distribution, term, step);
        }
        let mut expected = 0.0;
        for bin in (1..SCORE_BINS).rev() {
            expected += distribution[bin] * self.chunks as f64;
            if expected >= wanted {
                return bin as f64 * step;
            }
        }
        0.0
    }

    fn add_term(&self, before: &[f64], term: &QueryTerm, step: f64) -> Vec<f64> {
        let mut after = vec![0.0; SCORE_BINS];
        let mut absent = 1.0;
        for (level, chunks) in term.chunks.iter().enumerate().filter(|(_, chunks)| **chunks > 0) {
            let share = *chunks as f64 / self.chunks as f64;
            absent -= share;
            let shift = (term.idf * usual_impact(level) / step) as usize;
            for bin in 0..SCORE_BINS.saturating_sub(shift) {
                after[bin + shift] += before[bin] * share;
            }
        }
        for bin in 0..SCORE_BINS {
            after[bin] += before[bin] * absent.max(0.0);
        }
        after
    }

    /// A `tsquery` in its text form that every chunk with a score of at least `threshold` matches. It has the encoding of the
    /// lexemes; in all that a server may have, quotes and backslashes are single bytes of their own.
    pub fn tsquery(&self, threshold: f64) -> Vec<u8> {
        // Sums of the same numbers in another order may differ in their last bits.
        self.condition(threshold * (1.0 - 1e-9)).tsquery(|term| &self.terms[term].lexeme)
    }

    /// Of the conditions that follow from a threshold, the one that Postgres will find cheapest. Telling fewer levels apart,
    /// or leaving out the lightest terms and counting them as if always there, makes a condition smaller and lets more
    /// chunks through.
    fn condition(&self, need: f64) -> Condition {
        let terms = self.terms.len();
        let mut cheapest = any((0..terms).map(|term| Condition::Has(Operand { term, level: 0 })).collect());
        let mut least = self.cost(&cheapest);
        for used in (1..=terms).rev().step_by(1 + terms / MAX_TRIES) {
            for levels in LEVEL_CHOICES {
                let mut search = ConditionSearch { bounds: self, used, levels, operands: 0, steps: 0 };
                match search.from(0, need - self.rest[used]) {
                    None | Some(Condition::Always) => {}
                    Some(condition) => {
                        let cost = self.cost(&condition);
                        if cost < least {
                            (cheapest, least) = (condition, cost);
                        }
                    }
                }
            }
        }
        cheapest
    }

    fn cost(&self, condition: &Condition) -> f64 {
        condition.cost(self.chunks as f64, |operand| {
            self.terms[operand.term].chunks[operand.level..].iter().sum::<u64>() as f64
        })
    }
}

/// The construction of one condition.
struct ConditionSearch<'a> {
    bounds: &'a Bounds,
    /// Terms that are asked for.
    used: usize,
    /// Levels that are distinguished; the first is 0.
    levels: &'a [usize],
    operands: usize,
    steps: usize,
}

impl ConditionSearch<'_> {
    /// The condition that the terms from `term` on sum to `need`; nothing if it would be too large.
    fn from(&mut self, term: usize, need: f64) -> Option<Condition> {
        self.steps += 1;
        if self.operands > MAX_OPERANDS || self.steps > MAX_STEPS {
            return None;
        }
        if need <= 0.0 {
            return Some(Condition::Always);
        }
        if need > self.bounds.rest[term] - self.bounds.rest[self.used] {
            return Some(Condition::Never);
        }
        let without = self.from(term + 1, need)?;
        let mut weaker = without.clone();
        let mut ways = vec![without];
        for (place, level) in self.levels.iter().enumerate() {
            let before = self.operands;
            let highest = self.levels.get(place + 1).map_or(LEVELS, |next| *next) - 1;
            let condition = self.from(term + 1, need - self.bounds.largest[term][highest])?;
            // With a higher level nothing more is gained, so the lower one, which is the same condition on more chunks, says it.
            if condition == weaker {
                self.operands = before;
                continue;
            }
            self.operands += 1;
            ways.push(all(Operand { term, level: *level }, condition.clone()));
            weaker = condition;
        }
        Some(any(ways))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bm25::idf;
    use crate::levels::{density, impact, level};

    /// A small generator (Marsaglia's xorshift), so that a failure can be repeated.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }
    }

    /// Words of a chunk by term number, and its length.
    struct SampleChunk {
        frequencies: Vec<u32>,
        words: u32,
    }

    struct Corpus {
        chunks: Vec<SampleChunk>,
        average: f64,
        reference: f64,
    }

    impl Corpus {
        fn random(random: &mut Random, terms: usize) -> Self {
            let chunks: Vec<_> = (0..400)
                .map(|_| {
                    let frequencies: Vec<u32> = (0..terms)
                        .map(|term| {
                            let present = random.below(100) < [60, 30, 12, 6, 3, 1][term % 6];
                            let most = 1 + random.below(6);
                            if present { 1 + random.below(most) as u32 } else { 0 }
                        })
                        .collect();
                    let words = frequencies.iter().sum::<u32>() + random.below(30) as u32;
                    SampleChunk { frequencies, words }
                })
                .collect();
            let average = chunks.iter().map(|chunk| f64::from(chunk.words)).sum::<f64>() / 400.0;
            let reference = average * [0.7, 1.0, 1.6][random.below(3) as usize];
            Self { chunks, average, reference }
        }

        fn level(&self, chunk: &SampleChunk, term: usize) -> Option<usize> {
            let frequency = chunk.frequencies[term];
            (frequency > 0).then(|| level(frequency, chunk.words, self.reference))
        }

        fn bounds(&self, terms: usize) -> Bounds {
            let query = (0..terms).filter_map(|term| {
                let mut chunks = [0; LEVELS];
                self.chunks
                    .iter()
                    .filter_map(|chunk| self.level(chunk, term))
                    .for_each(|level| chunks[level] += 1);
                let docs = chunks.iter().sum();
                (docs > 0).then(|| QueryTerm { lexeme: vec![b'a' + term as u8], idf: idf(400, docs), chunks })
            });
            Bounds::new(query.collect(), 400, self.average, self.reference)
        }

        fn score(&self, chunk: &SampleChunk, bounds: &Bounds) -> f64 {
            let of = |term: &QueryTerm| {
                let frequency = chunk.frequencies[usize::from(term.lexeme[0] - b'a')];
                term.idf * impact(density(frequency, chunk.words, self.average))
            };
            bounds.terms().iter().map(of).sum()
        }

        fn meets(&self, chunk: &SampleChunk, bounds: &Bounds, condition: &Condition) -> bool {
            match condition {
                Condition::Always => true,
                Condition::Never => false,
                Condition::Has(operand) => {
                    let number = usize::from(bounds.terms()[operand.term].lexeme[0] - b'a');
                    self.level(chunk, number).is_some_and(|level| level >= operand.level)
                }
                Condition::All(parts) => parts.iter().all(|part| self.meets(chunk, bounds, part)),
                Condition::Any(parts) => parts.iter().any(|part| self.meets(chunk, bounds, part)),
            }
        }
    }

    #[test]
    fn every_chunk_that_reaches_the_threshold_meets_the_condition() {
        let mut random = Random(42);
        for round in 0..200 {
            let terms = 1 + round % 14;
            let corpus = Corpus::random(&mut random, terms);
            let bounds = corpus.bounds(terms);
            let highest = bounds.rest[0];
            for step in 0..12 {
                let threshold = highest * f64::from(step) / 12.0;
                let condition = bounds.condition(threshold);
                for chunk in &corpus.chunks {
                    let score = corpus.score(chunk, &bounds);
                    assert!(
                        score == 0.0 || score < threshold || corpus.meets(chunk, &bounds, &condition),
                        "{score} reaches {threshold} and does not meet {condition:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_high_threshold_leaves_most_chunks_out() {
        let mut random = Random(7);
        let corpus = Corpus::random(&mut random, 3);
        let bounds = corpus.bounds(3);
        let condition = bounds.condition(bounds.guess(20.0));
        let met = corpus.chunks.iter().filter(|chunk| corpus.meets(chunk, &bounds, &condition)).count();
        assert!((5..100).contains(&met), "{met} of 400 chunks");
    }

    #[test]
    fn no_condition_has_too_many_operands() {
        let terms = (0..40).map(|i| QueryTerm {
            lexeme: vec![b'a' + i],
            idf: 1.0 + f64::from(i) / 10.0,
            chunks: [100, 50, 20, 10],
        });
        let bounds = Bounds::new(terms.collect(), 1000, 10.0, 10.0);
        for step in 0..50 {
            let text = bounds.tsquery(bounds.rest[0] * f64::from(step) / 50.0);
            assert!(text.iter().filter(|byte| **byte == b'\'').count() / 2 <= MAX_OPERANDS);
        }
    }

    #[test]
    fn a_long_query_takes_no_longer_than_its_search() {
        let term = |i: u32| QueryTerm {
            lexeme: format!("t{i}").into_bytes(),
            idf: 1.0 + f64::from(i % 90) / 10.0,
            chunks: [1000, 500, 200, 50],
        };
        let bounds = Bounds::new((0..2000).map(term).collect(), 100_000, 10.0, 10.0);
        let text = bounds.tsquery(bounds.guess(100.0));
        assert!(text.iter().filter(|byte| **byte == b'\'').count() >= 2);
    }
}
