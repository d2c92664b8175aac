//! Composes an answer from quotes of the passages, word for word: nothing in it is invented.

use crate::ask::citations::without_markers;
use crate::ask::relevance::cosine;
use crate::ask::units::Unit;
use crate::ask::{Answer, Citation, ELLIPSIS};

/// Maximum number of units in an answer.
const MAX_UNITS: usize = 3;

/// Maximum bytes that an answer quotes.
const MAX_QUOTED_BYTES: usize = 1400;

/// Weight of a passage's score in the search, relative to the best score, beside the similarity of its unit. Between 0 and
/// 0.4 the share of answers that begin with the right page grows, by 7 points for the index of the PostgreSQL manual and
/// not at all for Anthropic's documentation; above 0.4 nothing is gained.
const PASSAGE_WEIGHT: f64 = 0.4;

/// A unit is left out if its score is lower than the best score by more than this.
const MAX_SCORE_GAP: f64 = 0.15;

/// Two units with at least this cosine say the same.
const DUPLICATE_SIMILARITY: f64 = 0.85;

/// Bonus for blocks if the question is "how do I …", since blocks contain commands and steps.
const BLOCK_BONUS: f64 = 0.1;

/// Penalty for captions and for sentences that were cut off.
const FRAGMENT_PENALTY: f64 = 0.1;

/// The question with its embedding.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedQuestion<'a> {
    /// The question.
    pub text: &'a str,
    /// Its embedding.
    pub embedding: &'a [f32],
}

/// A part of a passage with its embedding.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Position of the passage, from 0.
    pub passage: usize,
    /// The text that can be quoted.
    pub unit: Unit<'a>,
    /// The unit's embedding.
    pub embedding: &'a [f32],
}

/// An answer that quotes the best candidates in reading order, each with its citation; `None` if there are none. `scores`
/// are the scores of the passages in the search.
pub fn answer(question: EmbeddedQuestion, scores: &[f64], candidates: &[Candidate]) -> Option<Answer> {
    let mut chosen = choose(question, scores, candidates);
    chosen.sort_by_key(|candidate| (candidate.passage, candidate.unit.start));
    (!chosen.is_empty()).then(|| compose(&chosen))
}

