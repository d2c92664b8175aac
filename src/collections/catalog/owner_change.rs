//! When the source gets another owner, so do the collection's tables, unless the old owner has added triggers, checks
//! or similar objects to them: those would then run with the new owner's rights.

use crate::collections::catalog::collection::{Collection, Relation};
use pgrx::pg_sys;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{Arg, run, run_once};
use ragstone_pg::switch_user::as_owner;

/// Gives a collection's tables to the source's owner, unless that role owns them already.
pub fn follow_owner(collection: &mut Collection) -> Result<()> {
    let (owner, name) = (collection.source()?.owner, collection.name.clone());
    for relation in [&mut collection.chunks, &mut collection.terms].into_iter().flatten() {
        if relation.owner != owner {
            check_no_attachments(relation, &name)?;
            change_owner(relation, owner)?;
            relation.owner = owner;
        }
    }
    Ok(())
}

fn check_no_attachments(relation: &Relation, collection: &str) -> Result<()> {
    let rows = run(include_str!("../../../sql/queries/attachments.sql"), &[Arg::new(relation.oid)])?;
    let Some(attached) = rows.text(0, 0) else { return Ok(()) };
    Err(Error::forbidden(format!("table {} cannot follow its source to another owner", relation.name))
        .detail(format!("it has a {attached} that its old owner made"))
        .hint(format!("Drop the collection with rag.drop_collection('{collection}') and create it again.")))
}

/// Only a superuser may give a table to any role. The command runs no user code.
fn change_owner(relation: &Relation, owner: pg_sys::Oid) -> Result<()> {
    let role = run("SELECT quote_ident(pg_get_userbyid($1))", &[Arg::new(owner)])?;
    let role = role.text(0, 0).ok_or_else(|| Error::internal("the owner has no name"))?;
    let statement = format!("ALTER TABLE {} OWNER TO {role}", relation.name);
    as_owner(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), || run_once(&statement))?;
    Ok(())
}
