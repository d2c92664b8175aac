//! Documents on their way to the parser, and what it found in them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A document to parse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseTask {
    /// The file.
    pub content: FileBytes,
    /// Name of the file, a hint at its type.
    pub name: Option<String>,
    /// Media type, a hint at its type.
    pub mime: Option<String>,
    /// The limits.
    pub limits: ParseLimits,
}

/// The limits of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseLimits {
    /// Memory for parsing, MB.
    pub memory_mb: u32,
    /// Time for parsing, milliseconds.
    pub timeout_ms: u32,
    /// Pages that are parsed; later pages are left out.
    pub pages: u32,
}

/// A parsed document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedDocument {
    /// What the file says about itself.
    pub info: DocumentInfo,
    /// The parts in reading order.
    pub parts: Vec<DocumentPart>,
    /// What the limits left out, as facts in whole sentences.
    pub omissions: Vec<String>,
}

/// A page, sheet, slide, message or whole text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentPart {
    /// Number of the page, sheet or slide, from 1; `None` if the file has none.
    pub page: Option<u32>,
    /// Path of the file in an archive or message, and the first heading, sheet name or subject.
    pub heading: Option<String>,
    /// The text as Markdown.
    pub content: String,
}

/// What a document says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DocumentInfo {
    /// The type, such as `pdf`.
    pub format: String,
    /// Number of pages, sheets or slides in the file, parsed or not; `None` if it has none.
    pub pages: Option<u32>,
    /// How many of the parsed pages have images and no text.
    pub pages_without_text: u32,
    /// The title.
    pub title: Option<String>,
    /// The authors, separated by commas.
    pub author: Option<String>,
    /// The language, as the file names it.
    pub language: Option<String>,
    /// When it was created, seconds since 1970.
    pub created: Option<i64>,
    /// When it was last changed, seconds since 1970.
    pub modified: Option<i64>,
    /// Names of attachments, or of the files in an archive.
    pub attachments: Vec<String>,
}

/// Why a document is not parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParseRefusal {
    /// The type cannot be told, or has no parser.
    UnknownType(String),
    /// A password is needed.
    Encrypted(String),
    /// The file does not follow its format.
    Malformed {
        /// The type.
        format: String,
        /// The parser's message.
        reason: String,
    },
    /// The file has more than a limit of the parser allows.
    OverLimit(String),
}

/// The bytes of a file, serialised as a whole; a `Vec<u8>` would be read byte by byte.
#[derive(Clone, PartialEq, Eq)]
pub struct FileBytes(pub Vec<u8>);

impl fmt::Debug for FileBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl Serialize for FileBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for FileBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(FileBytesVisitor)
    }
}

struct FileBytesVisitor;

impl de::Visitor<'_> for FileBytesVisitor {
    type Value = FileBytes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<FileBytes, E> {
        Ok(FileBytes(bytes.to_vec()))
    }
}
