//! What texts of errors have in common: the same failure has the same pattern, whatever number, identifier or value it
//! names.

/// Longest pattern in characters.
const MAX_PATTERN_CHARS: usize = 200;

/// Most characters between quotation marks: if they are farther apart they are no pair.
const MAX_QUOTED_CHARS: usize = 500;

/// Only this number of characters of a text is read.
const MAX_INPUT_CHARS: usize = 4000;

/// First line of what Python prints; the error is in the last.
const TRACEBACK: &str = "Traceback (most recent call last)";

/// The text with `#` for each word that has a digit in it and `…` for what is in quotation marks, on one line, cut. A
/// number of three digits stays after a word such as "status": 429 and 500 are not the same failure.
pub fn pattern(text: &str) -> String {
    let text = text.trim();
    let text = if text.starts_with(TRACEBACK) { last_line(text) } else { text };
    let chars: Vec<char> = text.chars().take(MAX_INPUT_CHARS).collect();
    let mut out = Pattern::default();
    let mut at = 0;
    while at < chars.len() && out.length <= MAX_PATTERN_CHARS {
        at = out.take(&chars, at);
    }
    out.finish()
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(text).trim()
}

#[derive(Default)]
struct Pattern {
    text: String,
    /// In characters.
    length: usize,
    /// Whether a space is due before the next word.
    space: bool,
    /// The last word, in lower case.
    word: String,
}

impl Pattern {
    /// Takes what begins at a place, and gives where the next begins.
    fn take(&mut self, chars: &[char], at: usize) -> usize {
        let first = chars[at];
        if first.is_whitespace() || first.is_control() {
            self.space = true;
            return at + 1;
        }
        if let Some(end) = quoted_end(chars, at) {
            self.push(&format!("{first}…{}", chars[end - 1]));
            return end;
        }
        let end = word_end(chars, at);
        if end == at {
            self.push(first.encode_utf8(&mut [0; 4]));
            return at + 1;
        }
        self.word(&chars[at..end]);
        end
    }

    fn word(&mut self, word: &[char]) {
        let has_digit = word.iter().any(char::is_ascii_digit);
        let is_status = word.len() == 3
            && ('1'..='5').contains(&word[0])
            && matches!(self.word.as_str(), "status" | "http" | "code" | "error");
        let text: String = word.iter().collect();
        let is_hexadecimal = word.len() >= 16 && word.iter().all(char::is_ascii_hexdigit);
        if (has_digit && !(is_status && text.parse::<u16>().is_ok())) || is_hexadecimal {
            self.push("#");
        } else {
            self.push(&text);
        }
        self.word = text.to_lowercase();
    }

    fn push(&mut self, text: &str) {
        if self.space && !self.text.is_empty() {
            self.text.push(' ');
            self.length += 1;
        }
        self.space = false;
        self.text.push_str(text);
        self.length += text.chars().count();
    }

    fn finish(self) -> String {
        if self.length <= MAX_PATTERN_CHARS {
            return self.text;
        }
        self.text.chars().take(MAX_PATTERN_CHARS - 1).chain(['…']).collect()
    }
}

/// Where a quotation that begins at a place ends, its marks included. An apostrophe within a word begins none.
fn quoted_end(chars: &[char], at: usize) -> Option<usize> {
    let close = match chars[at] {
        mark @ ('"' | '\'' | '`') => mark,
        '“' => '”',
        '‘' => '’',
        '«' => '»',
        _ => return None,
    };
    if at > 0 && chars[at - 1].is_alphanumeric() {
        return None;
    }
    let end = (at + 1..chars.len().min(at + MAX_QUOTED_CHARS))
        .find(|&it| chars[it] == close && chars.get(it + 1).is_none_or(|next| !next.is_alphanumeric()))?;
    Some(end + 1)
}

/// Letters and digits, and what joins them to one identifier, time, address or number.
fn word_end(chars: &[char], at: usize) -> usize {
    let is_inner = |it: usize| {
        matches!(chars[it], '-' | '_' | '.' | ':' | '/' | '@' | ',' | '+' | '%')
            && chars.get(it + 1).is_some_and(|next| next.is_alphanumeric())
            // A word that is only followed by a number is a word: "timeout:30" is "timeout:#".
            && (chars[it] == '_' || chars[it] == '-' || chars[at..it].iter().any(char::is_ascii_digit))
    };
    let mut end = at;
    while end < chars.len() && (chars[end].is_alphanumeric() || (end > at && is_inner(end))) {
        end += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(pattern(text), expected, "{text}");
    }

    #[test]
    fn numbers_and_identifiers_are_the_same() {
        check("order 17 not found", "order # not found");
        check("order ORD-20931 not found", "order # not found");
        check("no row 3f2504e0-4f89-11d3-9a0c-0305e82c3301 in 12.5 ms", "no row # in # ms");
        check("at 2026-01-02T03:04:05.678Z: failed", "at #: failed");
        check("connect to 10.0.0.7:5432 failed", "connect to # failed");
        check("token deadbeefcafebabe is wrong", "token # is wrong");
        check("timeout=30s", "timeout=#");
        check("timeout:30", "timeout:#");
        check("-3 is out of range", "-# is out of range");
    }

    #[test]
    fn values_in_quotation_marks_are_the_same() {
        check("relation \"a b c\" does not exist", "relation \"…\" does not exist");
        check("KeyError: 'city'", "KeyError: '…'");
        check("can't find the user's `name`", "can't find the user's `…`");
        check("it's the user's", "it's the user's");
        check("“eins” ist «zwei»", "“…” ist «…»");
        check("an open \"quote", "an open \"quote");
    }

    #[test]
    fn a_status_stays() {
        check("the provider refused: status 429", "the provider refused: status 429");
        check("HTTP 500", "HTTP 500");
        check("status 4290", "status #");
        check("row 429", "row #");
    }

    #[test]
    fn spaces_and_lines_are_one_space() {
        check("  a\n\tb\u{0}c  ", "a b c");
        check("", "");
    }

    #[test]
    fn a_traceback_is_its_last_line() {
        let text =
            "Traceback (most recent call last):\n  File \"x.py\", line 3, in f\nValueError: bad value 17\n\n";
        check(text, "ValueError: bad value #");
    }

    #[test]
    fn a_long_text_is_cut() {
        let long = pattern(&"ab ".repeat(5000));
        assert_eq!(long.chars().count(), MAX_PATTERN_CHARS);
        assert!(long.ends_with('…'));
        assert_eq!(pattern(&"x".repeat(1_000_000)).chars().count(), MAX_PATTERN_CHARS);
        assert_eq!(pattern(&"1".repeat(1_000_000)), "#");
    }

    #[test]
    fn a_pattern_is_its_own_pattern() {
        for text in ["order 17 not found", "relation \"a b\" does not exist", "HTTP 503 after 3 tries"] {
            assert_eq!(pattern(&pattern(text)), pattern(text));
        }
    }
}