/// The best candidates, without those that say the same as a better one.
fn choose<'c, 'a>(
    question: EmbeddedQuestion,
    scores: &[f64],
    candidates: &'c [Candidate<'a>],
) -> Vec<&'c Candidate<'a>> {
    let highest = scores.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let asks_how = asks_how(question.text);
    let score = |candidate: &Candidate| {
        let passage = scores.get(candidate.passage).map_or(0.0, |score| score / highest);
        let similarity = cosine(question.embedding, candidate.embedding);
        similarity + PASSAGE_WEIGHT * passage + preference(&candidate.unit, asks_how)
    };
    let mut ranked: Vec<_> = candidates.iter().map(|candidate| (score(candidate), candidate)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let least = ranked.first().map_or(0.0, |best| best.0) - MAX_SCORE_GAP;
    let mut chosen: Vec<&Candidate> = Vec::new();
    let mut bytes = 0;
    for (score, candidate) in ranked {
        if chosen.len() == MAX_UNITS || score < least {
            break;
        }
        let is_new =
            chosen.iter().all(|other| cosine(other.embedding, candidate.embedding) < DUPLICATE_SIMILARITY);
        let length = candidate.unit.text.len();
        if is_new && (chosen.is_empty() || bytes + length <= MAX_QUOTED_BYTES) {
            bytes += length;
            chosen.push(candidate);
        }
    }
    chosen
}

/// The bonus or penalty for the form of a unit.
fn preference(unit: &Unit, asks_how: bool) -> f64 {
    match unit.is_block {
        true if asks_how => BLOCK_BONUS,
        false if is_fragment(unit.text) => -FRAGMENT_PENALTY,
        _ => 0.0,
    }
}

/// True if a question asks how something is done.
fn asks_how(question: &str) -> bool {
    let question = question.to_lowercase();
    let mut words = question.split_whitespace().skip_while(|word| *word != "how").skip(1);
    words.next().is_some_and(|word| ["do", "can", "to", "should", "could", "would", "must"].contains(&word))
}

/// True if a text does not end like a sentence.
fn is_fragment(text: &str) -> bool {
    let closing = |c: char| "\"'”’)]*_`»".contains(c);
    let has_end = |text: &str| text.ends_with(['.', '!', '?', '。', '！', '？', '…']);
    !has_end(text) && !has_end(text.trim_end_matches(closing))
}

/// Joins the chosen candidates, in reading order, and gives each its citation. Numbers count the passages in the order of
/// the text.
fn compose(chosen: &[&Candidate]) -> Answer {
    let mut answer = Answer::default();
    let mut last: Option<&Candidate> = None;
    for candidate in chosen {
        let before = last.filter(|last| last.passage == candidate.passage);
        match before.and(answer.citations.last_mut()) {
            Some(citation) => {
                let between =
                    if before.is_some_and(|before| adjoins(before, candidate)) { " " } else { ELLIPSIS };
                citation.quote.push_str(between);
                citation.quote.push_str(candidate.unit.text);
            }
            None => answer.citations.push(Citation {
                number: answer.citations.len() + 1,
                passage: candidate.passage,
                quote: candidate.unit.text.to_owned(),
            }),
        }
        let in_lines = candidate.unit.is_block || last.is_some_and(|last| last.unit.is_block);
        if last.is_some() {
            answer.text.push_str(if in_lines { "\n\n" } else { " " });
        }
        answer.text.push_str(&without_markers(candidate.unit.text));
        answer.text.push_str(if candidate.unit.is_block { "\n\n" } else { " " });
        answer.text.push_str(&format!("[{}]", answer.citations.len()));
        last = Some(candidate);
    }
    answer
}

/// True if only a space was between the two.
fn adjoins(before: &Candidate, after: &Candidate) -> bool {
    before.unit.end() + 1 == after.unit.start
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::units::units;

    const QUESTION: EmbeddedQuestion = EmbeddedQuestion { text: "How do I do it?", embedding: &[1.0, 0.0] };

    /// Each passage's units have two-dimensional embeddings, whose cosine with (1, 0) is the given number; a negative
    /// number puts the embedding on the other side.
    fn check(passages: &[(&str, &[f32])], expected: &str, quotes: &[&str]) {
        let vectors: Vec<Vec<[f32; 2]>> = passages
            .iter()
            .map(|(_, cosines)| {
                cosines.iter().map(|c| [c.abs(), (1.0 - c * c).sqrt() * c.signum()]).collect()
            })
            .collect();
        let mut candidates = Vec::new();
        for (passage, (text, _)) in passages.iter().enumerate() {
            for (unit, embedding) in units(text).into_iter().zip(&vectors[passage]) {
                candidates.push(Candidate { passage, unit, embedding });
            }
        }
        let answer = answer(QUESTION, &vec![0.0; passages.len()], &candidates).unwrap_or_default();
        assert_eq!(answer.text, expected);
        let actual: Vec<_> = answer.citations.iter().map(|citation| citation.quote.as_str()).collect();
        assert_eq!(actual, quotes);
    }

    #[test]
    fn the_best_sentences_stand_in_reading_order() {
        check(
            &[("This is first. Not this one.", &[0.70, 0.1]), ("The best is here.", &[-0.85])],
            "The best is here. [1]",
            &["The best is here."],
        );
        check(
            &[("This is first. Not this one.", &[0.80, 0.1]), ("The best is here.", &[-0.85])],
            "This is first. [1] The best is here. [2]",
            &["This is first.", "The best is here."],
        );
    }

    #[test]
    fn two_places_of_a_passage_are_one_citation() {
        check(
            &[("This is first. Not this one. This is third.", &[0.80, 0.1, -0.85])],
            "This is first. [1] This is third. [1]",
            &["This is first. … This is third."],
        );
        check(
            &[("This is first. This is second.", &[0.80, -0.85])],
            "This is first. [1] This is second. [1]",
            &["This is first. This is second."],
        );
    }

    #[test]
    fn what_says_the_same_is_said_once() {
        check(
            &[("This is first. This is second.", &[0.99, 0.985])],
            "This is first. [1]",
            &["This is first."],
        );
    }

    #[test]
    fn a_planted_marker_is_no_citation_and_the_quote_is_verbatim() {
        check(
            &[("As they say [9] it works.", &[0.9])],
            "As they say (9) it works. [1]",
            &["As they say [9] it works."],
        );
    }

    #[test]
    fn blocks_stand_in_lines_of_their_own() {
        check(
            &[("Run the following:\n\n```\npg_dump\n```", &[0.9])],
            "Run the following:\n\n```\npg_dump\n```\n\n[1]",
            &["Run the following:\n\n```\npg_dump\n```"],
        );
    }

    #[test]
    fn sentences_go_before_captions() {
        for (text, expected) in
            [("It is.", false), ("(It is.)", false), ("*Is it?*", false), ("A caption", true)]
        {
            assert_eq!(is_fragment(text), expected, "{text}");
        }
    }

    #[test]
    fn commands_go_first_for_a_question_that_asks_how() {
        let text = "This is much like it. Run:\n\n```\npg_dump\n```";
        let units = units(text);
        let candidates: Vec<_> = (units.iter().zip([&[0.8, 0.6], &[0.75, -0.66]]))
            .map(|(unit, embedding)| Candidate { passage: 0, unit: *unit, embedding })
            .collect();
        let best = |text| choose(EmbeddedQuestion { text, ..QUESTION }, &[1.0], &candidates)[0].unit.is_block;
        assert!(best("How do I dump?") && best("Tell me how to dump") && !best("What is like it?"));
    }

    #[test]
    fn nothing_gives_no_answer() {
        assert_eq!(answer(QUESTION, &[], &[]), None);
    }
}
