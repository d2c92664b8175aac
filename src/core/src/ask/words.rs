//! The words by which two texts are compared.

use std::collections::HashSet;
use unicode_segmentation::UnicodeSegmentation;

/// Words that occur in most English sentences, so that sharing them means nothing.
const COMMON_WORDS: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "do", "does", "for", "from",
    "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "may", "must", "my", "no", "not", "of",
    "on", "or", "should", "so", "such", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "to", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will",
    "with", "would", "you", "your",
];

/// The distinct words of a text in lower case, without common ones.
pub fn words(text: &str) -> HashSet<String> {
    text.unicode_words()
        .map(str::to_lowercase)
        .filter(|word| !COMMON_WORDS.contains(&word.as_str()))
        .collect()
}

/// Overlap of two sets of words: twice the shared words over all words (Dice 1945), from 0 to 1.
pub fn overlap(a: &HashSet<String>, b: &HashSet<String>) -> f64 {
    let all = a.len() + b.len();
    if all == 0 { 0.0 } else { 2.0 * a.intersection(b).count() as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_words_are_no_overlap() {
        assert_eq!(overlap(&words("What is the backup?"), &words("This is the end.")), 0.0);
        assert_eq!(overlap(&words("Take a BACKUP"), &words("the backup take")), 1.0);
        assert_eq!(overlap(&words(""), &words("")), 0.0);
    }
}
