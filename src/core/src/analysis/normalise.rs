//! One spelling for what looks the same: Unicode's compatibility composition (NFKC), without invisible characters, with one hyphen, and
//! without accents where these do not count.

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use std::borrow::Cow;

/// A text in normal form.
pub fn normalise(text: &str, folds_accents: bool) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
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
    let composed = ComposingNormalizerBorrowed::new_nfkc().normalize(&visible);
    if folds_accents {
        return Cow::Owned(without_accents(&composed));
    }
    Cow::Owned(composed.into_owned())
}

fn is_replaced(character: char) -> bool {
    is_invisible(character) || is_sign(character) || is_hyphen(character)
}

/// Hyphens that word processors write, which NFKC keeps apart from that of keyboards.
fn is_hyphen(character: char) -> bool {
    matches!(character, '\u{2010}' | '\u{2011}')
}

/// Soft hyphen, zero-width space, word joiner and byte order mark: places where a line may or may not be broken.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// Signs that NFKC makes letters or digits of, which would then belong to the word before them: trademarks and superscript digits, as
/// of footnotes.
fn is_sign(character: char) -> bool {
    matches!(character, '™' | '℠' | '®' | '©' | '¹' | '²' | '³' | '\u{2070}'..='\u{2079}')
}

fn without_accents(text: &str) -> String {
    let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(text);
    let mut plain = String::with_capacity(decomposed.len());
    let mut base = ' ';
    for character in decomposed.chars() {
        let is_accent = matches!(character, '\u{300}'..='\u{36f}');
        if is_accent && is_latin_or_greek(base) {
            continue;
        }
        if !is_accent {
            base = character;
        }
        plain.push(character);
    }
    ComposingNormalizerBorrowed::new_nfc().normalize(&plain).into_owned()
}

fn is_latin_or_greek(character: char) -> bool {
    matches!(character, 'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{3ff}' | '\u{1e00}'..='\u{1fff}')
}
