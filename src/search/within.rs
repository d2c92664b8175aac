//! The chunks to which the operators of a query restrict a search.

use crate::search::filter::MAX_EXACT_CHUNKS;
use std::collections::{HashMap, HashSet};

/// Some chunks.
#[derive(Debug)]
pub enum Within {
    /// These, with their lengths in words.
    Only(HashMap<i64, u32>),
    /// All but these.
    Not(HashSet<i64>),
}

impl Within {
    /// Whether a chunk is one of them.
    pub fn contains(&self, chunk: i64) -> bool {
        match self {
            Self::Only(chunks) => chunks.contains_key(&chunk),
            Self::Not(chunks) => !chunks.contains(&chunk),
        }
    }

    /// All of them with their lengths in words, if these are few enough to be all compared with the query.
    pub fn few(&self) -> Option<Vec<(i64, u32)>> {
        match self {
            Self::Only(chunks) if chunks.len() <= MAX_EXACT_CHUNKS as usize => {
                Some(chunks.iter().map(|(chunk, words)| (*chunk, *words)).collect())
            }
            _ => None,
        }
    }
}
