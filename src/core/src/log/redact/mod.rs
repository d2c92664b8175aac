//! Removes secrets from a log by patterns before it is stored.

mod numbers;

use crate::log::value::quote;
use regex::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder, Replacer};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range;

/// Maximum memory of a compiled pattern, bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// A pattern and its replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Name of the rule.
    pub name: String,
    /// A regular expression of the `regex` crate, whose time is linear in the text.
    pub pattern: String,
    /// The replacement; `$1` or `${name}` inserts the match of a group.
    pub replacement: String,
    /// True if the pattern applies to the names of JSON object members, whose whole values are replaced.
    pub is_for_keys: bool,
}

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern of redaction \"{name}\" cannot be used")]
pub struct BadPattern {
    /// Name of the rule.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Rules that are ready for use.
#[derive(Debug)]
pub struct Redactor {
    /// Tests in one pass whether any rule matches.
    set: RegexSet,
    rules: Vec<(Rule, OnceCell<Option<Regex>>)>,
    /// True if a rule may match within a number.
    numbers: bool,
    /// Tests in one pass which of the rules for member names match.
    key_set: RegexSet,
    key_replacements: Vec<String>,
    /// Called again and again while a value is looked through, which may be long.
    meanwhile: fn(),
}

/// What is put in the place of a match.
struct Replacement<'a> {
    template: &'a str,
    meanwhile: fn(),
}

impl Replacer for Replacement<'_> {
    fn replace_append(&mut self, captures: &Captures<'_>, clean: &mut String) {
        (self.meanwhile)();
        captures.expand(self.template, clean);
    }
}

impl Default for Redactor {
    fn default() -> Self {
        Self {
            set: RegexSet::empty(),
            rules: Vec::new(),
            numbers: false,
            key_set: RegexSet::empty(),
            key_replacements: Vec::new(),
            meanwhile: || {},
        }
    }
}

impl Rule {
    /// Checks that the pattern can be used.
    ///
    /// # Errors
    /// [`BadPattern`] if it is not a regular expression, is too large, or matches the empty text.
    pub fn check(&self) -> Result<(), BadPattern> {
        let reason = match self.compile() {
            Ok(regex) if regex.is_match("") => "it matches the empty text".to_owned(),
            Ok(_) => return Ok(()),
            Err(error) => reason(&error),
        };
        Err(BadPattern { name: self.name.clone(), reason })
    }

    fn compile(&self) -> Result<Regex, regex::Error> {
        RegexBuilder::new(&self.pattern).size_limit(MAX_REGEX_BYTES).dfa_size_limit(MAX_REGEX_BYTES).build()
    }
}

