//! Envelopes: what container runtimes, log shippers and stores put around each line of a log. They are opened, and the lines
//! inside are parsed as a log of their own.

mod objects;
mod opened;
mod opener;
mod prefixes;
#[cfg(test)]
mod tests;

pub use objects::{is_envelope, is_named};
pub use opened::OpenedSink;
pub use opener::open;
pub use prefixes::is_prefixed;
