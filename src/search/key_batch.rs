//! Batches of row keys as arguments of a statement.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::key_column;
use crate::collections::catalog::relation::Relation;
use pgrx::pg_sys;
use ragstone_pg::error::Result;
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::relation::{check_comparable, equality_operator};
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::Arg;
use ragstone_pg::value::{Value, has_array_type};

/// Keys that one statement looks up, each with an item that belongs to it.
pub struct KeyBatch<T> {
    /// The items of the keys.
    pub items: Vec<T>,
    keys: Vec<Vec<Value>>,
    /// Types of the key's columns.
    types: Vec<pg_sys::Oid>,
    /// True if each key column is passed as an array with one element for each key.
    are_arrays: bool,
}

/// The key in a row of a result, in the columns from `first` on; None if one of them is NULL.
pub fn key_at(rows: &Rows, row: usize, first: usize, collection: &Collection) -> Option<Vec<Value>> {
    (0..collection.key.len()).map(|place| rows.value(row, first + place)).collect()
}

impl<T> KeyBatch<T> {
    /// All keys in one batch, or each in a batch of its own if a key column has no array type, for example
    /// because it is an array itself.
    pub fn of(keyed: Vec<(Vec<Value>, T)>) -> Vec<Self> {
        let Some((first, _)) = keyed.first() else { return Vec::new() };
        let types: Vec<_> = first.iter().map(|value| value.oid).collect();
        let are_arrays = types.iter().all(|oid| has_array_type(*oid));
        let batch = |(keys, items)| Self { items, keys, types: types.clone(), are_arrays };
        match are_arrays {
            true => vec![batch(keyed.into_iter().unzip())],
            false => keyed.into_iter().map(|(key, item)| batch((vec![key], vec![item]))).collect(),
        }
    }

    /// The item at a position, counted from 1.
    pub fn at(&self, place: i64) -> Option<&T> {
        self.items.get(usize::try_from(place).ok()?.checked_sub(1)?)
    }

    /// The keys, in the order of their positions.
    pub fn into_keys(self) -> impl Iterator<Item = Vec<Value>> {
        self.keys.into_iter()
    }

    /// Names of the key's columns.
    pub fn names(&self) -> impl Iterator<Item = String> + Clone {
        (0..self.types.len()).map(key_column)
    }

    /// A FROM item `k` with the keys and their positions.
    pub fn list(&self) -> String {
        let names: Vec<_> = self.names().collect();
        let columns = 1..=self.types.len();
        let keys = if self.are_arrays {
            let columns: Vec<_> = columns.map(|place| format!("pg_catalog.unnest(${place})")).collect();
            format!("ROWS FROM ({}) WITH ORDINALITY", columns.join(", "))
        } else {
            let columns: Vec<_> = columns.map(|place| format!("${place}")).collect();
            format!("(VALUES ({}, 1::pg_catalog.int8))", columns.join(", "))
        };
        format!("{keys} AS k ({}, place)", names.join(", "))
    }

    /// The keys as arguments for [`list`](Self::list).
    pub fn arguments(&self) -> Vec<Arg> {
        let column =
            |place: usize| -> Vec<_> { self.keys.iter().map(|key| Some(key[place].datum())).collect() };
        match (self.are_arrays, self.keys.first()) {
            (false, Some(only)) => only.iter().map(Arg::value).collect(),
            _ => self.types.iter().enumerate().map(|(place, oid)| Arg::array(*oid, column(place))).collect(),
        }
    }

    /// The condition that a row `s` of the source has the key `k`.
    ///
    /// # Errors
    /// 42804 if the comparison would run a user's code.
    pub fn is_key_of_source(&self, collection: &Collection) -> Result<String> {
        self.are_equal("s", collection.source_of_any_owner()?, collection.key.iter().cloned())
    }

    /// The condition that a chunk `c` has the key `k`.
    ///
    /// # Errors
    /// As [`is_key_of_source`](Self::is_key_of_source).
    pub fn is_key_of_chunk(&self, collection: &Collection) -> Result<String> {
        self.are_equal("c", collection.chunks()?, self.names())
    }

    fn are_equal(
        &self,
        alias: &str,
        table: &Relation,
        columns: impl Iterator<Item = String> + Clone,
    ) -> Result<String> {
        for (column, wanted) in columns.clone().zip(&self.types) {
            check_comparable(table.oid, &column, *wanted)?;
        }
        let operators = with_safe_search_path(|| {
            self.types.iter().map(|oid| equality_operator(*oid)).collect::<Result<Vec<_>>>()
        })?;
        let pairs = (columns.zip(self.names()).zip(operators))
            .map(|((column, name), operator)| format!("{alias}.{} {operator} k.{name}", quoted(&column)));
        Ok(pairs.collect::<Vec<_>>().join(" AND "))
    }
}