impl Redactor {
    /// Prepares rules, in the order in which they are applied.
    ///
    /// # Errors
    /// [`BadPattern`] if one of them cannot be used.
    pub fn new(rules: Vec<Rule>) -> Result<Self, BadPattern> {
        let (key_rules, rules): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| rule.is_for_keys);
        let (set, key_set) = (Self::set(&rules)?, Self::set(&key_rules)?);
        let numbers = rules.iter().any(|rule| numbers::may_match_in(&rule.pattern));
        Ok(Self {
            set,
            numbers,
            rules: rules.into_iter().map(|rule| (rule, OnceCell::new())).collect(),
            key_set,
            key_replacements: key_rules.into_iter().map(|rule| rule.replacement).collect(),
            ..Self::default()
        })
    }

    /// The same, which calls a function before each search of a text, at each match and at each member of JSON: it may end the work.
    #[must_use]
    pub fn calling(self, meanwhile: fn()) -> Self {
        Self { meanwhile, ..self }
    }

    fn set(rules: &[Rule]) -> Result<RegexSet, BadPattern> {
        let limit = MAX_REGEX_BYTES * rules.len().max(1);
        let patterns = rules.iter().map(|rule| rule.pattern.as_str());
        let set = RegexSetBuilder::new(patterns).size_limit(limit).dfa_size_limit(MAX_REGEX_BYTES).build();
        set.map_err(|error| {
            let wrong = rules.iter().find_map(|rule| rule.check().err());
            wrong.unwrap_or_else(|| BadPattern { name: "all together".to_owned(), reason: reason(&error) })
        })
    }

    /// The replacement for the value of a member with this name, if a rule matches the name.
    fn replacement_of_member(&self, name: &str) -> Option<&str> {
        if self.key_replacements.is_empty() {
            return None;
        }
        let first = self.key_set.matches(name).into_iter().next()?;
        self.key_replacements.get(first).map(String::as_str)
    }

    /// True if numbers in JSON are searched as well.
    #[must_use]
    pub fn looks_at_numbers(&self) -> bool {
        self.numbers
    }

    /// True if a rule matches in the text.
    #[must_use]
    pub fn finds_in(&self, text: &str) -> bool {
        (self.meanwhile)();
        !self.rules.is_empty() && self.set.is_match(text)
    }

    /// True if JSON that contains this string, or a member of this name, may have to be changed.
    #[must_use]
    pub fn may_find_in(&self, string: &str) -> bool {
        self.finds_in(string) || self.replacement_of_member(string).is_some()
    }

    /// The text without secrets.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.finds_in(text) {
            return Cow::Borrowed(text);
        }
        let mut clean = Cow::Borrowed(text);
        for place in self.set.matches(text) {
            let (rule, regex) = &self.rules[place];
            // The set was compiled from the same patterns.
            if let Some(regex) = regex.get_or_init(|| rule.compile().ok()) {
                let replacement = Replacement { template: &rule.replacement, meanwhile: self.meanwhile };
                clean = Cow::Owned(regex.replace_all(&clean, replacement).into_owned());
            }
        }
        clean
    }

    /// JSON text without secrets in its strings (including keys) and numbers; a changed number becomes a string. All other
    /// characters stay as they are.
    #[must_use]
    pub fn json<'a>(&self, json: &'a str) -> Cow<'a, str> {
        let mut out = String::new();
        let mut copied = 0;
        let mut replace = |place: Range<usize>, clean: &str| {
            out.push_str(&json[copied..place.start]);
            quote(clean, &mut out);
            copied = place.end;
        };
        let mut at = 0;
        while at < json.len() {
            let quote_at = json[at..].find('"').map_or(json.len(), |found| at + found);
            if self.numbers {
                for place in numbers::places(&json[at..quote_at], at) {
                    if let Cow::Owned(clean) = self.text(&json[place.clone()]) {
                        replace(place, &clean);
                    }
                }
            }
            at = string_end(json, quote_at);
            let Some(text) = unquoted(&json[quote_at..at]) else { continue };
            if let Cow::Owned(clean) = self.text(&text) {
                replace(quote_at..at, &clean);
            }
            if let Some(value) = member_value(json, at)
                && let Some(replacement) = self.replacement_of_member(&text)
                && !matches!(&json[value.clone()], "null" | "true" | "false")
            {
                at = value.end;
                replace(value, replacement);
            }
        }
        if copied == 0 {
            return Cow::Borrowed(json);
        }
        out.push_str(&json[copied..]);
        Cow::Owned(out)
    }
}

/// The end of the JSON string that begins at `quote_at`.
fn string_end(json: &str, quote_at: usize) -> usize {
    let bytes = json.as_bytes();
    let mut at = quote_at + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

/// The range of the value of an object member whose name ends at `name_end`; `None` if the string is not a member's name.
fn member_value(json: &str, name_end: usize) -> Option<Range<usize>> {
    let skip = |at: usize| at + json[at..].bytes().take_while(u8::is_ascii_whitespace).count();
    let colon = skip(name_end);
    let begin = skip(json[colon..].starts_with(':').then_some(colon + 1)?);
    let bytes = json.as_bytes();
    let (mut at, mut depth) = (begin, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(json, at),
            b'{' | b'[' => (at, depth) = (at + 1, depth + 1),
            b'}' | b']' if depth > 0 => (at, depth) = (at + 1, depth - 1),
            b',' | b'}' | b']' if depth == 0 => break,
            _ => at += 1,
        }
        if depth == 0 && matches!(bytes.get(at - 1), Some(b'"' | b'}' | b']')) {
            break;
        }
    }
    let end = begin + json.get(begin..at)?.trim_end().len();
    (begin < end).then_some(begin..end)
}

