//! The role to which a call is charged, and its budgets.

use pgrx::pg_sys;
use ragstone_client::settings;
use ragstone_core::provider::{Account, Budget, Spent};
use ragstone_pg::error::Result;
use ragstone_pg::rows::Rows;
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, select, with_latest_snapshot};
use ragstone_pg::switch_user::as_owner;

/// The current role's account with a server. Reads only, so it works on a standby and in a read-only transaction.
pub fn account(server: &str, function: &'static str) -> Result<Account> {
    let role = session::current_role();
    let superuser = pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID);
    let budgets = connect(|| as_owner(superuser, || budgets(role, server)))?;
    Ok(Account {
        role: role.to_u32(),
        function: function.to_owned(),
        keep_text: settings::log_prompts(),
        budgets,
    })
}

/// The latest committed budgets that apply, whatever the transaction's snapshot shows. The engine adds the
/// amounts spent since.
fn budgets(role: pg_sys::Oid, server: &str) -> Result<Vec<Budget>> {
    let query = include_str!("../../sql/queries/budgets.sql");
    let rows = with_latest_snapshot(|| select(query, &[Arg::new(role), Arg::text(server)]))?;
    Ok((0..rows.count).filter_map(|row| budget(&rows, row)).collect())
}

fn budget(rows: &Rows, row: usize) -> Option<Budget> {
    let count = |column| rows.int8(row, column).and_then(|value| u64::try_from(value).ok());
    Some(Budget {
        id: rows.int8(row, 0)?,
        label: rows.text(row, 1)?,
        period_start: rows.int8(row, 2)?,
        period_end: rows.int8(row, 3)?,
        recorded: Spent {
            cost: rows.float8(row, 4)?,
            tokens: count(5).unwrap_or(0),
            calls: count(6).unwrap_or(0),
        },
        max_cost: rows.float8(row, 7),
        max_tokens: count(8),
        max_calls: count(9),
    })
}
