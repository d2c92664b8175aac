//! The places of a database's background workers. At most one process holds a place.

use std::fmt::{self, Display, Formatter};

/// A place for a background worker of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The coordinator: it starts jobs, writes the content of the engine's mailboxes to tables, and maintains the
    /// partitions and sums of the log. It does not access users' tables.
    Coordinator,
    /// A worker that indexes collections; numbers begin at 0. The first worker registers additional ones when the queue is long.
    Indexer(i32),
}

impl Place {
    /// The worker that a session requests for changed rows.
    pub const FIRST_INDEXER: Self = Self::Indexer(0);

    /// True if sessions request a worker in this place. The first worker of the database registers the others.
    pub fn is_requested(self) -> bool {
        self == Self::Coordinator || self == Self::FIRST_INDEXER
    }

    /// True if both places are of the same kind.
    pub fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    /// Parses a place from the end of a file name.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "coordinator" => Some(Self::Coordinator),
            number => number.parse().ok().map(Self::Indexer),
        }
    }
}

/// The form in file names.
impl Display for Place {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => to.write_str("coordinator"),
            Self::Indexer(number) => number.fmt(to),
        }
    }
}

/// Parses database and place of a worker from the part of a file name after the prefix.
pub fn parse_worker_name(name: &str) -> Option<(u32, Place)> {
    let (database, place) = name.split_once('-')?;
    Some((database.parse().ok()?, Place::parse(place)?))
}
