//! PostgreSQL's `jsonb` in its binary form, as `src/include/utils/jsonb.h` describes it. The form is that of tables on
//! disk, so it has been the same since PostgreSQL 9.4, and `pg_upgrade` relies on that.
//!
//! Reading JSON by `jsonb_in` takes 2 to 3 µs for a line of a log, several times what the rest of parsing it takes, since it
//! goes through text, a tree of allocations and `numeric`'s own reader. Here containers are written in the order in which
//! they are laid out.

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
