//! Which chunks can be among the best, before any of them is read.
//!
//! MaxScore (Turtle and Flood, "Query evaluation: strategies and optimizations", 1995) skips documents whose terms, each at its
//! largest possible weight, do not sum to the score of the n-th best. Here the skipping is left to Postgres's GIN
//! index: the condition "these bounds can sum to the threshold" is monotone in the terms that a chunk holds, so it is a formula of
//! ANDs and ORs, and GIN evaluates such a formula without reading the postings of the terms that do not decide. Terms come
//! in [levels](crate::bm25::level), each with its own bound and its own posting list, so that one common word alone is bounded too.
//!
//! Ranking asks for all chunks that can reach a guessed threshold. If n of them do reach it, they are the n best: every chunk left
//! out has less. If not, it asks again with a lower threshold, at last with none, which is every chunk with any of the words.

use crate::bm25::{LEVELS, largest_impact, levelled, usual_impact};
use crate::tsvector::LONGEST_LEVELLED;

/// Most operands in a condition. Beyond it, evaluating the formula costs more than it saves.
const MOST_OPERANDS: usize = 96;

/// Steps of the distribution from which the threshold is guessed.
const BINS: usize = 512;

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

/// A condition on the words of a chunk.
#[derive(Debug, Clone, PartialEq)]
enum Condition {
    Always,
    Never,
    /// Term by number, in this level or a higher one.
    Has(usize, usize),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

impl Bounds {
    /// `chunks` is the size of the collection, `average` its words per chunk, and `reference` that for which its levels were made.
    pub fn new(mut terms: Vec<QueryTerm>, chunks: u64, average: f64, reference: f64) -> Self {
        terms.sort_by(|a, b| b.idf.total_cmp(&a.idf).then_with(|| a.lexeme.cmp(&b.lexeme)));
        let bound = |term: &QueryTerm, level| {
            let level = if term.lexeme.len() > LONGEST_LEVELLED { LEVELS } else { level };
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

    /// A score that about `wanted` chunks reach, if terms and levels were independent; 0 where so many do not exist.
    ///
    /// Words of a question attract each other, so usually more chunks reach it.
    pub fn guess(&self, wanted: u64) -> f64 {
        let step = self.rest[0] / (BINS - 1) as f64;
        if self.chunks == 0 || step <= 0.0 {
            return 0.0;
        }
        let mut distribution = vec![0.0; BINS];
        distribution[0] = 1.0;
        for term in &self.terms {
            distribution = self.add_term(&distribution, term, step);
        }
        let mut expected = 0.0;
        for bin in (1..BINS).rev() {
            expected += distribution[bin] * self.chunks as f64;
            if expected >= wanted as f64 {
                return bin as f64 * step;
            }
        }
        0.0
    }

    fn add_term(&self, before: &[f64], term: &QueryTerm, step: f64) -> Vec<f64> {
        let mut after = vec![0.0; BINS];
        let mut absent = 1.0;
        for (level, chunks) in term.chunks.iter().enumerate().filter(|(_, chunks)| **chunks > 0) {
            let share = *chunks as f64 / self.chunks as f64;
            absent -= share;
            let shift = (term.idf * usual_impact(level) / step) as usize;
            for bin in 0..BINS.saturating_sub(shift) {
                after[bin + shift] += before[bin] * share;
            }
        }
        for bin in 0..BINS {
            after[bin] += before[bin] * absent.max(0.0);
        }
        after
    }

    /// A `tsquery`, as text in UTF-8, that every chunk with a score of at least `threshold` matches.
    pub fn tsquery(&self, threshold: f64) -> String {
        // Sums of the same numbers in another order may differ in their last bits.
        let need = threshold * (1.0 - 1e-9);
        let mut text = String::new();
        self.write(&self.condition(need), &mut text);
        text
    }

    /// The strictest condition that has few enough operands: the lightest terms are left out and counted as if always there.
    fn condition(&self, need: f64) -> Condition {
        for used in (1..=self.terms.len()).rev() {
            let mut operands = 0;
            match self.reach(0, used, need - self.rest[used], &mut operands) {
                Some(Condition::Always) => break,
                Some(condition) => return condition,
                None => {}
            }
        }
        any((0..self.terms.len()).map(|term| Condition::Has(term, 0)).collect())
    }

    /// The condition that the terms from `term` up to `used` sum to `need`; nothing if it would have too many operands.
    fn reach(&self, term: usize, used: usize, need: f64, operands: &mut usize) -> Option<Condition> {
        if need <= 0.0 {
            return Some(Condition::Always);
        }
        if need > self.rest[term] - self.rest[used] {
            return Some(Condition::Never);
        }
        let without = self.reach(term + 1, used, need, operands)?;
        let mut weaker = without.clone();
        let mut ways = vec![without];
        for (level, largest) in self.largest[term].iter().enumerate() {
            let before = *operands;
            let condition = self.reach(term + 1, used, need - largest, operands)?;
            // With a higher level nothing more is gained, so the lower one, which is the same condition on more chunks, says it.
            if condition == weaker {
                *operands = before;
                continue;
            }
            *operands += if level == 0 { 1 } else { LEVELS - level };
            if *operands > MOST_OPERANDS {
                return None;
            }
            ways.push(all(Condition::Has(term, level), condition.clone()));
            weaker = condition;
        }
        Some(any(ways))
    }

    fn write(&self, condition: &Condition, text: &mut String) {
        match condition {
            Condition::Always | Condition::Never => {}
            Condition::Has(term, 0) => write_lexeme(&self.terms[*term].lexeme, text),
            Condition::Has(term, level) => {
                let lexeme = &self.terms[*term].lexeme;
                write_joined(*level..LEVELS, "|", text, |text, level| {
                    write_lexeme(&levelled(lexeme, level), text)
                });
            }
            Condition::All(parts) => write_joined(parts, "&", text, |text, part| self.write(part, text)),
            Condition::Any(parts) => write_joined(parts, "|", text, |text, part| self.write(part, text)),
        }
    }
}

fn all(first: Condition, second: Condition) -> Condition {
    match second {
        Condition::Always => first,
        Condition::Never => Condition::Never,
        Condition::All(mut parts) => {
            parts.insert(0, first);
            Condition::All(parts)
        }
        second => Condition::All(vec![first, second]),
    }
}

fn any(ways: Vec<Condition>) -> Condition {
    let mut parts = Vec::with_capacity(ways.len());
    for way in ways {
        match way {
            Condition::Always => return Condition::Always,
            Condition::Never => {}
            Condition::Any(inner) => parts.extend(inner),
            way => parts.push(way),
        }
    }
    if parts.len() == 1 {
        parts.remove(0)
    } else if parts.is_empty() {
        Condition::Never
    } else {
        Condition::Any(parts)
    }
}

fn write_joined<T>(
    parts: impl IntoIterator<Item = T>,
    operator: &str,
    text: &mut String,
    write: impl Fn(&mut String, T),
) {
    text.push('(');
    for (i, part) in parts.into_iter().enumerate() {
        if i > 0 {
            text.push_str(operator);
        }
        write(text, part);
    }
    text.push(')');
}

fn write_lexeme(lexeme: &[u8], text: &mut String) {
    text.push('\'');
    for character in String::from_utf8_lossy(lexeme).chars() {
        if matches!(character, '\'' | '\\') {
            text.push(character);
        }
        text.push(character);
    }
    text.push('\'');
}
