//! Handles a source that gets another owner. Triggers, checks and index expressions that its former owner has
//! attached to the tables would then run with the new owner's rights. Therefore the collection works for its
//! former owner until the new owner accepts it by a refresh.

use crate::collections::catalog::collection::{Collection, TableUse};
use crate::collections::catalog::relation::Relation;
use crate::collections::catalog::tables::is_marked;
use pgrx::pg_sys;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::relation::lock_exclusively;
use ragstone_pg::spi::{Arg, run, run_once};
use ragstone_pg::switch_user::as_owner;

/// Gives a collection's tables to the source's owner, for whom the collection works from now on. Does nothing
/// if that is the case already.
///
/// # Errors
/// 42501 if something that could run with the new owner's rights is attached to one of the tables, or if a
/// table was not created for the collection.
pub fn accept_owner(collection: &mut Collection) -> Result<()> {
    let owner = collection.source_of_any_owner()?.owner;
    if collection.accepted_owner == Some(owner) {
        return Ok(());
    }
    // With this lock nothing can be attached between the check and the change.
    for relation in [&collection.chunks, &collection.terms].into_iter().flatten() {
        lock_exclusively(relation.oid);
    }
    collection.lock_tables(TableUse::Writing)?;
    let name = collection.name.clone();
    for relation in [&collection.chunks, &collection.terms].into_iter().flatten() {
        if relation.owner != owner && !is_marked(collection, relation)? {
            return Err(not_marked(relation, &name));
        }
    }
    for relation in [&mut collection.chunks, &mut collection.terms].into_iter().flatten() {
        check_no_attachments(relation, &name)?;
        if relation.owner != owner {
            change_owner(relation, owner)?;
            relation.owner = owner;
        }
    }
    collection.accepted_owner = Some(owner);
    let arguments = [Arg::new(collection.id), Arg::new(owner)];
    as_owner(config_owner()?, || {
        run("UPDATE rag._source SET owner = $2 WHERE collection = $1", &arguments).map(|_| ())
    })
}

fn not_marked(relation: &Relation, collection: &str) -> Error {
    Error::forbidden(format!("table {} cannot follow its source to another owner", relation.name))
        .detail("It has no mark that shows that it was created for the collection.")
        .hint(format!("Drop the collection with rag.drop_collection('{collection}') and create it again."))
}

fn check_no_attachments(relation: &Relation, collection: &str) -> Result<()> {
    let rows = run(include_str!("../../../sql/queries/attachments.sql"), &[Arg::new(relation.oid)])?;
    let Some(attached) = rows.text(0, 0) else { return Ok(()) };
    Err(Error::forbidden(format!("table {} cannot follow its source to another owner", relation.name))
        .detail(format!("Its former owner added a {attached} to it."))
        .hint(format!("Drop the collection with rag.drop_collection('{collection}') and create it again.")))
}

/// Gives a table to another owner, as a superuser: only a superuser may give a table to any role. The command
/// runs no user code.
fn change_owner(relation: &Relation, owner: pg_sys::Oid) -> Result<()> {
    let role = run("SELECT quote_ident(pg_get_userbyid($1))", &[Arg::new(owner)])?;
    let role = role.text(0, 0).ok_or_else(|| Error::internal("the owner has no name"))?;
    let statement = format!("ALTER TABLE {} OWNER TO {role}", relation.name);
    as_owner(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), || run_once(&statement))?;
    Ok(())
}
