//! Finds the numbers in brackets that are citations, and the quotes that they cite.

use crate::ask::units::units;
use crate::ask::words::{overlap, words};
use crate::ask::{Answer, Citation, ELLIPSIS};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A longer number in brackets is not a citation.
const MAX_NUMBER_DIGITS: usize = 4;

/// Brackets with more bytes between them are not a citation.
const MAX_MARKER_BYTES: usize = 64;

/// Maximum count of numbers in a range such as `[1-3]`.
const MAX_RANGE_NUMBERS: usize = 20;

/// The position of a pair of brackets in a text, and the numbers in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marker {
    range: Range<usize>,
    numbers: Vec<usize>,
}

/// Checks the citations in a model's answer: removes numbers without a passage, and gives each of several numbers in one
/// pair of brackets its own brackets. A citation quotes the part of the passage that is most similar to the sentence that
/// cites it.
pub fn check(answer: &str, passages: &[&str]) -> Answer {
    let mut text = String::with_capacity(answer.len());
    let mut cited: BTreeMap<usize, Vec<Range<usize>>> = BTreeMap::new();
    let mut from = 0;
    for marker in markers(answer) {
        let known: Vec<usize> =
            marker.numbers.iter().copied().filter(|number| (1..=passages.len()).contains(number)).collect();
        text.push_str(&answer[from..marker.range.start]);
        if known.is_empty() {
            text.truncate(text.trim_end_matches(' ').len());
        }
        for number in known {
            let start = text.len();
            text.push_str(&format!("[{number}]"));
            cited.entry(number).or_default().push(start..text.len());
        }
        from = marker.range.end;
    }
    text.push_str(&answer[from..]);
    let text = text.trim().to_owned();
    let citations = cited.into_iter().filter_map(|(number, places)| {
        let passage = number - 1;
        let quote = quote(passages.get(passage)?, &text, &places);
        Some(Citation { number, passage, quote })
    });
    Answer { citations: citations.collect(), text }
}

/// Replaces the brackets of text that would be read as a citation by round ones. An index such as `a[1]`, and code, stay unchanged.
pub fn without_markers(text: &str) -> String {
    let mut changed = String::with_capacity(text.len());
    let mut from = 0;
    for marker in markers(text) {
        if is_index(text, &marker) {
            continue;
        }
        let inside = &text[marker.range.start + 1..marker.range.end - 1];
        changed.push_str(&text[from..marker.range.start]);
        changed.push_str(&format!("({inside})"));
        from = marker.range.end;
    }
    changed.push_str(&text[from..]);
    changed
}

/// True if the marker follows a name without a space, as an array index does.
fn is_index(text: &str, marker: &Marker) -> bool {
    text[..marker.range.start]
        .chars()
        .last()
        .is_some_and(|before| before.is_alphanumeric() || "_])".contains(before))
}

/// The markers outside code.
fn markers(text: &str) -> Vec<Marker> {
    let code = code(text);
    let mut markers = Vec::new();
    let mut from = 0;
    while let Some(open) = text[from..].find('[').map(|offset| from + offset) {
        from = open + 1;
        let near = text.floor_char_boundary(from + MAX_MARKER_BYTES);
        let Some(close) = text[from..near].find(']').map(|offset| from + offset) else { continue };
        let is_code = code.iter().any(|code| code.contains(&open));
        if let (false, Some(numbers)) = (is_code, numbers(&text[from..close])) {
            markers.push(Marker { range: open..close + 1, numbers });
            from = close + 1;
        }
    }
    markers
}

/// `1`, `1, 2`, `1-3`, `1; 4-5`.
fn numbers(inside: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in inside.split([',', ';']) {
        let mut ends = part.splitn(2, ['-', '–']).map(number);
        let first = ends.next()??;
        let last = ends.next().unwrap_or(Some(first))?;
        numbers.extend((first..=last).take(MAX_RANGE_NUMBERS));
    }
    (!numbers.is_empty()).then_some(numbers)
}

