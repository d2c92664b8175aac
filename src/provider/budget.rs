//! Checks rows of `rag.budgets`: a budget for a role or provider that does not exist would limit nothing,
//! unnoticed. A budget belongs to a role, not to a role's name: it is stored under the role's owner name,
//! which `sql/owners.sql` describes.

use pgrx::pg_sys;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::owner::Owner;
use ragstone_pg::spi::{Arg, connect, select};
use ragstone_pg::trigger::{Event, TriggerCall};

/// Selects whether the provider exists, and whether `check_function_bodies` is on. A restore turns it off:
/// its roles may be created later, and its budgets already have the right owner names.
const QUERY: &str = "
    SELECT $1::name IS NULL OR EXISTS (SELECT FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
                                       WHERE s.srvname = $1::name AND w.fdwname = 'rag'),
           current_setting('check_function_bodies')::boolean";

/// Checks the row that is inserted or updated, and returns it with its role replaced by the role's
/// owner name.
///
/// # Errors
/// 42704 if there is no such role or provider.
pub fn check_budget(trigger: TriggerCall) -> Result<pg_sys::Datum> {
    let column = |name: &str| trigger.column(name);
    let text = |name: &str| trigger.new_row()?.text(column(name)?);
    let server = text("server");
    let arguments = [Arg::optional_text(server.as_deref())];
    let (has_server, is_dump) = with_safe_search_path(|| {
        connect(|| {
            let rows = select(QUERY, &arguments)?;
            Ok::<_, Error>((rows.boolean(0, 0) == Some(true), rows.boolean(0, 1) == Some(false)))
        })
    })?;
    if is_dump {
        return Ok(trigger.unchanged());
    }
    if let Some(server) = server.filter(|_| !has_server) {
        return Err(Error::undefined(format!("provider \"{server}\" does not exist"))
            .hint("See rag.providers, or leave server NULL for all providers together."));
    }
    let (Some(place), Some(role)) = (column("role"), text("role")) else { return Ok(trigger.unchanged()) };
    if trigger.event() == Event::Update
        && trigger.old_row().and_then(|row| row.text(place)).as_ref() == Some(&role)
    {
        return Ok(trigger.unchanged());
    }
    let owner = with_safe_search_path(|| Owner::of_name(&role))?.ok_or_else(|| {
        Error::undefined(format!("role \"{role}\" does not exist"))
            .hint("A budget is of a role by its name in pg_roles, or of all roles together if role is NULL.")
    })?;
    Ok(trigger.with_name(place, owner.name()))
}