/// The text of a JSON string.
fn unquoted(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(token).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The reason in one line, without the pattern, which the user knows.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn rule(pattern: &str, replacement: &str) -> Rule {
        Rule {
            name: "r".to_owned(),
            pattern: pattern.to_owned(),
            replacement: replacement.to_owned(),
            is_for_keys: false,
        }
    }

    #[test]
    fn values_are_replaced_by_the_names_of_members() {
        let key = Rule { is_for_keys: true, ..rule("(?i)^(?:.*_)?password$", "[secret]") };
        let redactor = Redactor::new(vec![key, rule("key-[0-9]+", "[key]")]).unwrap();
        for (json, expected) in [
            (r#"{"password": "x, \"y}", "b": 1}"#, r#"{"password": "[secret]", "b": 1}"#),
            (r#"{"Db_Password" : 123.5e1 , "b": "key-1"}"#, r#"{"Db_Password" : "[secret]" , "b": "[key]"}"#),
            (
                r#"{"a":{"password":{"of":["key-1","]"],"x":{}}},"c":2}"#,
                r#"{"a":{"password":"[secret]"},"c":2}"#,
            ),
            (r#"[{"password":[1,[2]]}]"#, r#"[{"password":"[secret]"}]"#),
            (r#"{"password":7}"#, r#"{"password":"[secret]"}"#),
        ] {
            assert_eq!(redactor.json(json), expected);
        }
        for json in [
            r#"{"password": null, "b": true}"#,
            r#"{"password": false}"#,
            r#"["password", "a"]"#,
            r#"{"a": "password"}"#,
            r#"{"passwords": "x"}"#,
            r#"{"password":"#,
            r#"{"password""#,
        ] {
            assert!(matches!(redactor.json(json), Cow::Borrowed(_)), "{json}: {}", redactor.json(json));
        }
        assert_eq!(redactor.text("password"), "password");
    }

    fn redactor() -> Redactor {
        Redactor::new(vec![rule(r"\bkey-[0-9]+", "[key]"), rule("(user:)[^@\n]+@", "${1}[password]@")])
            .unwrap()
    }

    #[test]
    fn what_matches_is_replaced() {
        let redactor = redactor();
        assert_eq!(redactor.text("my key-123, and key-9"), "my [key], and [key]");
        assert_eq!(redactor.text("user:secret@host key-1"), "user:[password]@host [key]");
        assert!(matches!(redactor.text("monkey-123"), Cow::Borrowed(_)));
        assert!(matches!(Redactor::default().text("key-1"), Cow::Borrowed(_)));
    }

    #[test]
    fn strings_of_json_are_cleaned_and_nothing_else() {
        let redactor = redactor();
        let json = r#"{"a": [1.00, "key-1", "x\nkey-2\ty"], "key-3": {"b": 1e400}, "c": "\u006bey-4 \"é\""}"#;
        assert_eq!(
            redactor.json(json),
            r#"{"a": [1.00, "[key]", "x\n[key]\ty"], "[key]": {"b": 1e400}, "c": "[key] \"é\""}"#
        );
        for json in [r#"{"a": "b", "n": 12345678901234567890}"#, "12", "null", "\"", "\"a\\", ""] {
            assert!(matches!(redactor.json(json), Cow::Borrowed(_)), "{json}");
        }
    }

    #[test]
    fn numbers_of_json_are_looked_at_where_a_pattern_may_be_in_one() {
        assert!(!redactor().looks_at_numbers());
        let redactor = Redactor::new(vec![rule(r"\b[0-9]{13,16}\b", "[card]")]).unwrap();
        assert!(redactor.looks_at_numbers());
        assert_eq!(
            redactor.json(r#"{"n": 4111111111111111, "m": [1, 4111111111111111.0], "k4111111111111111": "4111111111111111"}"#),
            r#"{"n": "[card]", "m": [1, "[card].0"], "k4111111111111111": "[card]"}"#
        );
        assert_eq!(redactor.json("4111111111111111"), r#""[card]""#);
        assert!(matches!(redactor.json(r#"[1, 2.5, "a", 3]"#), Cow::Borrowed(_)));
    }

    #[test]
    fn long_work_calls_what_may_end_it() {
        thread_local!(static CALLS: Cell<usize> = const { Cell::new(0) });
        let redactor = redactor().calling(|| CALLS.set(CALLS.get() + 1));
        let calls_for = |redact: &dyn Fn()| {
            CALLS.set(0);
            redact();
            CALLS.get()
        };
        let text = "key-1 ".repeat(100);
        assert!(calls_for(&|| drop(redactor.text(&text))) > 100);
        let json = format!("[{}1]", "\"nothing\",".repeat(100));
        assert!(calls_for(&|| drop(redactor.json(&json))) >= 100);
        let look = || {
            let _ = redactor.may_find_in("nothing");
        };
        assert!(calls_for(&look) > 0);
    }

    /// In JSON text the letter of an escape stands before the secret.
    #[test]
    fn a_boundary_is_one_of_the_text_and_not_of_its_json() {
        assert_eq!(redactor().json(r#""line\nkey-1""#), r#""line\n[key]""#);
    }

    #[test]
    fn a_bad_pattern_is_refused_with_its_reason() {
        let wrong = |pattern: &str| rule(pattern, "").check().unwrap_err().reason;
        assert_eq!(wrong("a("), "unclosed group");
        assert_eq!(wrong("x*"), "it matches the empty text");
        assert!(wrong(r"(?:\w{1000}){1000}").contains("limit"), "{}", wrong(r"(?:\w{1000}){1000}"));
        assert!(wrong("(?=a)").contains("look-around"));
        assert!(rule("a+", "").check().is_ok());
        assert_eq!(Redactor::new(vec![rule("a", ""), rule("b(", "")]).unwrap_err().reason, "unclosed group");
    }
}
