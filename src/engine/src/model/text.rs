//! Turns a text into the tokens that a model reads.

use serde::Deserialize;
use tokenizers::{Tokenizer, TruncationDirection};

/// A model's tokenizer with its token limit.
pub struct TextEncoder {
    tokenizer: Tokenizer,
    special_tokens: usize,
    max_tokens: usize,
    /// What stands for characters that the vocabulary does not have.
    unknown: Option<u32>,
}

/// The tokens of one text, cut to the model's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedText {
    /// Vocabulary indexes, special tokens included.
    pub ids: Vec<u32>,
    /// The number of the sentence that each token belongs to, 0 or 1; zeros if there is only one sentence.
    pub types: Vec<u32>,
    /// Number of tokens before the cut. For a text far beyond the limit it is only a lower bound, which is above the limit.
    pub tokens_before_cut: u32,
    /// Whether at least half of the tokens, special tokens left out, stand for characters that the vocabulary does not have.
    pub is_unknown: bool,
}

/// The part of `tokenizer.json` that says which token stands for unknown characters: by its text or its index, as the kind of model
/// has it.
#[derive(Deserialize)]
struct TokenizerFile {
    model: VocabularyPart,
}

#[derive(Deserialize)]
struct VocabularyPart {
    unk_token: Option<String>,
    unk_id: Option<u32>,
}

impl TextEncoder {
    /// The tokenizer in `json` (`tokenizer.json`), whose own padding and truncation are not used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(json: &[u8], max_tokens: u32) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
        let special_tokens = tokenizer.encode_fast("", true).map_err(|error| error.to_string())?.len();
        let max_tokens = max_tokens as usize;
        if special_tokens >= max_tokens {
            return Err(format!("{special_tokens} special tokens leave no room in {max_tokens}"));
        }
        let file: TokenizerFile = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let by_text = |text: String| tokenizer.token_to_id(&text);
        let unknown = file.model.unk_id.or_else(|| file.model.unk_token.and_then(by_text));
        Ok(Self { tokenizer, special_tokens, max_tokens, unknown })
    }

    /// Special tokens that are added to each text.
    pub fn special_tokens(&self) -> usize {
        self.special_tokens
    }

    /// Appends the byte offset at which each token of a text begins, in ascending order.
    ///
    /// # Errors
    /// The tokenizer's message.
    pub fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<(), String> {
        let encoding = self.tokenizer.encode(text, false).map_err(|error| error.to_string())?;
        let first = starts.len();
        starts.extend(encoding.get_offsets().iter().map(|&(from, to)| {
            // Some tokenizers include the space before a word in its first token.
            let token = text.get(from..to).unwrap_or_default();
            let space = token.len() - token.trim_start().len();
            if space < token.len() { from + space } else { from }
        }));
        starts[first..].sort_unstable();
        Ok(())
    }

    /// Number of tokens of a text, special tokens left out.
    ///
    /// # Errors
    /// The tokenizer's message.
    pub fn count(&self, text: &str) -> Result<usize, String> {
        self.tokenizer
            .encode_fast(text, false)
            .map(|encoding| encoding.len())
            .map_err(|error| error.to_string())
    }

    /// The tokens of a text. The cost is bounded by the model's limit, not by the text.
    ///
    /// # Errors
    /// The tokenizer's message.
    pub fn encode(&self, text: &str) -> Result<EncodedText, String> {
        let room = self.max_tokens - self.special_tokens;
        let mut clip = room * BYTES_PER_TOKEN + CLIP_SLACK;
        let mut encoding = loop {
            let head = clip_at_space(text, clip);
            let encoding = self.tokenizer.encode_fast(head, false).map_err(|error| error.to_string())?;
            if head.len() == text.len() || encoding.len() > room {
                break encoding;
            }
            clip = clip.saturating_mul(16);
        };
        let tokens_before_cut = u32::try_from(encoding.len() + self.special_tokens).unwrap_or(u32::MAX);
        if encoding.len() > room {
            encoding.truncate(room, 0, TruncationDirection::Right);
        }
        let unknown = encoding.get_ids().iter().filter(|id| Some(**id) == self.unknown).count();
        let is_unknown = unknown > 0 && 2 * unknown >= encoding.len();
        let encoding =
            self.tokenizer.post_process(encoding, None, true).map_err(|error| error.to_string())?;
        Ok(EncodedText {
            ids: encoding.get_ids().to_vec(),
            types: encoding.get_type_ids().to_vec(),
            tokens_before_cut,
            is_unknown,
        })
    }
}

/// Longer than a token of ordinary text in any language, so that the first clip is nearly always enough.
const BYTES_PER_TOKEN: usize = 16;
/// How far back a clip looks for a space, bytes. Longer than the longest word that WordPiece looks into (100
/// characters), so that a word cut in two is an unknown word with or without its rest.
const CLIP_SLACK: usize = 1024;

/// The beginning of `text`, at most `limit` bytes, cut at a space if there is one within [`CLIP_SLACK`].
fn clip_at_space(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let head = &text[..text.floor_char_boundary(limit)];
    let near = head.floor_char_boundary(head.len().saturating_sub(CLIP_SLACK));
    match head[near..].rfind(char::is_whitespace) {
        Some(space) if near + space > 0 => &head[..near + space],
        _ => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_characters_that_the_model_lacks_is_unknown() {
        let json = include_bytes!("../../tests/fixtures/tiny-model/tokenizer.json");
        let encoder = TextEncoder::new(json, 16).unwrap();
        let is_unknown = |text| encoder.encode(text).unwrap().is_unknown;
        let hexadecimal = "0a".repeat(60);
        for text in ["ประเทศ", "ไทย มี", "a 😀", &hexadecimal] {
            assert!(is_unknown(text), "{text}");
        }
        for text in ["", "a cat", "a cat sat 😀"] {
            assert!(!is_unknown(text), "{text}");
        }
    }

    #[test]
    fn a_clip_ends_before_a_space() {
        assert_eq!(clip_at_space("one two three", 9), "one two");
        assert_eq!(clip_at_space("one two", 100), "one two");
    }

    #[test]
    fn a_clip_without_a_space_ends_between_characters() {
        assert_eq!(clip_at_space("ééé", 3), "é");
    }

    #[test]
    fn a_clip_never_loses_everything_to_a_leading_space() {
        assert_eq!(clip_at_space(" abcdef", 4), " abc");
    }
}
