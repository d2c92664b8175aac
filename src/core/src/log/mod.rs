//! What agents do, step by step: the records that a log of them is made of.

mod entry;
pub mod parse;
pub mod semconv;

pub use entry::{Entry, RunEnd, RunStart, Step};
