//! Which words of a text are indexed, beside those that the collection's text search configuration finds in it.
//!
//! PostgreSQL's default parser takes `pump_controller.py`, `foo.bar.Baz` and `https://example.org/setup.html` for one word each, splits
//! `AB-1234-XK` into `AB` and `-1234-XK`, and a line of Chinese is one word. So a text is rewritten before the parser sees it:
//!
//! 1. It is normalised ([`normalise`]).
//! 2. A compound token is replaced by its parts, and is a word itself, in lower case ([`compounds`]).
//! 3. Numbers are written in one way ([`numbers`]).
//! 4. A run of a script without spaces is replaced by its pairs of neighbouring characters ([`bigrams`]).
//!
//! Everything else is left as it is, and the configuration's dictionaries see every part. The same is done with a query.

mod bigrams;
mod compounds;
mod normalise;
mod numbers;
#[cfg(test)]
mod tests;

use compounds::Compounds;
use std::borrow::Cow;

/// Words of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What the configuration's parser reads.
    pub text: String,
    /// Words that no parser or dictionary changes, once for each occurrence.
    pub words: Vec<String>,
}

/// A text that is ready for the text search configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Analysed {
    /// The words of the text.
    pub words: Found,
    /// Parts of compound tokens, and other spellings. By these a text is found, but they do not count as further occurrences of a
    /// word that it has, nor for its length: the parts of paths and names in a text would outweigh what it says.
    pub parts: Found,
}

/// What is done with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Text is in Unicode, so that its normal form can be written in the database's encoding.
    pub normalises: bool,
    /// Letters lose their accents, in scripts in which these are marks on a letter: Latin and Greek.
    pub folds_accents: bool,
    /// Compound tokens are found by their parts, too.
    pub splits_compounds: bool,
    /// The configuration has no words for scripts without spaces.
    pub makes_bigrams: bool,
}

/// Longest word in bytes that is kept whole. Longer ones are rarely looked for: encoded data, long addresses.
const MAX_WORD_BYTES: usize = 255;

/// Rewrites a text. What it returns is at most a few times as long.
pub fn analyse(text: &str, rules: Rules) -> Analysed {
    let text = match rules.normalises {
        true => normalise::normalise(text, rules.folds_accents),
        false => Cow::Borrowed(text),
    };
    let mut analysed = Analysed::default();
    analysed.words.text.reserve(text.len());
    let mut rest = text.as_ref();
    while let Some(character) = rest.chars().next() {
        let length = if let Some(length) = tag_length(rest) {
            analysed.words.copy(&rest[..length])
        } else if rules.makes_bigrams && bigrams::has_no_spaces(character) {
            bigrams::take_run(rest, &mut analysed.words)
        } else if rules.splits_compounds {
            match compounds::token_length(rest) {
                0 => analysed.words.copy(&rest[..character.len_utf8()]),
                length if compounds::is_plain(&analysed.words.text, &rest[..length]) => {
                    analysed.words.copy(&rest[..length])
                }
                _ => Compounds::new(&mut analysed).take_token(rest),
            }
        } else {
            analysed.words.copy(&rest[..character.len_utf8()])
        };
        rest = &rest[length..];
    }
    analysed
}

/// Length of a tag of HTML or XML that the text begins with. The parser of PostgreSQL skips it.
fn tag_length(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('<')?;
    inside
        .starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '!' | '?'))
        .then_some(())?;
    let end = inside.find(['<', '>', '\n'])?;
    inside[end..].starts_with('>').then_some(end + 2)
}

impl Found {
    /// Leaves text as it is, and returns its length.
    fn copy(&mut self, text: &str) -> usize {
        self.text.push_str(text);
        text.len()
    }

    /// Adds a word as it is.
    fn keep(&mut self, word: String) {
        if word.len() <= MAX_WORD_BYTES {
            self.words.push(word);
        }
    }

    /// Adds parts as one word, as which they may be written, too.
    fn append_joined<'t>(&mut self, parts: impl Iterator<Item = &'t str>) {
        let joined: String = parts.collect();
        if joined.len() <= MAX_WORD_BYTES {
            self.append(&joined);
        }
    }

    /// Adds text that the parser takes for words of its own.
    fn append(&mut self, text: &str) {
        if !self.text.ends_with(' ') {
            self.text.push(' ');
        }
        self.text.push_str(text);
        self.text.push(' ');
    }
}
