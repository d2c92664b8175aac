//! Limits over all files of one document.

/// How deep files are read inside files: an archive in a message in an archive.
pub const MAX_DEPTH: usize = 3;

/// Maximum number of files inside a document.
const MAX_FILES: usize = 10_000;

/// Maximum size of all files inside a document, unpacked.
const MAX_BYTES: u64 = 512 << 20;

/// What is left of the limits of a document.
pub struct Budget {
    pages: usize,
    files: usize,
    bytes: u64,
}

/// A limit that a document exceeds.
#[derive(Debug, PartialEq, Eq)]
pub struct Exceeded(pub String);

impl Budget {
    /// The limits of a document, of which so many pages are parsed.
    pub fn new(pages: u32) -> Self {
        Self { pages: pages as usize, files: MAX_FILES, bytes: MAX_BYTES }
    }

    /// Number of pages that may still be parsed.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Counts parsed pages.
    pub fn take_pages(&mut self, pages: usize) {
        self.pages = self.pages.saturating_sub(pages);
    }

    /// Counts a file inside the document.
    pub fn take_file(&mut self) -> Result<(), Exceeded> {
        let over = || Exceeded(format!("it contains more than {MAX_FILES} files"));
        self.files = self.files.checked_sub(1).ok_or_else(over)?;
        Ok(())
    }

    /// Number of bytes that may still be unpacked.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts unpacked bytes.
    pub fn take_bytes(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let over = || Exceeded(format!("unpacked, it is larger than {} MB", MAX_BYTES >> 20));
        self.bytes = self.bytes.checked_sub(bytes as u64).ok_or_else(over)?;
        Ok(())
    }
}
