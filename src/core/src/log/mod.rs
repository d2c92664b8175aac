//! What agents do, step by step: the records that a log of them is made of.

mod entry;
<<<<<<< HEAD
mod packet;
mod value;

pub use entry::{Entry, RunEnd, RunStart, Step};
pub use packet::Packet;
=======
mod jsonb;
mod redact;
mod traceparent;
mod value;

pub use entry::{Entry, RunEnd, RunStart, Step};
pub use jsonb::any_string;
pub use redact::{BadPattern, Redactor, Rule};
pub use traceparent::{NoTraceParent, TraceParent};
>>>>>>> h-log
pub use value::{quote, shorten, without_nul};
