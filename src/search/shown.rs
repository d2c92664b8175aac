//! The columns of the source's rows that a search shows. They are written under the same settings in all
//! sessions, as the stored values are, so that both can be compared. The rows themselves are read under the
//! caller's settings, because policies may use these.

use crate::collections::catalog::collection::Collection;
use crate::search::metadata_filter::MetadataFilter;
use pgrx::pg_sys;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::portable::as_source_owner;
use ragstone_pg::relation::{column_type, type_names};
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::value::Value;

/// Key, title and metadata of a row, as a search shows them.
#[derive(Debug, Clone)]
pub struct ShownRow {
    /// The key as a JSON object.
    pub key: Jsonb,
    /// The title.
    pub title: Option<String>,
    /// The metadata as a JSON object.
    pub metadata: Jsonb,
}

/// The columns of a source that a search shows.
pub struct ShownColumns {
    names: Vec<String>,
    /// Names and types, as in a column definition list.
    definitions: String,
}

impl ShownColumns {
    /// The columns of a collection's source.
    pub fn of(collection: &Collection) -> Result<Self> {
        let mut names: Vec<String> = Vec::new();
        for name in collection.key.iter().chain(&collection.title).chain(&collection.metadata) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let source = collection.source_of_any_owner()?.oid;
        let types = names.iter().map(|name| column_type(source, name)).collect::<Result<Vec<_>>>()?;
        let definitions: Vec<_> = names
            .iter()
            .zip(type_names(&types)?)
            .map(|(name, of)| format!("{} {of}", quoted(name)))
            .collect();
        Ok(Self { names, definitions: definitions.join(", ") })
    }

    /// The columns of a row `s` as one composite value.
    pub fn record(&self) -> String {
        let columns: Vec<_> = self.names.iter().map(|name| format!("s.{}", quoted(name))).collect();
        format!("ROW({})", columns.join(", "))
    }

    /// The shown values of rows, which are given as [`record`](Self::record) selects them, in the same order;
    /// None for a row that does not meet the filter.
    pub fn read(
        &self,
        collection: &Collection,
        records: &[Value],
        filter: Option<&MetadataFilter>,
    ) -> Result<Vec<Option<ShownRow>>> {
        let is_met = filter.map_or_else(|| "true".into(), |filter| filter.condition("shown.metadata", 2));
        // The types' output functions, which no user has written, may run as the extension's owner.
        let statement = format!(
            "SELECT key, title, metadata, {is_met} FROM (
               SELECT {key} AS key, {title} AS title, {metadata} AS metadata
               FROM pg_catalog.unnest($1) AS s ({columns}) OFFSET 0) shown",
            key = collection.key_expression(),
            title = collection.title_expression(),
            metadata = collection.metadata_expression(),
            columns = self.definitions,
        );
        let mut arguments = vec![Arg::values(pg_sys::RECORDOID, records)];
        arguments.extend(filter.into_iter().flat_map(MetadataFilter::arguments));
        let rows = as_source_owner(config_owner()?, || select(&statement, &arguments))?;
        if rows.count != records.len() {
            return Err(Error::internal("not all rows that were found can be shown"));
        }
        let shown = |row| {
            let (Some(key), Some(metadata)) = (rows.jsonb(row, 0), rows.jsonb(row, 2)) else {
                return Err(Error::internal("a row that was found has no key or metadata"));
            };
            let shown = ShownRow { key, title: rows.text(row, 1), metadata };
            Ok((rows.boolean(row, 3) == Some(true)).then_some(shown))
        };
        (0..rows.count).map(shown).collect()
    }
}
