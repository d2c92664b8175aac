//! What agents do, step by step: the records that a log of them is made of.

mod entry;
mod packet;
mod value;

pub use entry::{Entry, RunEnd, RunStart, Step};
pub use packet::Packet;
pub use value::{quote, shorten, without_nul};
