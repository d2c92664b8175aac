//! Groups error texts: errors of the same kind have the same pattern, even if they contain different numbers, identifiers
//! or values.

use super::essence::essence;

/// Maximum length of a pattern, characters.
const MAX_PATTERN_CHARS: usize = 200;

/// Maximum number of characters between quotation marks; marks farther apart are not a pair.
const MAX_QUOTED_CHARS: usize = 500;

/// Only this many characters of a text are read.
const MAX_INPUT_CHARS: usize = 4000;

/// The text on one line, cut, with `#` for each word that contains a digit and `…` for quoted text. Of a traceback only the
/// exception is kept. An HTTP status stays, because 429 and 500 are different failures.
pub fn pattern(text: &str) -> String {
    let said = essence(text);
    let chars: Vec<char> = said.chars().take(MAX_INPUT_CHARS).collect();
    let mut out = Pattern::default();
    let mut at = 0;
    while at < chars.len() && out.length <= MAX_PATTERN_CHARS {
        at = out.take(&chars, at);
    }
    out.finish()
}

#[derive(Default)]
struct Pattern {
    text: String,
    /// Length in characters.
    length: usize,
    /// True if a space is due before the next word.
    space: bool,
    /// The last word, in lower case.
    word: String,
    /// The word before it, in lower case.
    before: String,
}

impl Pattern {
    /// Reads the item at a position, and returns the position of the next one.
    fn take(&mut self, chars: &[char], at: usize) -> usize {
        let first = chars[at];
        if first.is_whitespace() || first.is_control() {
            self.space = true;
            return at + 1;
        }
        if let Some(end) = quoted_end(chars, at) {
            let status = self.quoted_status(&chars[at + 1..end - 1]);
            self.push(&format!("{first}{status}…{}", chars[end - 1]));
            return end;
        }
        let end = word_end(chars, at);
        if end == at {
            self.push(first.encode_utf8(&mut [0; 4]));
            return at + 1;
        }
        self.word(&chars[at..end], chars.get(end + 1..).unwrap_or_default());
        end
    }

    /// Adds a word; `next` is the text after the character that follows it.
    fn word(&mut self, word: &[char], next: &[char]) {
        let text: String = word.iter().collect();
        let has_digit = word.iter().any(char::is_ascii_digit);
        let is_hexadecimal = word.len() >= 16 && word.iter().all(char::is_ascii_hexdigit);
        let is_status = is_status(word) && (self.announces_status(word) || begins_reason(next));
        if (has_digit && !is_status) || is_hexadecimal {
            self.push("#");
        } else {
            self.push(&text);
        }
        self.before = std::mem::replace(&mut self.word, text.to_lowercase());
    }

    /// True if the words before a number say that it is a status: `status 429`, `HTTP/1.1 500`, `RateLimitError: 429`.
    fn announces_status(&self, number: &[char]) -> bool {
        let word = self.word.as_str();
        let is_version = self.before == "http" && word.starts_with(|first: char| first.is_ascii_digit());
        let names_it = ["status", "http", "code", "statuscode"].iter().any(|name| word.ends_with(name));
        // Numbers in errors of values are the values.
        let is_of_value = matches!(
            word,
            "valueerror" | "keyerror" | "indexerror" | "typeerror" | "assertionerror" | "lookuperror"
        );
        let is_failure = matches!(number[0], '4' | '5') && word.ends_with("error") && !is_of_value;
        is_version || names_it || word == "error" || is_failure
    }

    /// The status at the beginning of a quotation, such as httpx's `Client error '401 Unauthorized'`.
    fn quoted_status(&self, quoted: &[char]) -> String {
        let number = quoted.get(..3).unwrap_or_default();
        let is_first = matches!(quoted.get(3), None | Some(' '));
        let is_kept = is_first && is_status(number) && self.announces_status(number);
        if is_kept { number.iter().chain(&[' ']).collect() } else { String::new() }
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

/// True for numbers from 100 to 599.
fn is_status(word: &[char]) -> bool {
    word.len() == 3 && ('1'..='5').contains(&word[0]) && word.iter().all(char::is_ascii_digit)
}

/// True if a text begins with the first word of a reason phrase of HTTP, as it follows a status.
fn begins_reason(text: &[char]) -> bool {
    const REASONS: [&str; 22] = [
        "Bad",
        "Unauthorized",
        "Payment",
        "Forbidden",
        "Not",
        "Method",
        "Request",
        "Conflict",
        "Gone",
        "Length",
        "Precondition",
        "Payload",
        "Content",
        "URI",
        "Unsupported",
        "Unprocessable",
        "Too",
        "Internal",
        "Service",
        "Gateway",
        "Client",
        "Server",
    ];
    let word: String = text.iter().take_while(|letter| letter.is_alphabetic()).collect();
    REASONS.contains(&word.as_str())
}

/// The end of a quotation that begins at `at`, including its marks. An apostrophe within a word does not begin a quotation.
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

/// The end of a word: letters and digits, and the characters that join them to one identifier, time, address or number.
fn word_end(chars: &[char], at: usize) -> usize {
    let is_inner = |it: usize| {
        matches!(chars[it], '-' | '_' | '.' | ':' | '/' | '@' | ',' | '+' | '%')
            && chars.get(it + 1).is_some_and(|next| next.is_alphanumeric())
            // A word and the number that follows it are separate: "timeout:30" becomes "timeout:#".
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
    fn a_status_stays_however_it_is_said() {
        check("Client error '401 Unauthorized' for url 'https://a/1'", "Client error '401 …' for url '…'");
        check("Client error '429 Too Many Requests' for url 'x'", "Client error '429 …' for url '…'");
        check(
            "429 Client Error: Too Many Requests for url: x",
            "429 Client Error: Too Many Requests for url: x",
        );
        check("RateLimitError: 429 slow down", "RateLimitError: 429 slow down");
        check("HTTP/1.1 500", "HTTP/# 500");
        check("the server said 503 Service Unavailable", "the server said 503 Service Unavailable");
        check("status_code=502", "status_code=502");
        check("KeyError: 404", "KeyError: #");
        check("no order '401 Main Street'", "no order '…'");
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
        for text in [
            "order 17 not found",
            "relation \"a b\" does not exist",
            "HTTP 503 after 3 tries",
            "Client error '401 x' at 3",
        ] {
            assert_eq!(pattern(&pattern(text)), pattern(text));
        }
    }
}
