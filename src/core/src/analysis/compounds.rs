//! Compound tokens: part numbers, versions, paths, addresses, identifiers, words with hyphens.
//!
//! A token is split in levels: first at `/ \ : @ ? = & # ,`, then at `- _ + ~`, then at points, then where upper case
//! follows lower case. At each level, a token that is split is indexed as a whole, too.

use super::bigrams::has_no_spaces;
use super::found::{Analysed, Found};
use super::letter_case::lower_case;
use super::numbers;

/// Separators of the first level: those of addresses and paths.
const OUTER: [char; 9] = ['/', '\\', ':', '@', '?', '=', '&', '#', ','];

/// Separators of the second level: those of identifiers and part numbers.
const INNER: [char; 4] = ['-', '_', '+', '~'];

/// Digits inside a token of letters and digits, as in `F7731`, are a part if there are at least this many.
const MIN_DIGITS: usize = 3;

/// True if a character belongs to a word: a letter, a digit, or a combining mark.
pub fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '\u{300}'..='\u{36f}')
}

/// Splits a token.
pub struct Compounds<'a> {
    analysed: &'a mut Analysed,
    /// True if the current token is itself a part, which PostgreSQL's parser does not see.
    is_part: bool,
}

impl<'a> Compounds<'a> {
    /// The words and parts that are found are added to `analysed`.
    pub fn new(analysed: &'a mut Analysed) -> Self {
        Self { analysed, is_part: false }
    }

    /// Adds a token that stands before `rest`, and returns its length in bytes.
    pub fn take_token(mut self, token: &str, rest: &str) -> usize {
        let signs = trailing_signs(token, rest);
        if !signs.is_empty() {
            self.analysed.parts.keep(lower_case(token) + signs);
        }
        if is_number(token) && ends_with_minus(&self.analysed.words.text) {
            // The parser would read the sign as a part of the number, which would then be another word.
            let spelling = numbers::spellings(token).and_then(|spellings| spellings.into_iter().next());
            self.analysed.parts.keep(format!("-{}", spelling.as_deref().unwrap_or(token)));
            self.analysed.words.text.pop();
        }
        if self.analysed.words.text.ends_with('<') {
            // The text after a token that is left out must not become a tag.
            self.analysed.words.append("");
        }
        self.outer(token);
        token.len()
    }

    fn outer(&mut self, token: &str) {
        if !token.contains(OUTER) {
            return self.inner(token);
        }
        if self.keep_number(token) {
            return;
        }
        if token.contains(['/', '@']) {
            // A path or an address, which the parser reads as one word.
            self.found().keep(lower_case(token));
            self.is_part = true;
        } else {
            self.analysed.parts.keep(lower_case(token));
        }
        parts(token, &OUTER).for_each(|part| self.inner(part));
    }

    fn inner(&mut self, token: &str) {
        if !token.contains(INNER) {
            return self.points(token);
        }
        if token.contains('.') {
            self.found().keep(lower_case(token));
            self.is_part = true;
        } else {
            self.analysed.parts.append_joined(parts(token, &INNER));
        }
        parts(token, &INNER).for_each(|part| self.points(part));
    }

    fn points(&mut self, token: &str) {
        if !token.contains('.') {
            return self.letters_and_digits(token);
        }
        if self.keep_number(token) {
            return;
        }
        self.found().keep(lower_case(token));
        self.is_part = true;
        let is_letter = |part: &str| part.chars().all(char::is_alphabetic) && !has_two_characters(part);
        if parts(token, &['.']).all(is_letter) {
            // An abbreviation.
            return self.found().append_joined(parts(token, &['.']));
        }
        if let Some(number) = number_inside(token) {
            self.found().keep(number.to_owned());
        }
        parts(token, &['.'])
            .filter(|part| has_two_characters(part))
            .for_each(|part| self.letters_and_digits(part));
    }

    fn letters_and_digits(&mut self, token: &str) {
        self.found().append(token);
        let humps = humps(token);
        // Two-part names that begin with a capital, such as GitHub and TypeScript, are ordinary words.
        let is_identifier =
            token.starts_with(char::is_lowercase) && humps.last().is_some_and(|last| last.len() > 2);
        if humps.len() > 2 || humps.len() == 2 && (is_identifier || self.is_part) {
            let humps = humps.into_iter().filter(|hump| has_two_characters(hump));
            humps.for_each(|hump| self.analysed.parts.append(hump));
        }
        let parts = &mut self.analysed.parts;
        for digits in long_numbers(token).chain(Some(token).filter(|token| is_number(token))) {
            if digits.len() < token.len() {
                parts.append(digits);
            }
            let short = digits.trim_start_matches('0');
            if !short.is_empty() && short.len() < digits.len() {
                parts.append(short);
            }
        }
    }

    /// Adds a number with separators. Returns false if the token is not a number.
    fn keep_number(&mut self, token: &str) -> bool {
        let Some(spellings) = numbers::spellings(token) else { return false };
        let mut spellings = spellings.into_iter();
        if let Some(first) = spellings.next() {
            self.found().keep(first);
        }
        spellings.for_each(|spelling| self.analysed.parts.keep(spelling));
        self.analysed.words.append("");
        true
    }

