//! Text search configurations.

use crate::error::Result;
use crate::spi::{Arg, select};

/// The configurations of these names as statements name them: with their schema, unless that is pg_catalog. None where there is no such
/// configuration.
pub fn configurations(names: &[&str]) -> Result<Vec<Option<String>>> {
    let rows = select(
        "SELECT (SELECT c.oid::pg_catalog.regconfig::pg_catalog.text FROM pg_catalog.pg_ts_config c
                 WHERE c.oid::pg_catalog.regconfig::pg_catalog.text OPERATOR(pg_catalog.=) n.name LIMIT 1)
         FROM pg_catalog.unnest($1) WITH ORDINALITY n (name, place) ORDER BY n.place",
        &[Arg::texts(names)],
    )?;
    Ok((0..rows.count).map(|row| rows.text(row, 0)).collect())
}

/// Which of these configurations have words that PostgreSQL's own parser finds. It has the same number in all versions
/// (`src/include/catalog/pg_ts_parser.dat`).
///
/// # Errors
/// 42704 if one does not exist.
pub fn have_default_parser(configurations: &[String]) -> Result<Vec<bool>> {
    let rows = select(
        "SELECT (SELECT c.cfgparser OPERATOR(pg_catalog.=) 3722::pg_catalog.oid FROM pg_catalog.pg_ts_config c
                 WHERE c.oid OPERATOR(pg_catalog.=) n.name::pg_catalog.regconfig::pg_catalog.oid)
         FROM pg_catalog.unnest($1) WITH ORDINALITY n (name, place) ORDER BY n.place",
        &[Arg::texts(configurations)],
    )?;
    Ok((0..rows.count).map(|row| rows.boolean(row, 0) == Some(true)).collect())
}
