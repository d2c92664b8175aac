//! `rag.submit`, `rag.job_pieces`, `rag.job_result`, `rag.wait_for_job`, `rag.cancel_job`.

use crate::api::job_arguments::check_job_arguments;
use crate::api::sync::duration;
use crate::jobs;
use pgrx::datum::Interval;
use pgrx::iter::TableIterator;
use pgrx::{default, extension_sql_file, name, pg_extern, pg_sys};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::function::{FunctionCall, sql_function};
use ragstone_pg::sqlstate::given;
use ragstone_pg::text::Utf8;
use ragstone_pg::version;
use std::time::Duration;

#[pg_extern(volatile, parallel_unsafe)]
fn submit(
    kind: Option<Utf8>,
    args: Option<Jsonb>,
    idempotency_key: default!(Option<Utf8>, "NULL"),
    timeout_ms: default!(Option<i32>, "NULL"),
) -> i64 {
    version::check();
    let kind = or_raise(given(kind, "kind"));
    let args = or_raise(given(args, "args"));
    let key = idempotency_key.as_ref().map(|key| key.0.as_str());
    let check = || check_job_arguments(&kind.0, &args);
    or_raise(jobs::submit(&kind.0, &args, key, timeout_ms, check))
}

#[pg_extern(volatile, parallel_unsafe)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn job_pieces(
    id: Option<i64>,
    after: default!(Option<i32>, 0),
    timeout_ms: default!(Option<i32>, 1000),
) -> TableIterator<'static, (name!(seq, Option<i32>), name!(piece, Option<Utf8>), name!(status, Utf8))> {
    version::check();
    let after = after.unwrap_or(0);
    let timeout_ms = timeout_ms.unwrap_or(1000);
    let id = or_raise(given(id, "id"));
    let after = or_raise(natural(after, "after"));
    let wait = Duration::from_millis(or_raise(natural(timeout_ms, "timeout_ms")).into());
    let pieces = or_raise(jobs::pieces(id, after, wait));
    TableIterator::new(pieces.into_iter().map(|row| (row.seq, row.piece.map(Utf8), Utf8(row.status))))
}

#[pg_extern(volatile, parallel_unsafe)]
fn job_result(id: Option<i64>) -> Option<Jsonb> {
    version::check();
    or_raise(jobs::result(or_raise(given(id, "id"))))
}

#[pg_extern(volatile, parallel_unsafe)]
fn cancel_job(id: Option<i64>) -> bool {
    version::check();
    or_raise(jobs::cancel(or_raise(given(id, "id"))))
}

/// The reason why a queued job of a role waits, for the view `rag.jobs`.
#[pg_extern(stable, parallel_restricted)]
fn _job_waits_for(submitter: pg_sys::Oid) -> Option<Utf8> {
    jobs::waits_for(submitter.to_u32()).map(Utf8::from)
}

sql_function!(pg_finfo_ragstone_wait_for_job, ragstone_wait_for_job, wait_for_job);

/// The procedure `rag.wait_for_job`, which sql/jobs.sql creates.
fn wait_for_job(call: FunctionCall<'_>) -> pg_sys::Datum {
    version::check();
    or_raise(call.check_may_commit("rag.wait_for_job"));
    let timeout = call.argument::<Interval>(1).map(|timeout| or_raise(duration(&timeout)));
    or_raise(jobs::wait(or_raise(given(call.argument::<i64>(0), "id")), timeout));
    pg_sys::Datum::null()
}

fn natural(value: i32, name: &str) -> Result<u32> {
    u32::try_from(value)
        .map_err(|_| Error::bad_argument(format!("{name} must not be negative, but is {value}")))
}

extension_sql_file!(
    "../../sql/jobs.sql",
    name = "jobs",
    requires = ["sync", submit, job_pieces, job_result, cancel_job, _job_waits_for]
);
