//! The filter that restricts a search to some chunks, and the number of these chunks.

use crate::collections::catalog::collection::Collection;
use crate::search::metadata_filter::MetadataFilter;
use ragstone_pg::error::Result;
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::switch_user::as_owner;
use std::rc::Rc;

/// Maximum number of chunks that are compared with the query one by one. Counting and comparing them takes a
/// few milliseconds, as does an index scan in which one in twenty chunks meets the condition.
pub const MAX_EXACT_CHUNKS: i64 = 5_000;

/// Number of chunks in the sample from which the share that meets the condition is estimated.
const SAMPLE_CHUNKS: i64 = 2_000;

/// A condition on the metadata, a list of chunks, or both.
#[derive(Debug)]
pub struct Filter {
    condition: Option<Rc<MetadataFilter>>,
    /// Numbers of the chunks, with their lengths in words.
    only: Option<Vec<(i64, u32)>>,
    /// True if the list contains only chunks whose rows the caller may see.
    is_visible: bool,
    /// Number of chunks that meet the filter: the length of the list if there is one, otherwise counted or,
    /// if it is large, estimated.
    pub chunks: i64,
}

impl Filter {
    /// Determines how selective a condition is. None without a condition.
    pub fn new(collection: &Collection, condition: Option<&Rc<MetadataFilter>>) -> Result<Option<Self>> {
        let Some(condition) = condition else { return Ok(None) };
        let chunks = matching(collection, condition)?;
        Ok(Some(Self { condition: Some(condition.clone()), only: None, is_visible: false, chunks }))
    }

    /// A filter for chunks in a list, given with their lengths in words, that also meet a condition.
    pub fn of_chunks(only: Vec<(i64, u32)>, condition: Option<&Rc<MetadataFilter>>) -> Self {
        Self { condition: condition.cloned(), chunks: only.len() as i64, only: Some(only), is_visible: false }
    }

    /// As [`of_chunks`](Self::of_chunks), for a list of chunks whose rows the caller may see.
    pub fn of_visible(only: Vec<(i64, u32)>, condition: Option<&Rc<MetadataFilter>>) -> Self {
        Self { is_visible: true, ..Self::of_chunks(only, condition) }
    }

    /// True if the filter has a list of chunks.
    pub fn is_list(&self) -> bool {
        self.only.is_some()
    }

    /// True if the caller may see the rows of all chunks that meet the filter.
    pub fn is_of_visible(&self) -> bool {
        self.is_visible
    }

    /// The chunks that meet the filter, with their lengths in words, if they are known.
    pub fn known_chunks(&self) -> Option<&[(i64, u32)]> {
        self.only.as_deref().filter(|_| self.condition.is_none())
    }

    /// True if all chunks that meet the filter may be compared with the query one by one.
    pub fn is_selective(&self) -> bool {
        self.chunks <= MAX_EXACT_CHUNKS
    }

    /// The conditions in SQL. `first` is the number of the first of their [`arguments`](Self::arguments) in
    /// the statement.
    pub fn conditions(&self, first: usize) -> String {
        let (mut conditions, mut number) = (String::new(), first);
        if let Some(condition) = &self.condition {
            conditions.push_str(&format!(" AND {}", condition.condition("metadata", number)));
            number += condition.argument_count();
        }
        if self.only.is_some() {
            conditions.push_str(&format!(" AND chunk_id = ANY (${number})"));
        }
        conditions
    }

    /// Arguments for [`conditions`](Self::conditions).
    pub fn arguments(&self) -> impl Iterator<Item = Arg> {
        let condition = self.condition.iter().flat_map(|condition| condition.arguments());
        let only = self.only.as_ref().map(|only| Arg::int8s(only.iter().map(|(chunk, _)| *chunk)));
        condition.chain(only)
    }
}

/// Runs a SELECT on a collection's chunks as their owner. Values of a filter are compared under the settings under
/// which the metadata are stored.
pub fn select_chunks(
    collection: &Collection,
    filter: Option<&Filter>,
    statement: &str,
    arguments: &[Arg],
) -> Result<Rows> {
    let owner = collection.chunks()?.owner;
    match filter.and_then(|filter| filter.condition.as_ref()) {
        Some(_) => as_source_owner(owner, || select(statement, arguments)),
        None => as_owner(owner, || select(statement, arguments)),
    }
}

fn matching(collection: &Collection, condition: &MetadataFilter) -> Result<i64> {
    let chunks = collection.chunks()?;
    let (table, owner) = (&chunks.name, chunks.owner);
    let select = |statement: &str, arguments: &[Arg]| as_source_owner(owner, || select(statement, arguments));
    if collection.chunk_count > MAX_EXACT_CHUNKS {
        // The index finds all chunks that meet a condition, which is slow if these are most of the table.
        // Therefore a sample is counted first.
        let percent = (100.0 * SAMPLE_CHUNKS as f64 / collection.chunk_count as f64).min(100.0);
        let mut arguments = vec![Arg::new(percent as f32)];
        arguments.extend(condition.arguments());
        let rows = select(
            &format!(
                "SELECT count(*) FILTER (WHERE {}), count(*) FROM {table}
                 TABLESAMPLE SYSTEM ($1) REPEATABLE (0)",
                condition.condition("metadata", 2)
            ),
            &arguments,
        )?;
        let (met, seen) = (rows.int8(0, 0).unwrap_or(0), rows.int8(0, 1).unwrap_or(0).max(1));
        let guess = (met as f64 / seen as f64 * collection.chunk_count as f64) as i64;
        if guess > MAX_EXACT_CHUNKS {
            return Ok(guess);
        }
    }
    let rows = select(
        &format!(
            "SELECT count(*) FROM (SELECT FROM {table} WHERE {} LIMIT {}) met",
            condition.condition("metadata", 1),
            MAX_EXACT_CHUNKS + 1
        ),
        &condition.arguments().collect::<Vec<_>>(),
    )?;
    Ok(rows.int8(0, 0).unwrap_or(0))
}
