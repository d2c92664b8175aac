//! Calls of providers and budgets: tables, views, and the trigger that checks a budget's definition.

use crate::provider::check_budget;
use pgrx::{extension_sql_file, pg_sys};
use ragstone_pg::error::{Error, or_raise};
use ragstone_pg::function::{FunctionCall, sql_function};

sql_function!(pg_finfo_ragstone_check_budget, ragstone_check_budget, check);

/// The trigger function `rag._check_budget`, which sql/accounting.sql creates.
fn check(call: FunctionCall<'_>) -> pg_sys::Datum {
    let Some(trigger) = call.trigger() else {
        return or_raise(Err(Error::trigger_protocol_violated(
            "rag._check_budget was not called as a trigger",
        )));
    };
    or_raise(check_budget(trigger))
}

extension_sql_file!("../../sql/accounting.sql", name = "accounting", requires = ["providers", "owners"]);
