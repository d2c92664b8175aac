//! Limits of a tool's calls.

use ragstone_pg::error::{Error, Result};

/// Minimum of `max_bytes`: a shorter part of a result would be useless.
const MIN_RESULT_BYTES: i32 = 256;

/// Maximum of `max_bytes`. Models read far less.
const MAX_RESULT_BYTES: i32 = 16 * 1024 * 1024;

/// Maximum of `max_rows`.
const MAX_RESULT_ROWS: i32 = 100_000;

/// Limits of a tool's calls.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Timeout, in milliseconds.
    pub timeout_ms: i32,
    /// Maximum number of rows that are shown; the number of passages of a search.
    pub max_rows: i32,
    /// Maximum number of bytes that are shown.
    pub max_bytes: i32,
    /// True if the tool may write.
    pub writes: bool,
    /// True if a user must approve each call.
    pub requires_approval: bool,
}

impl Limits {
    /// Raises an error for limits out of range.
    ///
    /// # Errors
    /// 22023 for a limit out of range.
    pub fn check(self) -> Result<()> {
        let Self { timeout_ms, max_rows, max_bytes, .. } = self;
        if timeout_ms < 1 {
            return Err(Error::bad_argument(format!("timeout_ms must be more than 0, not {timeout_ms}")));
        }
        if !(1..=MAX_RESULT_ROWS).contains(&max_rows) {
            return Err(Error::bad_argument(format!(
                "max_rows must be from 1 to {MAX_RESULT_ROWS}, not {max_rows}"
            )));
        }
        if !(MIN_RESULT_BYTES..=MAX_RESULT_BYTES).contains(&max_bytes) {
            return Err(Error::bad_argument(format!(
                "max_bytes must be from {MIN_RESULT_BYTES} to {MAX_RESULT_BYTES}, not {max_bytes}"
            )));
        }
        Ok(())
    }
}
