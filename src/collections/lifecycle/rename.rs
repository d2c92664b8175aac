//! `rag.rename_collection`.

use crate::collections::capture::own_ddl::run_own;
use crate::collections::catalog::collection::{Collection, lock_name};
use crate::collections::catalog::tables;
use crate::collections::lifecycle::migration::{check_is_in_no_migration, open};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;

/// Gives a collection and its tables another name. Tools, sessions and jobs that have not ended follow it; the log keeps
/// the name that the collection had.
pub fn rename(name: &str, new_name: &str) -> Result<()> {
    with_safe_search_path(|| {
        connect(|| {
            tables::check_name(new_name, "new_name")?;
            // Two sessions that exchange names would otherwise wait for each other.
            let mut names = [name, new_name];
            names.sort_unstable();
            names.into_iter().for_each(lock_name);
            let collection = open(name, "rename its collection")?;
            check_is_in_no_migration(&collection)?;
            if Collection::find_latest(new_name)?.is_some() {
                return Err(Error::already_exists(format!("collection \"{new_name}\" already exists"))
                    .hint("Choose another name, or drop that collection with rag.drop_collection."));
            }
            run_own(|| tables::rename(&collection, new_name))?;
            let arguments = [Arg::new(collection.id), Arg::text(name), Arg::text(new_name)];
            let rename = include_str!("../../../sql/queries/rename_collection.sql");
            as_owner(config_owner()?, || run(rename, &arguments)).map(|_| ())
        })
    })
}
