//! What failed: a row, a collection, or what all of them need.

use crate::error::Error;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The row's: it is tried a few times and then listed.
    Row,
    /// The collection's definition or model: somebody has to do something about it.
    Collection,
    /// Nobody's: it passes.
    Transient,
    /// The system's: nothing can be done before it is well again.
    Environment,
}

/// Whose fault an error is, by its SQLSTATE.
pub fn blame(error: &Error) -> Blame {
    let code = error.code();
    match (&code[..2], code.as_str()) {
        (_, "40001" | "40P01" | "55P03" | "23505") => Blame::Transient,
        ("08" | "38" | "53" | "57" | "58", _) => Blame::Environment,
        ("0A" | "42" | "55" | "3F" | "F0", _) => Blame::Collection,
        _ => Blame::Row,
    }
}
