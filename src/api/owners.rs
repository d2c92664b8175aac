//! The owners of conversations, runs, agents and tools.

use pgrx::{extension_sql_file, pg_extern};
use ragstone_pg::error::or_raise;
use ragstone_pg::owner::Owner;

#[pg_extern(stable, parallel_restricted)]
fn _current_owner() -> String {
    or_raise(Owner::current().and_then(Owner::to_text))
}

extension_sql_file!("../../sql/owners.sql", name = "owners", requires = ["bootstrap", _current_owner]);