    /// The list to which the token and its parts belong.
    fn found(&mut self) -> &mut Found {
        if self.is_part { &mut self.analysed.parts } else { &mut self.analysed.words }
    }
}

/// True if the parser reads a token, after the text `before`, as one word, so that nothing is to be done.
pub fn is_plain(before: &str, token: &str) -> bool {
    let is_usual = token.chars().skip(1).all(char::is_lowercase);
    if is_usual && !token.starts_with(|first: char| first.is_ascii_digit())
        || token.chars().all(char::is_uppercase)
    {
        return true;
    }
    if is_number(token) {
        return !token.contains(['.', ',']) && !token.starts_with('0') && !ends_with_minus(before);
    }
    token.chars().all(is_word) && long_numbers(token).next().is_none() && humps(token).len() == 1
}

/// A word without its separators, which is indexed beside its parts. `None` if it has no such parts.
pub fn joined(word: &str) -> Option<String> {
    let word = word.trim_matches(INNER);
    word.contains(INNER).then(|| word.replace(INNER, ""))
}

/// Length in bytes of the token at the beginning of a text, without trailing separators.
pub fn token_length(text: &str) -> usize {
    let is_inside = |character: char| is_word(character) && !has_no_spaces(character);
    let length_of = |from: usize, is_wanted: &dyn Fn(char) -> bool| {
        text[from..].find(|character| !is_wanted(character)).unwrap_or(text.len() - from)
    };
    let mut end = length_of(0, &is_inside);
    loop {
        let separators = length_of(end, &|character| !is_inside(character) && is_separator(character));
        let (run, rest) = text[end..].split_at(separators);
        let word = length_of(end + separators, &is_inside);
        if word == 0 || run.is_empty() || !joins(&text[..end], run, rest) {
            return end;
        }
        end += separators + word;
    }
}

fn is_separator(character: char) -> bool {
    character == '.' || OUTER.contains(&character) || INNER.contains(&character)
}

/// True if the separators join the text before and after them into one token.
fn joins(before: &str, separators: &str, after: &str) -> bool {
    let digit = |character: Option<char>| character.is_some_and(|character| character.is_ascii_digit());
    match separators {
        "," => digit(before.chars().next_back()) && digit(after.chars().next()),
        "?" | "#" | "~" => before.contains('/'),
        _ if separators.len() == 1 => true,
        // Several separators join addresses, paths and module names. Several points or hyphens separate sentences.
        _ => separators.contains(['/', '\\', ':']) && !separators.contains(','),
    }
}

/// The trailing signs of a name such as C++ or F#.
fn trailing_signs<'t>(token: &str, rest: &'t str) -> &'t str {
    let is_name = token.len() <= 2 && token.chars().all(|character| character.is_ascii_alphabetic());
    let length = if rest.starts_with("++") { 2 } else { usize::from(rest.starts_with('#')) };
    let (signs, rest) = rest.split_at(length);
    if is_name && !rest.starts_with(is_word) { signs } else { "" }
}

/// True if a text ends with a minus sign that belongs to what follows.
fn ends_with_minus(text: &str) -> bool {
    let mut last = text.chars().rev();
    matches!(last.next(), Some('-' | '\u{2212}'))
        && last.next().is_none_or(|before| {
            before.is_whitespace() || matches!(before, '(' | '[' | '{' | '<' | '>' | '"')
        })
}

fn is_number(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','))
}

/// The digits in a token of letters and digits that are long enough to be indexed as a part.
fn long_numbers(token: &str) -> impl Iterator<Item = &str> {
    let runs = token.split(|character: char| !character.is_ascii_digit());
    runs.filter(|digits| digits.len() >= MIN_DIGITS && digits.len() < token.len())
}

/// The longest run of digits and points inside a token, if it is a decimal number or a version.
fn number_inside(token: &str) -> Option<&str> {
    let runs = token.split(|character: char| !character.is_ascii_digit() && character != '.');
    let longest = runs.map(|run| run.trim_matches('.')).max_by_key(|run| run.len())?;
    (longest.contains('.') && longest.len() < token.len()).then_some(longest)
}

/// The parts of a name in camel case: `getUserById`, `HTTPServer`.
fn humps(token: &str) -> Vec<&str> {
    let characters: Vec<(usize, char)> = token.char_indices().collect();
    let mut parts = Vec::new();
    let mut start = 0;
    for (place, window) in characters.windows(2).enumerate() {
        let (end, next) = window[1];
        let after = characters.get(place + 2);
        let begins = next.is_uppercase()
            && (window[0].1.is_lowercase()
                // A capital before a small letter begins a part, except before a final s, which is a plural: `DNAs`.
                || (window[0].1.is_uppercase()
                    && after.is_some_and(|(at, letter)| letter.is_lowercase() && !(*letter == 's' && at + 1 == token.len()))));
        if begins {
            parts.push(&token[start..end]);
            start = end;
        }
    }
    parts.push(&token[start..]);
    parts
}

fn parts<'t>(token: &'t str, separators: &'t [char]) -> impl Iterator<Item = &'t str> + Clone {
    token.split(separators).map(|part| part.trim_matches('.')).filter(|part| !part.is_empty())
}

fn has_two_characters(part: &str) -> bool {
    part.chars().nth(1).is_some()
}
