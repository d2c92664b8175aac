//! Writes and deletes rows of the table of calls.

use pgrx::datum::IntoDatum;
use pgrx::pg_sys;
use ragstone_client::settings;
use ragstone_core::failure::FailureKind;
use ragstone_core::provider::{Call, Status};
use ragstone_pg::error::Result;
use ragstone_pg::extension::is_installed;
use ragstone_pg::limited_transaction::{Limits, in_limited_transaction};
use ragstone_pg::own_tables::config_owner;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::sqlstate::code_of;
use ragstone_pg::switch_user::as_owner;
use ragstone_pg::text::{replace_unencodable, utf8_datum};

/// Maximum number of old calls that one transaction deletes.
const PRUNE_BATCH: i64 = 1000;

/// Writes the calls that are not in the table yet, in a transaction of its own. A call that cannot be written
/// with its prompt and reply is written without them.
///
/// # Errors
/// The first error that prevents a call from being written. Some of the calls may have been written by then.
pub fn write(calls: &[Call]) -> Result<()> {
    if write_all(calls).is_ok() {
        return Ok(());
    }
    for call in calls {
        if write_all(std::slice::from_ref(call)).is_err() {
            write_all(&[Call { prompt: None, reply: None, ..call.clone() }])?;
        }
    }
    Ok(())
}

/// Deletes a batch of the calls that are older than `rag.calls_retention`. Returns true if there may be more.
pub fn prune() -> Result<bool> {
    let days = settings::calls_retention();
    if days == 0 {
        return Ok(false);
    }
    let query = include_str!("../../sql/queries/prune_calls.sql");
    let deleted =
        as_call_log_owner(|| run(query, &[Arg::new(days), Arg::new(PRUNE_BATCH)]).map(|rows| rows.count))?;
    Ok(deleted as i64 == PRUNE_BATCH)
}

fn write_all(calls: &[Call]) -> Result<()> {
    as_call_log_owner(|| run(include_str!("../../sql/queries/record.sql"), &arguments(calls)).map(|_| 0))?;
    Ok(())
}

/// Runs `work` as the owner of the table in a transaction of its own. Returns 0 without running it if the
/// extension has been dropped: the coordinator then exits, and the calls are discarded.
fn as_call_log_owner(work: impl FnOnce() -> Result<usize>) -> Result<usize> {
    in_limited_transaction(Limits::Locks, || {
        connect(|| if is_installed()? { as_owner(config_owner()?, work) } else { Ok(0) })
    })
}

fn arguments(calls: &[Call]) -> [Arg; 16] {
    let int8s = |value: fn(&Call) -> u64| Arg::int8s(calls.iter().map(|call| value(call).cast_signed()));
    let float8s = |value: fn(&Call) -> f64| array(pg_sys::FLOAT8OID, calls, |call| value(call).into_datum());
    let texts = |value: fn(&Call) -> &str| Arg::texts(calls.iter().map(value));
    let optional =
        |value: fn(&Call) -> Option<&str>| array(pg_sys::TEXTOID, calls, |call| value(call).map(text_datum));
    [
        int8s(|call| call.number),
        Arg::int8s(calls.iter().map(|call| call.began_us)),
        array(pg_sys::OIDOID, calls, |call| pg_sys::Oid::from(call.role).into_datum()),
        texts(|call| &call.function),
        texts(|call| &call.server),
        texts(|call| &call.model),
        int8s(|call| call.usage.input_tokens),
        int8s(|call| call.usage.output_tokens),
        float8s(|call| call.usage.cost),
        float8s(|call| call.usage.latency_ms),
        texts(|call| status(&call.status)),
        array(pg_sys::TEXTOID, calls, |call| code(&call.status).map(|code| utf8_datum(&code))),
        int8s(|call| u64::from(call.retries)),
        optional(|call| call.prompt.as_deref()),
        optional(|call| call.reply.as_deref()),
        array(pg_sys::BOOLOID, calls, |call| is_counted(&call.status).into_datum()),
    ]
}

/// A text as a datum. The text of a model may contain characters that the database's encoding lacks; these
/// are replaced.
fn text_datum(text: &str) -> pg_sys::Datum {
    utf8_datum(&replace_unencodable(text.to_owned()))
}

fn array(element: pg_sys::Oid, calls: &[Call], value: impl Fn(&Call) -> Option<pg_sys::Datum>) -> Arg {
    Arg::array(element, calls.iter().map(value).collect())
}

fn status(status: &Status) -> &'static str {
    match status {
        Status::Answered => "answered",
        Status::Cancelled => "cancelled",
        Status::Failed(_) => "failed",
    }
}

fn code(status: &Status) -> Option<String> {
    match status {
        Status::Answered | Status::Cancelled => None,
        Status::Failed(kind) => Some(code_of(*kind)),
    }
}

/// True if the call counts against budgets. A call that a budget has refused does not.
fn is_counted(status: &Status) -> bool {
    !matches!(status, Status::Failed(FailureKind::BudgetSpent(_)))
}
