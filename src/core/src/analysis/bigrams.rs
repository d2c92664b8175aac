//! Pairs of neighbouring characters, for scripts that are written without spaces between words.

use super::found::Analysed;

/// True if a character belongs to a script without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), or
/// to Korean, where particles are attached to words.
pub fn has_no_spaces(character: char) -> bool {
    matches!(u32::from(character),
        0x0e01..=0x0e3a | 0x0e40..=0x0e4e // Thai
        | 0x0e81..=0x0ece | 0x0edc..=0x0edf // Lao
        | 0x1000..=0x103f | 0x1050..=0x108f // Burmese
        | 0x1780..=0x17d3 // Khmer
        | 0x1100..=0x11ff | 0x3130..=0x318f | 0xac00..=0xd7af // Hangul
        | 0x3005..=0x3007 | 0x3041..=0x3096 | 0x309d..=0x309f // Hiragana and iteration marks
        | 0x30a1..=0x30fa | 0x30fc..=0x30ff | 0x31f0..=0x31ff // Katakana
        | 0x3105..=0x312f // Bopomofo
        | 0xff66..=0xffdc // Katakana and Hangul of half width
        | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff // Han
    )
}

/// True if a word is one such character.
pub fn is_one_character(word: &str) -> bool {
    let mut characters = word.chars();
    characters.next().is_some_and(has_no_spaces) && characters.next().is_none()
}

/// Adds the bigrams of the run of such characters at the beginning of a text; the run must not be empty. A run of one
/// character is a word. The last character of a longer run, at which no bigram begins, is a part. Returns the length of the
/// run in bytes.
pub fn take_run(text: &str, analysed: &mut Analysed) -> usize {
    let length = text.find(|character| !has_no_spaces(character)).unwrap_or(text.len());
    let run = &text[..length];
    let starts: Vec<usize> = run.char_indices().map(|(start, _)| start).chain([length]).collect();
    match starts[..] {
        [_, _] => analysed.words.keep(run.to_owned()),
        [.., last, _] => analysed.parts.keep(run[last..].to_owned()),
        _ => {}
    }
    for pair in starts.windows(3) {
        analysed.words.keep(run[pair[0]..pair[2]].to_owned());
    }
    analysed.words.append("");
    length
}
