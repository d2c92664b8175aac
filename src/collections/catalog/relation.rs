//! A table of a collection, as the catalogue described it when it was read.

use pgrx::pg_sys;
use ragstone_pg::error::Result;
use ragstone_pg::own_tables::not_owner;
use ragstone_pg::spi::{Arg, run};

/// A table of a collection.
#[derive(Debug, Clone)]
pub struct Relation {
    /// OID in `pg_class`.
    pub oid: pg_sys::Oid,
    /// Statements on it run with this role's rights.
    pub owner: pg_sys::Oid,
    /// Name with its schema, quoted.
    pub name: String,
}

impl Relation {
    /// Checks that the caller has the rights of the relation's owner. `action` names, for the error, the
    /// operation that requires them.
    pub fn check_owner(&self, action: &str) -> Result<()> {
        if has_rights_of(self.owner)? { Ok(()) } else { Err(not_owner(action, &self.name)) }
    }
}

/// True if the caller has the rights of a role.
pub fn has_rights_of(role: pg_sys::Oid) -> Result<bool> {
    let rows = run("SELECT pg_has_role($1, 'USAGE')", &[Arg::new(role)])?;
    Ok(rows.boolean(0, 0) == Some(true))
}
