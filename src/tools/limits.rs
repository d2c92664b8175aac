//! What a call of a tool may take, give and do.

use ragstone_pg::error::{Error, Result};

/// Fewest bytes of a result that are of any use.
const LEAST_BYTES: i32 = 256;

/// Most bytes of a result; what a model reads is far less.
const MOST_BYTES: i32 = 16 * 1024 * 1024;

/// Most rows of a result.
const MOST_ROWS: i32 = 100_000;

/// What a call may take, give and do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest time, milliseconds.
    pub timeout_ms: i32,
    /// Most rows that are shown; of a search, how many are found.
    pub max_rows: i32,
    /// Most bytes that are shown.
    pub max_bytes: i32,
    /// Whether it may write.
    pub writes: bool,
    /// Whether a person has to agree to each call.
    pub requires_approval: bool,
}

impl Limits {
    /// Refuses limits that make no sense.
    ///
    /// # Errors
    /// 22023.
    pub fn check(self) -> Result<()> {
        let Self { timeout_ms, max_rows, max_bytes, .. } = self;
        if timeout_ms < 1 {
            return Err(Error::bad_argument(format!("timeout_ms must be more than 0, not {timeout_ms}")));
        }
        if !(1..=MOST_ROWS).contains(&max_rows) {
            return Err(Error::bad_argument(format!(
                "max_rows must be from 1 to {MOST_ROWS}, not {max_rows}"
            )));
        }
        if !(LEAST_BYTES..=MOST_BYTES).contains(&max_bytes) {
            return Err(Error::bad_argument(format!(
                "max_bytes must be from {LEAST_BYTES} to {MOST_BYTES}, not {max_bytes}"
            )));
        }
        Ok(())
    }
}
