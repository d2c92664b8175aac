//! Checks rows of `rag.budgets`: a budget of a name that nobody has would limit nothing, and nobody would notice.

use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::{Arg, connect, select};
use ragstone_pg::trigger::TriggerCall;

/// Whether role and provider exist, and whether bodies of functions are checked. A restore turns that off: its roles may come later.
const QUERY: &str = "
    SELECT $1::name IS NULL OR EXISTS (SELECT FROM pg_roles WHERE rolname = $1::name),
           $2::name IS NULL OR EXISTS (SELECT FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
                                       WHERE s.srvname = $2::name AND w.fdwname = 'rag'),
           current_setting('check_function_bodies')::boolean";

/// Checks the row that is inserted or updated.
///
/// # Errors
/// 42704 if there is no such role or provider.
pub fn check_budget(trigger: TriggerCall) -> Result<()> {
    let text = |column: &str| trigger.new_row()?.text(trigger.column(column)?);
    let (role, server) = (text("role"), text("server"));
    let arguments = [Arg::optional_text(role.as_deref()), Arg::optional_text(server.as_deref())];
    let (has_role, has_server) = with_safe_search_path(|| connect(|| look_up(&arguments)))?;
    if let Some(role) = role.filter(|_| !has_role) {
        return Err(Error::undefined(format!("role \"{role}\" does not exist")).hint(
            "A budget is of a role by its name in pg_roles, or of all roles together if role is NULL.",
        ));
    }
    if let Some(server) = server.filter(|_| !has_server) {
        return Err(Error::undefined(format!("provider \"{server}\" does not exist"))
            .hint("See rag.providers, or leave server NULL for all providers together."));
    }
    Ok(())
}

/// Whether role and provider exist, or need not.
fn look_up(arguments: &[Arg]) -> Result<(bool, bool)> {
    let rows = select(QUERY, arguments)?;
    let is_dump = rows.boolean(0, 2) == Some(false);
    Ok((is_dump || rows.boolean(0, 0) == Some(true), is_dump || rows.boolean(0, 1) == Some(true)))
}
