//! What failed: a row, a collection, or what all of them need.

use crate::error::Error;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The row's: it is tried a few times and then listed.
    Row,
    /// The collection's definition or model: somebody has to do something about it.
    Collection,
    /// Nobody's: it passes.
    Passing,
    /// The system's: nothing can be done before it is well again.
    System,
}

/// Whose fault an error is, by its SQLSTATE.
pub fn fault(error: &Error) -> Fault {
    let code = error.code();
    match (&code[..2], code.as_str()) {
        (_, "40001" | "40P01" | "55P03" | "23505") => Fault::Passing,
        ("08" | "38" | "53" | "57" | "58", _) => Fault::System,
        ("0A" | "42" | "55" | "3F" | "F0", _) => Fault::Collection,
        _ => Fault::Row,
    }
}
