//! The log of agents: its entries, their redaction, parsers of foreign logs, and spans and trees made of runs.

mod entry;
mod essence;
pub mod histogram;
mod packet;
pub mod parse;
pub mod pattern;
mod redact;
pub mod semconv;
mod traceparent;
mod value;
pub mod span;
pub mod trace;

pub use entry::{Entry, RunEnd, RunStart, Step};
pub use packet::Packet;
pub use redact::{BadPattern, Redactor, Rule};
pub use traceparent::{TraceParent, TraceParentError};
pub use value::{quote, shorten, without_nul};
