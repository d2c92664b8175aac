//! The words that are found in a text.

/// Longest word in bytes that is kept whole. Longer ones are rarely looked for: encoded data, long addresses.
const MAX_WORD_BYTES: usize = 255;

/// Words of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What the configuration's parser reads.
    pub text: String,
    /// Words that no parser or dictionary changes, once for each occurrence.
    pub words: Vec<String>,
}

/// A text that is ready for the text search configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Analysed {
    /// The words of the text.
    pub words: Found,
    /// Parts of compound tokens, and other spellings. By these a text is found, but they do not count as further occurrences of a
    /// word that it has, nor for its length: the parts of paths and names in a text would outweigh what it says.
    pub parts: Found,
}

impl Found {
    /// Leaves text as it is, and returns its length.
    pub fn copy(&mut self, text: &str) -> usize {
        self.text.push_str(text);
        text.len()
    }

    /// Adds a word as it is.
    pub fn keep(&mut self, word: String) {
        if word.len() <= MAX_WORD_BYTES {
            self.words.push(word);
        }
    }

    /// Adds parts as one word, as which they may be written, too.
    pub fn append_joined<'t>(&mut self, parts: impl Iterator<Item = &'t str>) {
        let joined: String = parts.collect();
        if joined.len() <= MAX_WORD_BYTES {
            self.append(&joined);
        }
    }

    /// Adds text that the parser takes for words of its own.
    pub fn append(&mut self, text: &str) {
        if !self.text.ends_with(' ') {
            self.text.push(' ');
        }
        self.text.push_str(text);
        self.text.push(' ');
    }
}
