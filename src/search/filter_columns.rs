//! The metadata columns of a collection as a filter compares them: in their own types, by PostgreSQL's own code
//! alone. Casts, and checks of domains, may be code of the type's owner; input functions and sort orders are not.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::statements::text_of;
use pgrx::pg_sys;
use ragstone_core::filter::{ColumnKind, FilterColumn};
use ragstone_pg::error::Result;
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::relation::{
    column_type, element_type, is_text_type, order_operators, type_kind, type_names, without_domains,
};
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::value::is_built_in;

/// Types of which equal values, and only these, have the same JSON.
const TYPES_WITH_EXACT_JSON: [pg_sys::Oid; 17] = [
    pg_sys::BOOLOID,
    pg_sys::INT2OID,
    pg_sys::INT4OID,
    pg_sys::INT8OID,
    pg_sys::NUMERICOID,
    pg_sys::FLOAT4OID,
    pg_sys::FLOAT8OID,
    pg_sys::TEXTOID,
    pg_sys::VARCHAROID,
    pg_sys::UUIDOID,
    pg_sys::DATEOID,
    pg_sys::TIMEOID,
    pg_sys::TIMESTAMPOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::BYTEAOID,
    pg_sys::INETOID,
    pg_sys::CIDROID,
];

/// A metadata column.
#[derive(Debug)]
pub struct MetadataColumn {
    /// Name and kind, for the parser.
    pub of_filter: FilterColumn,
    /// The value in a row `s` of the source, in SQL.
    pub in_source: String,
    /// The type in which values are compared.
    pub compared: pg_sys::Oid,
    /// Its name with its schema.
    pub compared_name: String,
    /// The type as whose values the filter's values are read; None if they are plain text.
    pub read_as: Option<pg_sys::Oid>,
    /// Operators: equal, less, greater.
    pub operators: [String; 3],
    /// The collation in SQL, with COLLATE; empty for the default.
    pub collation: String,
    /// True if the index on the metadata finds equal values.
    pub has_exact_json: bool,
}

impl MetadataColumn {
    /// The metadata columns of a collection.
    pub fn all(collection: &Collection) -> Result<Vec<Self>> {
        let source = collection.source_of_any_owner()?.oid;
        let names = &collection.metadata;
        let types = names.iter().map(|name| column_type(source, name)).collect::<Result<Vec<_>>>()?;
        with_safe_search_path(|| {
            let arguments = [Arg::new(source), Arg::texts(names)];
            let rows = select(include_str!("../../sql/queries/collations.sql"), &arguments)?;
            let collations: Vec<(String, String, bool)> = (0..rows.count)
                .filter_map(|row| Some((rows.text(row, 0)?, rows.text(row, 1)?, rows.boolean(row, 2)?)))
                .collect();
            let columns = names.iter().zip(types);
            columns
                .map(|(name, of)| {
                    let collation = collations.iter().find(|(column, ..)| column == name);
                    Self::new(name, of, collation.map(|(_, collation, exact)| (collation.as_str(), *exact)))
                })
                .collect()
        })
    }

    fn new(name: &str, of: pg_sys::Oid, collation: Option<(&str, bool)>) -> Result<Self> {
        let own = without_domains(of);
        let element = match element_type(own) {
            pg_sys::InvalidOid => own,
            element => element,
        };
        // A row type or range of a user may have domains in it.
        let is_own_code = is_built_in(own) || [b'b', b'e'].contains(&type_kind(element));
        let is_json = [pg_sys::JSONOID, pg_sys::JSONBOID].contains(&own);
        let operators = if is_own_code && !is_json { order_operators(own)? } else { None };
        let (kind, compared) = match operators {
            _ if is_json => (ColumnKind::Json, pg_sys::JSONBOID),
            None => (ColumnKind::Unordered, pg_sys::TEXTOID),
            Some(_) if element != own => (ColumnKind::Array, own),
            Some(_) if is_text_type(own) => (ColumnKind::Text, own),
            Some(_) => (ColumnKind::Ordered, own),
        };
        let operators = match operators {
            Some(operators) => operators,
            None => ["=", "<", ">"].map(|operator| format!("OPERATOR(pg_catalog.{operator})")),
        };
        let (collation, tells_apart) = collation.filter(|_| kind != ColumnKind::Unordered).map_or_else(
            || (String::new(), true),
            |(collation, tells_apart)| (format!(" COLLATE {collation}"), tells_apart),
        );
        let is_enum = type_kind(own) == b'e';
        let compared_name = type_names(&[compared])?.join("");
        let in_source = match kind {
            ColumnKind::Json => format!("pg_catalog.to_jsonb(s.{})", quoted(name)),
            ColumnKind::Unordered => text_of(name),
            _ if of == compared => format!("s.{}", quoted(name)),
            _ => format!("s.{}::{compared_name}", quoted(name)),
        };
        let type_name = select("SELECT format_type($1, NULL)", &[Arg::new(of)])?.text(0, 0);
        Ok(Self {
            of_filter: FilterColumn { name: name.to_owned(), kind, type_name: type_name.unwrap_or_default() },
            in_source,
            compared,
            compared_name,
            read_as: is_own_code.then_some(own),
            operators,
            collation,
            has_exact_json: tells_apart
                && (is_json || is_enum || (is_built_in(own) && TYPES_WITH_EXACT_JSON.contains(&element))),
        })
    }

    /// The column as a column definition of a record made from the metadata.
    pub fn definition(&self) -> String {
        format!("{} {}", quoted(&self.of_filter.name), self.compared_name)
    }

    /// True if the column is an enum, whose casts to JSON may be its owner's.
    pub fn is_enum(&self) -> bool {
        type_kind(self.compared) == b'e'
    }
}
