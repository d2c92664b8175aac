//! The places of a database's background workers: each is held by one process at most.

use std::fmt::{self, Display, Formatter};

/// A place for a background worker of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The coordinator: it starts jobs, writes what the engine's mailboxes hold, and maintains the log's partitions and sums. It
    /// uses no table of a user.
    Coordinator,
    /// A worker that indexes collections, from 0. The first one has others registered when there is much to do.
    Indexer(i32),
}

impl Place {
    /// The worker that a session wants for changed rows.
    pub const FIRST_INDEXER: Self = Self::Indexer(0);

    /// Whether sessions ask for a worker in this place. Others are registered by the first worker of the database.
    pub fn is_requested(self) -> bool {
        self == Self::Coordinator || self == Self::FIRST_INDEXER
    }

    /// Whether both places are of the same kind.
    pub fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    /// A place from the end of the name of its files.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "coordinator" => Some(Self::Coordinator),
            number => number.parse().ok().map(Self::Indexer),
        }
    }
}

/// As in names of files.
impl Display for Place {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => to.write_str("coordinator"),
            Self::Indexer(number) => number.fmt(to),
        }
    }
}

/// Database and place of a worker, from the name of its file after the prefix.
pub fn parse_worker_name(name: &str) -> Option<(u32, Place)> {
    let (database, place) = name.split_once('-')?;
    Some((database.parse().ok()?, Place::parse(place)?))
}
