//! PostgreSQL's `jsonb` in its binary format, as `src/include/utils/jsonb.h` describes it. Tables on disk have this format,
//! so it has not changed since PostgreSQL 9.4, and `pg_upgrade` relies on it.
//!
//! Reading JSON with `jsonb_in` takes 2 to 3 µs for a line of a log, several times the rest of the parsing, because it goes
//! through text, a tree of allocations and `numeric`'s own reader. This module writes containers directly in the order of
//! their layout.

mod layout;
mod numeric;
#[cfg(test)]
mod show;
mod strings;
mod write;

pub use layout::{JEntry, TooLong, varlena_header};
pub use numeric::{int, number};
#[cfg(test)]
pub use show::shown;
pub use strings::any_string;
pub use write::{Container, NULL, boolean, document, string_since};
