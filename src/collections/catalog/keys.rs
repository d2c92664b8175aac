//! Keys of rows as text, and the conditions that find a row or a chunk by its key.

use crate::collections::catalog::collection::Collection;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::relation::equality_operator;
use ragstone_pg::spi::{Arg, run};

/// A row's key columns as text, in the order of the collection's key.
pub type Key = Vec<String>;

/// As [`Key`], for a row in which some or all key columns are NULL.
pub type PartialKey = Vec<Option<String>>;

/// How the key columns of a collection are compared.
#[derive(Debug, Clone)]
pub struct KeyColumns {
    /// Equality operators, each with its schema.
    pub operators: Vec<String>,
    /// Type names, as they are written in a cast.
    types: Vec<String>,
}

impl KeyColumns {
    /// Reads operators and types from a collection's chunk table. Must be called with a search path of
    /// pg_catalog only.
    pub fn of(collection: &Collection) -> Result<Self> {
        let names: Vec<_> = (0..collection.key.len()).map(key_column).collect();
        let rows = run(
            "SELECT atttypid, format_type(atttypid, atttypmod) FROM pg_attribute
             WHERE attrelid = $1 AND attname = ANY ($2) AND NOT attisdropped ORDER BY attnum",
            &[Arg::new(collection.chunks()?.oid), Arg::texts(&names)],
        )?;
        let (mut operators, mut types) = (Vec::new(), Vec::new());
        for row in 0..names.len() {
            let (Some(oid), Some(name)) = (rows.oid(row, 0), rows.text(row, 1)) else {
                return Err(Error::internal("a key column no longer exists"));
            };
            operators.push(equality_operator(oid)?);
            types.push(name);
        }
        Ok(Self { operators, types })
    }

    /// Number of columns.
    pub fn count(&self) -> usize {
        self.types.len()
    }

    /// A FROM item `k` with the given keys: columns `key_1`, `key_2`, … in their own types, and `place` from
    /// 1. The statement's first arguments are the keys: see [`arguments`](Self::arguments).
    pub fn rows(&self) -> String {
        let arrays: Vec<_> = (1..=self.count()).map(|place| format!("${place}::text[]")).collect();
        let names: Vec<_> = (1..=self.count()).map(|place| format!("t{place}")).collect();
        let columns: Vec<_> = self
            .types
            .iter()
            .enumerate()
            .map(|(place, name)| format!("t{}::{name} AS {}", place + 1, key_column(place)))
            .collect();
        format!(
            "(SELECT {}, place FROM unnest({}) WITH ORDINALITY t ({}, place)) k",
            columns.join(", "),
            arrays.join(", "),
            names.join(", ")
        )
    }

    /// The arguments for [`rows`](Self::rows): one array of text for each key column.
    pub fn arguments<'k>(&self, keys: impl Iterator<Item = &'k Key> + Clone) -> Vec<Arg> {
        (0..self.count()).map(|place| Arg::texts(keys.clone().map(|key| &key[place]))).collect()
    }

    /// The condition that a row of the source has the key `k`.
    pub fn match_source(&self, collection: &Collection) -> String {
        self.pairs(|place| format!("s.{}", ragstone_pg::identifier::quoted(&collection.key[place])))
    }

    /// The condition that a chunk has the key `k`.
    pub fn match_chunk(&self) -> String {
        self.pairs(|place| format!("c.{}", key_column(place)))
    }

    /// The condition that a row of the source has this key. The key's columns that are not NULL are the
    /// statement's first arguments.
    pub fn match_partial(&self, collection: &Collection, key: &PartialKey) -> (String, Vec<Arg>) {
        let (mut conditions, mut arguments) = (Vec::new(), Vec::new());
        for (place, value) in key.iter().enumerate() {
            let column = format!("s.{}", ragstone_pg::identifier::quoted(&collection.key[place]));
            conditions.push(match value {
                None => format!("{column} IS NULL"),
                Some(value) => {
                    arguments.push(Arg::text(value));
                    let (operator, kind) = (&self.operators[place], &self.types[place]);
                    format!("{column} {operator} ${}::text::{kind}", arguments.len())
                }
            });
        }
        (conditions.join(" AND "), arguments)
    }

    fn pairs(&self, left: impl Fn(usize) -> String) -> String {
        self.operators
            .iter()
            .enumerate()
            .map(|(place, operator)| format!("{} {operator} k.{}", left(place), key_column(place)))
            .collect::<Vec<_>>()
            .join(" AND ")
    }
}

/// True if a key has the same number of columns as the collection's key. A queued key may be older than the
/// last change of the collection's key.
pub fn fits(collection: &Collection, key: &Key) -> bool {
    key.len() == collection.key.len()
}

/// The key, if none of its columns is NULL.
pub fn whole(key: &PartialKey) -> Option<Key> {
    key.iter().cloned().collect()
}

/// Name of the chunk table's column for a key column, by its position from 0.
pub fn key_column(place: usize) -> String {
    format!("key_{}", place + 1)
}
