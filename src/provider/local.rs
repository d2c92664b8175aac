//! The server `local`, which stands for this host and has no options.

use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::{connect, run};

/// Raises an error if the finished DDL command gave options to the server `local` or a key to one of its user
/// mappings. The wrapper's validator cannot check this, because PostgreSQL does not pass it the name of the
/// server.
pub fn refuse_options() -> Result<()> {
    let query = include_str!("../../sql/queries/local.sql");
    let given = with_safe_search_path(|| connect(|| run(query, &[]).map(|rows| rows.count)))?;
    if given == 0 {
        return Ok(());
    }
    Err(Error::invalid_option("the server \"local\" takes no options and no keys")
        .detail("It serves the models of this host.")
        .hint("Make a server for another provider with rag.create_provider."))
}
