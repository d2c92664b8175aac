//! A condition on the words of a chunk, and what it costs Postgres to find the chunks that meet it.

use crate::levels::levelled;

/// Microseconds for each posting that GIN visits, and for each operand that it then evaluates.
const POSTING_COST_US: f64 = 0.05;
const OPERAND_COST_US: f64 = 0.012;

/// Microseconds for each chunk that is read and scored: 2 to 4 were measured, and doubled because words attract each other, so
/// that more chunks meet a condition than would if they were independent.
const CHUNK_COST_US: f64 = 8.0;

/// A term in a level or a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operand {
    /// Its number.
    pub term: usize,
    /// The lowest level that will do.
    pub level: usize,
}

/// A condition on the words of a chunk. It has no negation: a chunk that meets it still does with more words.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Met by all.
    Always,
    /// Met by none.
    Never,
    /// Met by chunks that hold a term.
    Has(Operand),
    /// Met where all are.
    All(Vec<Condition>),
    /// Met where one is.
    Any(Vec<Condition>),
}

/// The condition that a chunk holds a term and meets another condition.
pub fn all(first: Operand, second: Condition) -> Condition {
    let first = Condition::Has(first);
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

/// The condition that one of several is met.
pub fn any(ways: Vec<Condition>) -> Condition {
    let mut parts = Vec::with_capacity(ways.len());
    for way in ways {
        match way {
            Condition::Always => return Condition::Always,
            Condition::Never => {}
            Condition::Any(inner) => parts.extend(inner),
            way => parts.push(way),
        }
    }
    match parts.len() {
        0 => Condition::Never,
        1 => parts.remove(0),
        _ => Condition::Any(parts),
    }
}

impl Condition {
    /// As a `tsquery` in its text form, empty if nothing or everything meets it.
    pub fn tsquery<'a>(&self, lexeme: impl Fn(usize) -> &'a [u8] + Copy) -> Vec<u8> {
        let mut text = Vec::new();
        self.write(lexeme, &mut text);
        text
    }

    fn write<'a>(&self, lexeme: impl Fn(usize) -> &'a [u8] + Copy, text: &mut Vec<u8>) {
        match self {
            Self::Always | Self::Never => {}
            Self::Has(Operand { term, level: 0 }) => write_lexeme(lexeme(*term), text),
            Self::Has(operand) => write_lexeme(&levelled(lexeme(operand.term), operand.level), text),
            Self::All(parts) => write_joined(parts, b'&', lexeme, text),
            Self::Any(parts) => write_joined(parts, b'|', lexeme, text),
        }
    }

    /// About the microseconds that it takes Postgres to find and score the chunks that meet it. `postings` tells how many
    /// of the `chunks` hold a term.
    pub fn cost(&self, chunks: f64, postings: impl Fn(Operand) -> f64) -> f64 {
        let mut operands = Vec::new();
        self.collect(&mut operands);
        let evaluated = operands.len() as f64;
        operands.sort_unstable();
        operands.dedup();
        operands.sort_by(|a, b| postings(*b).total_cmp(&postings(*a)));
        // GIN walks along the postings of the rarest operands, and only looks up the others: those that cannot meet the
        // condition by themselves (`startScanKey` in ginget.c).
        let looked_up =
            (0..operands.len()).find(|last| self.is_met(&operands[..=*last])).unwrap_or(operands.len());
        let walked: f64 = operands[looked_up..].iter().map(|operand| postings(*operand)).sum();
        walked * (POSTING_COST_US + OPERAND_COST_US * evaluated)
            + self.share(chunks, &postings) * chunks * CHUNK_COST_US
    }

    fn collect(&self, operands: &mut Vec<Operand>) {
        match self {
            Self::Always | Self::Never => {}
            Self::Has(operand) => operands.push(*operand),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.collect(operands)),
        }
    }

    fn is_met(&self, held: &[Operand]) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Has(operand) => held.contains(operand),
            Self::All(parts) => parts.iter().all(|part| part.is_met(held)),
            Self::Any(parts) => parts.iter().any(|part| part.is_met(held)),
        }
    }

    /// The share of chunks that meet it, if operands were independent.
    fn share(&self, chunks: f64, postings: &impl Fn(Operand) -> f64) -> f64 {
        match self {
            Self::Always => 1.0,
            Self::Never => 0.0,
            Self::Has(operand) => postings(*operand) / chunks.max(1.0),
            Self::All(parts) => parts.iter().map(|part| part.share(chunks, postings)).product(),
            Self::Any(parts) => {
                1.0 - parts.iter().map(|part| 1.0 - part.share(chunks, postings)).product::<f64>()
            }
        }
    }
}

fn write_joined<'a>(
    parts: &[Condition],
    operator: u8,
    lexeme: impl Fn(usize) -> &'a [u8] + Copy,
    text: &mut Vec<u8>,
) {
    text.push(b'(');
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            text.push(operator);
        }
        part.write(lexeme, text);
    }
    text.push(b')');
}

fn write_lexeme(lexeme: &[u8], text: &mut Vec<u8>) {
    text.push(b'\'');
    for byte in lexeme {
        if matches!(byte, b'\'' | b'\\') {
            text.push(*byte);
        }
        text.push(*byte);
    }
    text.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEXEMES: [&[u8]; 2] = [b"a", b"o'n\\e"];

    fn has(term: usize, level: usize) -> Condition {
        Condition::Has(Operand { term, level })
    }

    #[test]
    fn a_condition_is_written_as_a_tsquery() {
        let inner = any(vec![has(1, 0), has(1, 2)]);
        let condition = any(vec![all(Operand { term: 0, level: 1 }, inner), has(0, 3)]);
        let text = condition.tsquery(|term| LEXEMES[term]);
        assert_eq!(text, b"(('a\x01'&('o''n\\\\e'|'o''n\\\\e\x02'))|'a\x03')");
    }

    #[test]
    fn nothing_is_said_of_what_all_or_none_meet() {
        assert_eq!(any(vec![has(0, 0), Condition::Always]), Condition::Always);
        assert_eq!(any(vec![Condition::Never, has(0, 0)]), has(0, 0));
        assert_eq!(all(Operand { term: 0, level: 0 }, Condition::Never), Condition::Never);
    }

    #[test]
    fn a_common_word_is_only_looked_up_where_a_rare_one_is_needed() {
        let postings = |operand: Operand| [10.0, 100_000.0][operand.term];
        let both = all(Operand { term: 1, level: 0 }, has(0, 0)).cost(1e6, postings);
        let either = any(vec![has(1, 0), has(0, 0)]).cost(1e6, postings);
        assert!(both < 20.0 && either > 10_000.0, "{both} and {either}");
    }
}
