//! One spelling for texts that look the same. If texts are in Unicode: the compatibility composition (NFKC) without
//! invisible characters, and one kind of hyphen. If the rules fold accents: without accents.

use super::rules::Rules;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use std::borrow::Cow;

/// A text in one spelling.
pub fn normalise(text: &str, rules: Rules) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let composed = if rules.normalises { compose(text) } else { Cow::Borrowed(text) };
    if rules.folds_accents { Cow::Owned(without_accents(&composed)) } else { composed }
}

fn compose(text: &str) -> Cow<'_, str> {
    let visible: Cow<'_, str> = if text.contains(is_replaced) {
        text.chars()
            .filter(|character| !is_invisible(*character))
            .map(|character| match character {
                _ if is_sign(character) => ' ',
                _ if is_hyphen(character) => '-',
                _ => character,
            })
            .collect()
    } else {
        Cow::Borrowed(text)
    };
    Cow::Owned(ComposingNormalizerBorrowed::new_nfkc().normalize(&visible).into_owned())
}

fn is_replaced(character: char) -> bool {
    is_invisible(character) || is_sign(character) || is_hyphen(character)
}

/// Hyphens that word processors write, and that NFKC does not map to the ASCII hyphen.
fn is_hyphen(character: char) -> bool {
    matches!(character, '\u{2010}' | '\u{2011}')
}

/// Soft hyphen, zero-width space, word joiner and byte order mark: they only permit or forbid a line break.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// Signs that NFKC would turn into letters or digits of the word before them: trademarks, and superscript digits such as
/// those of footnotes.
fn is_sign(character: char) -> bool {
    matches!(character, '™' | '℠' | '®' | '©' | '¹' | '²' | '³' | '\u{2070}'..='\u{2079}')
}

/// Removes accents and changes nothing else: an encoding other than Unicode may lack the normal form of other characters.
fn without_accents(text: &str) -> String {
    let decomposer = DecomposingNormalizerBorrowed::new_nfd();
    let mut plain = String::with_capacity(text.len());
    let mut base = ' ';
    for character in text.chars() {
        if character.is_ascii() {
            base = character;
            plain.push(character);
            continue;
        }
        let is_accent = matches!(character, '\u{300}'..='\u{36f}');
        if is_accent && is_latin_or_greek(base) {
            continue;
        }
        let letter = decomposer.normalize(character.encode_utf8(&mut [0; 4])).chars().next();
        let letter = letter.filter(|letter| is_latin_or_greek(*letter)).unwrap_or(character);
        if !is_accent {
            base = letter;
        }
        plain.push(letter);
    }
    plain
}

fn is_latin_or_greek(character: char) -> bool {
    matches!(character, 'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{3ff}' | '\u{1e00}'..='\u{1fff}')
}
