//! Text search configurations.

use crate::error::Result;
use crate::spi::{Arg, select};

/// The configurations with these names, as statements write them: with their schema, unless it is pg_catalog. `None` for a
/// name without a configuration.
pub fn configurations(names: &[&str]) -> Result<Vec<Option<String>>> {
    let rows = select(
        "SELECT (SELECT c.oid::pg_catalog.regconfig::pg_catalog.text FROM pg_catalog.pg_ts_config c
                 WHERE c.oid::pg_catalog.regconfig::pg_catalog.text OPERATOR(pg_catalog.=) n.name LIMIT 1)
         FROM pg_catalog.unnest($1) WITH ORDINALITY n (name, place) ORDER BY n.place",
        &[Arg::texts(names)],
    )?;
    Ok((0..rows.count).map(|row| rows.text(row, 0)).collect())
}

/// Tells for each configuration whether it uses PostgreSQL's own parser, which has the same OID in all versions
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
