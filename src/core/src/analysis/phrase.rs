//! Checks whether a text contains the words of a phrase as they are written: ignoring case, punctuation and line breaks,
//! and accents if the rules fold them. Words are not reduced to their stems, and stop words count.

use super::{Rules, has_no_spaces, in_lower_case};
use std::collections::HashMap;

/// The words of a phrase or text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextWords(Vec<String>);

impl TextWords {
    /// The words of a text: runs of letters and digits, and each character of a script without spaces.
    pub fn of(text: &str, rules: Rules) -> Self {
        let text = in_lower_case(text, rules);
        let (mut words, mut is_inside) = (Vec::<String>::new(), false);
        for character in text.chars() {
            let is_alone = has_no_spaces(character);
            if !character.is_alphanumeric() {
                is_inside = false;
                continue;
            }
            match words.last_mut().filter(|_| is_inside && !is_alone) {
                Some(word) => word.push(character),
                None => words.push(character.into()),
            }
            is_inside = !is_alone;
        }
        Self(words)
    }

    /// True if there are no words.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if the words of a phrase occur here in sequence.
    pub fn contain(&self, phrase: &Self) -> bool {
        phrase.is_empty() || self.0.windows(phrase.0.len()).any(|words| words == phrase.0)
    }

    /// True if the words of a phrase occur here in any order, with at most `others` other words between them.
    pub fn contain_near(&self, phrase: &Self, others: u32) -> bool {
        let mut missing = HashMap::<&str, i64>::new();
        for word in &phrase.0 {
            *missing.entry(word).or_default() += 1;
        }
        let longest = phrase.0.len().saturating_add(others as usize);
        let mut left = phrase.0.len();
        // A window of the longest length slides over the text.
        for (place, word) in self.0.iter().enumerate() {
            if let Some(before) = place.checked_sub(longest)
                && let Some(count) = missing.get_mut(self.0[before].as_str())
            {
                *count += 1;
                left += usize::from(*count > 0);
            }
            if let Some(count) = missing.get_mut(word.as_str()) {
                left -= usize::from(*count > 0);
                *count -= 1;
            }
            if left == 0 {
                return true;
            }
        }
        phrase.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> TextWords {
        let rules =
            Rules { normalises: true, folds_accents: false, splits_compounds: true, makes_bigrams: true };
        TextWords::of(text, rules)
    }

    #[test]
    fn a_phrase_is_found_whatever_stands_between_its_words() {
        let text = words("To be, or NOT\n to be: that is — the question.");
        for phrase in ["to be or not to be", "Not to BE", "that-is the", "question", "", " - "] {
            assert!(text.contain(&words(phrase)), "{phrase}");
        }
        for phrase in ["to be not", "tobe", "questions", "be that question"] {
            assert!(!text.contain(&words(phrase)), "{phrase}");
        }
        assert!(words("数据库系统的概念").contain(&words("库系统")));
        assert!(!words("数据库系统的概念").contain(&words("统系")));
    }

    #[test]
    fn near_words_stand_in_any_order_among_few_others() {
        let text = words("the planner reads statistics of a table before it plans a query of the table");
        assert!(text.contain_near(&words("statistics planner"), 1));
        assert!(!text.contain_near(&words("statistics planner"), 0));
        assert!(text.contain_near(&words("table query"), 2));
        assert!(!text.contain_near(&words("table query"), 1));
        assert!(text.contain_near(&words("table table"), 7));
        assert!(!text.contain_near(&words("table table"), 6));
        assert!(!text.contain_near(&words("table table table"), 99));
        assert!(text.contain_near(&words("planner table"), u32::MAX));
    }
}
