//! Which words of a text are indexed, beside those that the collection's text search configuration finds in it.
//!
//! PostgreSQL's default parser takes `pump_controller.py`, `foo.bar.Baz` and `https://example.org/setup.html` for one word each, splits
//! `AB-1234-XK` into `AB` and `-1234-XK`, and a line of Chinese is one word. So a text is rewritten before the parser sees it:
//!
//! 1. It is normalised ([`normalise`]).
//! 2. A compound token is replaced by what it is found by: itself in lower case, and its parts ([`compounds`]).
//! 3. Numbers are written in one way ([`numbers`]).
//! 4. A run of a script without spaces is replaced by its pairs of neighbouring characters ([`bigrams`]). A single character is
//!    looked for as the beginning of pairs, and the last one of a run is indexed, too.
//! 5. Letters outside ASCII are in lower case ([`letter_case`]), after compound tokens were split at capitals.
//!
//! Everything else is left as it is, and the configuration's dictionaries see every part. The same is done with a query.

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

/// A text in one spelling, in lower case.
pub fn in_lower_case(text: &str, rules: Rules) -> String {
    lower_case(&normalise::normalise(text, rules))
}

/// Rewrites a text. What it returns is at most a few times as long.
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

/// Rewrites a query. The last character of a run without spaces is not looked for by itself.
pub fn analyse_query(text: &str, rules: Rules) -> Analysed {
    let mut analysed = analyse(text, rules);
    analysed.parts.words.retain(|word| !is_one_character(word));
    analysed
}

/// Length of a tag of HTML or XML that the text begins with. The parser of PostgreSQL skips it.
fn tag_length(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('<')?;
    inside
        .starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '!' | '?'))
        .then_some(())?;
    let end = inside.find(['<', '>', '\n'])?;
    (inside[end..].starts_with('>') && !is_address(&inside[..end])).then_some(end + 2)
}

/// Whether what stands in angle brackets begins with an address or the name of a file in place of the name of a tag.
fn is_address(inside: &str) -> bool {
    let name = inside.split(char::is_whitespace).next().unwrap_or_default();
    let name = name.strip_suffix('/').unwrap_or(name);
    !inside.starts_with(['!', '?']) && (name.contains(['@', '.']) || name.contains(":/"))
}
