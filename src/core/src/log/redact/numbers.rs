//! Numbers in JSON that a pattern may match: for example, of a card or a telephone.

use regex_syntax::hir::{Class, Hir, HirKind};
use std::ops::Range;

/// Characters that occur in JSON numbers.
const NUMBER_BYTES: &[u8] = b"0123456789-+.eE";

/// True if a pattern may match within the text of a number. Never false if it can.
pub fn may_match_in(pattern: &str) -> bool {
    regex_syntax::parse(pattern).map_or(true, |hir| may_match(&hir))
}

fn may_match(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => literal.0.iter().all(|byte| NUMBER_BYTES.contains(byte)),
        HirKind::Class(Class::Unicode(class)) => {
            has_any(class.iter().map(|range| (range.start(), range.end())))
        }
        HirKind::Class(Class::Bytes(class)) => {
            has_any(class.iter().map(|range| (range.start().into(), range.end().into())))
        }
        HirKind::Repetition(repetition) => repetition.min == 0 || may_match(&repetition.sub),
        HirKind::Capture(capture) => may_match(&capture.sub),
        HirKind::Concat(parts) => parts.iter().all(may_match),
        HirKind::Alternation(parts) => parts.iter().any(may_match),
    }
}

fn has_any(mut ranges: impl Iterator<Item = (char, char)>) -> bool {
    ranges.any(|(first, last)| NUMBER_BYTES.iter().any(|byte| (first..=last).contains(&char::from(*byte))))
}

/// The ranges of numbers in the text between two strings of a JSON text; `start` is the offset of that text.
pub fn places(between: &str, start: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let bytes = between.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let first = at + bytes[at..].iter().position(|byte| byte.is_ascii_digit() || *byte == b'-')?;
        let length = bytes[first..].iter().position(|byte| !NUMBER_BYTES.contains(byte));
        at = length.map_or(bytes.len(), |length| first + length);
        Some(start + first..start + at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_no_number_matches_are_told_from_others() {
        for pattern in
            ["[0-9]{13,16}", r"\b4711\b", "^-?[0-9]+$", "x|5", r"\d", "a?1", "(?-u:[0-9])", "[^a-z]"]
        {
            assert!(may_match_in(pattern), "{pattern}");
        }
        for pattern in ["key-[0-9]+", "[a-d]+", "(://)[^@]*@", "(x|y)1", "(?i)sk-[0-9]+", "(?-u:[a-d])"] {
            assert!(!may_match_in(pattern), "{pattern}");
        }
    }

    #[test]
    fn numbers_are_found() {
        let between = ": [-1.5e+3, true, null, 7 ,{},42]";
        let found: Vec<_> =
            places(between, 10).map(|place| &between[place.start - 10..place.end - 10]).collect();
        assert_eq!(found, ["-1.5e+3", "7", "42"]);
    }
}
