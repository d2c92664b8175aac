//! The words that the analysis finds in a text.

/// Maximum length of a word that is kept, bytes. Longer words are rarely searched for: encoded data, long addresses.
const MAX_WORD_BYTES: usize = 255;

/// Words of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Text for the parser of the configuration.
    pub text: String,
    /// Words that no parser or dictionary changes, one entry per occurrence.
    pub words: Vec<String>,
}

/// A text that is prepared for the text search configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Analysed {
    /// The words of the text.
    pub words: Found,
    /// Parts of compound tokens, and other spellings. A search finds the text by them, but they count neither as
    /// occurrences of a word nor for the length of the text: the parts of paths and names would outweigh the text itself.
    pub parts: Found,
}

impl Found {
    /// Appends text unchanged, and returns its length in bytes.
    pub fn copy(&mut self, text: &str) -> usize {
        self.text.push_str(text);
        text.len()
    }

    /// Adds a word unchanged.
    pub fn keep(&mut self, word: String) {
        if word.len() <= MAX_WORD_BYTES {
            self.words.push(word);
        }
    }

    /// Adds parts as one word: they may also be written without separators.
    pub fn append_joined<'t>(&mut self, parts: impl Iterator<Item = &'t str>) {
        let joined: String = parts.collect();
        if joined.len() <= MAX_WORD_BYTES {
            self.append(&joined);
        }
    }

    /// Appends text that the parser reads as separate words.
    pub fn append(&mut self, text: &str) {
        if !self.text.ends_with(' ') {
            self.text.push(' ');
        }
        self.text.push_str(text);
        self.text.push(' ');
    }
}
