//! The chunks to which a query's operators restrict a search.

use crate::search::filter::MAX_EXACT_CHUNKS;
use std::collections::{HashMap, HashSet};

/// A set of chunks.
#[derive(Debug)]
pub enum Within {
    /// Only these, with their lengths in words.
    Only(HashMap<i64, u32>),
    /// All except these.
    Not(HashSet<i64>),
}

impl Within {
    /// True if the set contains the chunk.
    pub fn contains(&self, chunk: i64) -> bool {
        match self {
            Self::Only(chunks) => chunks.contains_key(&chunk),
            Self::Not(chunks) => !chunks.contains(&chunk),
        }
    }

    /// All chunks of the set with their lengths in words, if they are few enough to be compared with the
    /// query one by one.
    pub fn few(&self) -> Option<Vec<(i64, u32)>> {
        match self {
            Self::Only(chunks) if chunks.len() <= MAX_EXACT_CHUNKS as usize => {
                Some(chunks.iter().map(|(chunk, words)| (*chunk, *words)).collect())
            }
            _ => None,
        }
    }
}
