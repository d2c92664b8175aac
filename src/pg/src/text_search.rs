//! Text search configurations.

use crate::error::Result;
use crate::spi::{Arg, select};

/// Whether a configuration's words are found by PostgreSQL's own parser. It has the same number in all versions
/// (`src/include/catalog/pg_ts_parser.dat`).
///
/// # Errors
/// 42704 if the configuration does not exist.
pub fn has_default_parser(configuration: &str) -> Result<bool> {
    let rows = select(
        "SELECT cfgparser OPERATOR(pg_catalog.=) 3722::pg_catalog.oid FROM pg_catalog.pg_ts_config
         WHERE oid OPERATOR(pg_catalog.=) $1::pg_catalog.regconfig::pg_catalog.oid",
        &[Arg::text(configuration)],
    )?;
    Ok(rows.boolean(0, 0) == Some(true))
}
