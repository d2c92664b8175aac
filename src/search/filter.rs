//! What restricts a search to some chunks, and how many there are.

use crate::collections::catalog::collection::Collection;
use pgrx::pg_sys;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::Result;
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::switch_user::as_owner;

/// Maximum number of chunks that are all compared with the query. Counting and comparing them takes a few milliseconds,
/// as does an index scan in which one in twenty chunks meets the condition.
pub const MAX_EXACT_CHUNKS: i64 = 5_000;

/// Number of chunks in the sample from which the share that meets the condition is estimated.
const SAMPLE_CHUNKS: i64 = 2_000;

/// The condition `metadata @> …`, a list of chunks, or both.
#[derive(Debug)]
pub struct Filter {
    condition: Option<Jsonb>,
    /// With their lengths in words.
    only: Option<Vec<(i64, u32)>>,
    /// Whether the list is of chunks whose rows the caller may see.
    is_visible: bool,
    /// Number of chunks that meet it: at most that of the list, counted if they are few, otherwise estimated.
    pub chunks: i64,
}

impl Filter {
    /// Finds out how selective a condition is. None without a condition.
    pub fn new(collection: &Collection, condition: Option<&Jsonb>) -> Result<Option<Self>> {
        let Some(condition) = condition else { return Ok(None) };
        let owner = collection.chunks()?.owner;
        let chunks = as_owner(owner, || matching(collection, condition))?;
        Ok(Some(Self { condition: Some(condition.clone()), only: None, is_visible: false, chunks }))
    }

    /// Those of a list of chunks, given with their lengths in words, that meet a condition.
    pub fn of_chunks(only: Vec<(i64, u32)>, condition: Option<&Jsonb>) -> Self {
        Self { condition: condition.cloned(), chunks: only.len() as i64, only: Some(only), is_visible: false }
    }

    /// Those of a list of chunks whose rows the caller may see.
    pub fn of_visible(only: Vec<(i64, u32)>, condition: Option<&Jsonb>) -> Self {
        Self { is_visible: true, ..Self::of_chunks(only, condition) }
    }

    /// Whether it has a list of chunks.
    pub fn is_list(&self) -> bool {
        self.only.is_some()
    }

    /// Whether the caller may see the rows of all chunks that meet it.
    pub fn is_of_visible(&self) -> bool {
        self.is_visible
    }

    /// The chunks that meet it, with their lengths in words, where these are known.
    pub fn known_chunks(&self) -> Option<&[(i64, u32)]> {
        self.only.as_deref().filter(|_| self.condition.is_none())
    }

    /// True if all chunks that meet it may be compared with the query.
    pub fn is_selective(&self) -> bool {
        self.chunks <= MAX_EXACT_CHUNKS
    }

    /// Conditions of a statement whose first argument for them has this number.
    pub fn conditions(&self, first: usize) -> String {
        let (mut conditions, mut number) = (String::new(), first);
        if self.condition.is_some() {
            conditions.push_str(&format!(" AND metadata @> ${number}"));
            number += 1;
        }
        if self.only.is_some() {
            conditions.push_str(&format!(" AND chunk_id = ANY (${number})"));
        }
        conditions
    }

    /// Arguments for [`conditions`](Self::conditions).
    pub fn arguments(&self) -> impl Iterator<Item = Arg> {
        let condition = self.condition.as_ref().map(|condition| Arg::varlena(pg_sys::JSONBOID, &condition.0));
        let only = self.only.as_ref().map(|only| Arg::int8s(only.iter().map(|(chunk, _)| *chunk)));
        condition.into_iter().chain(only)
    }
}

fn matching(collection: &Collection, condition: &Jsonb) -> Result<i64> {
    let table = &collection.chunks()?.name;
    let argument = Arg::varlena(pg_sys::JSONBOID, &condition.0);
    if collection.chunk_count > MAX_EXACT_CHUNKS {
        // The index finds all chunks that meet a condition, which is slow if these are most of the table. So a sample
        // comes first.
        let percent = (100.0 * SAMPLE_CHUNKS as f64 / collection.chunk_count as f64).min(100.0);
        let rows = select(
            &format!(
                "SELECT count(*) FILTER (WHERE metadata @> $1), count(*) FROM {table}
                 TABLESAMPLE SYSTEM ($2) REPEATABLE (0)"
            ),
            &[argument, Arg::new(percent as f32)],
        )?;
        let (met, seen) = (rows.int8(0, 0).unwrap_or(0), rows.int8(0, 1).unwrap_or(0).max(1));
        let guess = (met as f64 / seen as f64 * collection.chunk_count as f64) as i64;
        if guess > MAX_EXACT_CHUNKS {
            return Ok(guess);
        }
    }
    let rows = select(
        &format!(
            "SELECT count(*) FROM (SELECT FROM {table} WHERE metadata @> $1 LIMIT {}) met",
            MAX_EXACT_CHUNKS + 1
        ),
        &[argument],
    )?;
    Ok(rows.int8(0, 0).unwrap_or(0))
}