fn number(digits: &str) -> Option<usize> {
    let digits = digits.trim();
    let is_number =
        (1..=MAX_NUMBER_DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// The ranges of code in Markdown.
fn code(text: &str) -> Vec<Range<usize>> {
    let mut code = Vec::new();
    for (event, range) in Parser::new(text).into_offset_iter() {
        if matches!(event, Event::Code(_) | Event::Start(Tag::CodeBlock(_)) | Event::End(TagEnd::CodeBlock)) {
            code.push(range);
        }
    }
    code
}

/// The parts of a passage that are most similar to the sentences that cite it, in the order of the passage.
fn quote(passage: &str, answer: &str, places: &[Range<usize>]) -> String {
    let candidates: Vec<_> = units(passage).into_iter().map(|unit| (words(unit.text), unit)).collect();
    let mut chosen = BTreeSet::new();
    for place in places {
        let citing = words(sentence_at(answer, place));
        let best = (candidates.iter().enumerate())
            .map(|(index, (words, _))| (overlap(&citing, words), index))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        chosen.extend(best.map(|(_, index)| index));
    }
    if candidates.is_empty() {
        return passage.trim().to_owned();
    }
    let texts: Vec<_> = chosen.into_iter().map(|index| candidates[index].1.text).collect();
    texts.join(ELLIPSIS)
}

/// The sentence that ends with a marker or contains it.
fn sentence_at<'a>(text: &'a str, marker: &Range<usize>) -> &'a str {
    // A marker may stand after the sentence's period, and would then begin a new sentence.
    let before = text[..marker.start].trim_end().trim_end_matches(['.', '!', '?']);
    let start = before.rfind(['.', '!', '?', '\n']).map_or(0, |end| end + 1);
    &text[start..marker.start]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSAGES: [&str; 2] =
        ["Cats sleep all day. They hunt mice at night.", "Dogs bark loudly. They guard houses."];

    fn verify(answer: &str, expected: &str, cited: &[(usize, &str)]) {
        let checked = check(answer, &PASSAGES);
        assert_eq!(checked.text, expected);
        let actual: Vec<_> = checked.citations.iter().map(|c| (c.number, c.quote.as_str())).collect();
        assert_eq!(actual, cited);
    }

    #[test]
    fn known_numbers_are_cited_with_the_sentence_they_support() {
        verify(
            "Mice are hunted at night [1]. Houses are guarded by them [2].",
            "Mice are hunted at night [1]. Houses are guarded by them [2].",
            &[(1, "They hunt mice at night."), (2, "They guard houses.")],
        );
        verify(
            "They sleep.[1] They hunt mice.[1]",
            "They sleep.[1] They hunt mice.[1]",
            &[(1, "Cats sleep all day. … They hunt mice at night.")],
        );
    }

    #[test]
    fn unknown_numbers_are_taken_out() {
        verify("Dogs bark [9]. Loudly [2, 7].", "Dogs bark. Loudly [2].", &[(2, "Dogs bark loudly.")]);
        verify("All of it [0].", "All of it.", &[]);
        verify("Nothing is cited.", "Nothing is cited.", &[]);
    }

    #[test]
    fn several_numbers_get_brackets_of_their_own() {
        verify(
            "Dogs bark, cats sleep [1, 2].",
            "Dogs bark, cats sleep [1][2].",
            &[(1, "Cats sleep all day."), (2, "Dogs bark loudly.")],
        );
        verify(
            "Dogs bark, cats sleep [1-2].",
            "Dogs bark, cats sleep [1][2].",
            &[(1, "Cats sleep all day."), (2, "Dogs bark loudly.")],
        );
    }

    #[test]
    fn code_and_links_are_no_citations() {
        verify("Use `a[1]` or [this](x).", "Use `a[1]` or [this](x).", &[]);
        verify("Use:\n\n```\na[7]\n```", "Use:\n\n```\na[7]\n```", &[]);
        verify("[99999] [1 [x", "[99999] [1 [x", &[]);
    }

    #[test]
    fn markers_of_a_text_become_round() {
        assert_eq!(without_markers("As known [3], a[1] and `b [2]`."), "As known (3), a[1] and `b [2]`.");
        assert_eq!(without_markers("none"), "none");
    }
}
