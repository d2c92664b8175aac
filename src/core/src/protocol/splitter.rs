//! The options for splitting a document into chunks.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The structure along which a document is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Splitter {
    /// Paragraphs, then sentences, then words.
    Text,
    /// Markdown's blocks first; chunks have a heading path.
    Markdown,
}

/// A name that no splitter has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown splitter \"{0}\"")]
pub struct UnknownSplitter(pub String);

impl Splitter {
    /// All splitters.
    pub const ALL: [Self; 2] = [Self::Text, Self::Markdown];

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
        }
    }
}

impl fmt::Display for Splitter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Splitter {
    type Err = UnknownSplitter;

    fn from_str(name: &str) -> Result<Self, UnknownSplitter> {
        let found = Self::ALL.into_iter().find(|splitter| splitter.name() == name);
        found.ok_or_else(|| UnknownSplitter(name.to_owned()))
    }
}

/// The options for splitting a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkOptions {
    /// The splitter.
    pub splitter: Splitter,
    /// Maximum number of tokens of a chunk, without the model's special tokens.
    pub size: u32,
    /// Number of tokens that a chunk repeats from the one before it; less than `size`.
    pub overlap: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitters_are_read_by_their_names() {
        for splitter in Splitter::ALL {
            assert_eq!(splitter.to_string().parse(), Ok(splitter));
        }
        assert_eq!("html".parse::<Splitter>(), Err(UnknownSplitter("html".into())));
    }
}
