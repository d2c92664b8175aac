//! The result of a tool call in the form that is shown to a model.

use ragstone_pg::error::Error;

/// The result of a tool call in the form that is shown to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// JSON, "done", or the error.
    pub content: String,
    /// True if the call failed.
    pub is_error: bool,
    /// SQLSTATE of the error.
    pub sqlstate: Option<String>,
    /// Number of rows in the content.
    pub rows: u64,
    /// True if the content is cut.
    pub truncated: bool,
}

impl Observation {
    /// The observation of a successful call.
    pub fn of(content: String, rows: u64, truncated: bool) -> Self {
        Self { content, is_error: false, sqlstate: None, rows, truncated }
    }

    /// The observation of a failed call.
    pub fn of_error(error: &Error, max_bytes: usize) -> Self {
        let code = error.code();
        let mut content = format!("error {code}: {}", error.message);
        for (label, text) in [("detail", &error.detail), ("hint", &error.hint)] {
            if !text.is_empty() {
                content.push_str(&format!("\n{label}: {text}"));
            }
        }
        let all = content.len();
        let truncated = clip(&mut content, max_bytes) < all;
        Self { content, is_error: true, sqlstate: Some(code), rows: 0, truncated }
    }
}

/// Cuts a text to at most `max_bytes` bytes, at a character boundary. Returns its new length.
pub fn clip(text: &mut String, max_bytes: usize) -> usize {
    text.truncate(text.floor_char_boundary(max_bytes));
    text.len()
}
