//! Determines which words of a text are indexed, in addition to those that the text search configuration finds.
//!
//! PostgreSQL's default parser reads `pump_controller.py`, `foo.bar.Baz` and `https://example.org/setup.html` as one word
//! each, splits `AB-1234-XK` into `AB` and `-1234-XK`, and reads a line of Chinese as one word. A text is therefore
//! rewritten before the parser sees it:
//!
//! 1. The text is normalised ([`normalise`]).
//! 2. A compound token is replaced by the words that find it: the whole token in lower case, and its parts ([`compounds`]).
//! 3. Numbers get one spelling ([`numbers`]).
//! 4. A run of a script without spaces is replaced by its pairs of neighbouring characters ([`bigrams`]). A search for a
//!    single character matches the pairs that begin with it, and the last character of a run is indexed as well.
//! 5. Letters outside ASCII become lower case ([`letter_case`]), after compound tokens were split at capitals.
//!
//! Everything else stays unchanged, and the configuration's dictionaries see every part. Queries are rewritten in the same way.

mod bigrams;
mod compounds;
mod found;
mod language;
mod letter_case;
mod normalise;
mod numbers;
mod phrase;
mod rules;
#[cfg(test)]
mod tests;

pub use bigrams::{has_no_spaces, is_one_character};
pub use compounds::joined;
pub use found::{Analysed, Found};
pub use language::configuration_of;
pub use phrase::TextWords;
pub use rules::Rules;

use compounds::Compounds;
use letter_case::{lower_case, lower_outside_ascii};

/// A text normalised and in lower case.
pub fn in_lower_case(text: &str, rules: Rules) -> String {
    lower_case(&normalise::normalise(text, rules))
}

/// Rewrites a text. The result is at most a few times as long.
pub fn analyse(text: &str, rules: Rules) -> Analysed {
    let text = normalise::normalise(text, rules);
    let mut analysed = Analysed::default();
    analysed.words.text.reserve(text.len());
    let mut rest = text.as_ref();
    while let Some(character) = rest.chars().next() {
        let length = if let Some(length) = tag_length(rest) {
            analysed.words.copy(&rest[..length])
        } else if rules.makes_bigrams && has_no_spaces(character) {
            bigrams::take_run(rest, &mut analysed)
        } else if rules.splits_compounds {
            let (token, after) = rest.split_at(compounds::token_length(rest));
            if token.is_empty() {
                analysed.words.copy(&rest[..character.len_utf8()])
            } else if compounds::is_plain(&analysed.words.text, token) {
                analysed.words.copy(token)
            } else {
                Compounds::new(&mut analysed).take_token(token, after)
            }
        } else {
            analysed.words.copy(&rest[..character.len_utf8()])
        };
        rest = &rest[length..];
    }
    if rules.normalises {
        for found in [&mut analysed.words, &mut analysed.parts] {
            found.text = lower_outside_ascii(std::mem::take(&mut found.text));
        }
    }
    analysed
}

/// Rewrites a query. The last character of a run without spaces is not searched for by itself.
pub fn analyse_query(text: &str, rules: Rules) -> Analysed {
    let mut analysed = analyse(text, rules);
    analysed.parts.words.retain(|word| !is_one_character(word));
    analysed
}

/// Length in bytes of an HTML or XML tag at the beginning of a text. PostgreSQL's parser skips tags.
fn tag_length(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('<')?;
    inside
        .starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '!' | '?'))
        .then_some(())?;
    let end = inside.find(['<', '>', '\n'])?;
    (inside[end..].starts_with('>') && !is_address(&inside[..end])).then_some(end + 2)
}

/// True if the text in angle brackets begins with an address or a file name instead of a tag name.
fn is_address(inside: &str) -> bool {
    let name = inside.split(char::is_whitespace).next().unwrap_or_default();
    let name = name.strip_suffix('/').unwrap_or(name);
    !inside.starts_with(['!', '?']) && (name.contains(['@', '.']) || name.contains(":/"))
}
