//! `rag.parse_log` and `rag.import_log`, for logs of other systems.

use crate::log_import;
use crate::log_import::{COLUMNS, ImportOptions, LogOptions, LogText, ParsedRows};
use pgrx::iter::TableIterator;
use pgrx::{default, extension_sql_file, name, pg_extern, pg_sys};
use ragstone_pg::bytes::{Bytes, JsonbRef, TextBytes};
use ragstone_pg::error::or_raise;
use ragstone_pg::function::{FunctionCall, sql_function};
use ragstone_pg::text::Utf8;
use ragstone_pg::tuplestore::Tuplestore;
use ragstone_pg::version;

sql_function!(pg_finfo_ragstone_parse_log, ragstone_parse_log, parse_log);
sql_function!(pg_finfo_ragstone_parse_log_bytes, ragstone_parse_log_bytes, parse_log_bytes);

/// `rag.parse_log(text, text, text, jsonb)`, which sql/parse_log.sql creates.
fn parse_log(call: FunctionCall<'_>) -> pg_sys::Datum {
    rows(call, |bytes| LogText::of_text(bytes))
}

/// `rag.parse_log(bytea, text, text, jsonb)`, which sql/parse_log.sql creates.
fn parse_log_bytes(call: FunctionCall<'_>) -> pg_sys::Datum {
    rows(call, |bytes| LogText::of_bytes(bytes))
}

fn rows(call: FunctionCall<'_>, content: fn(&[u8]) -> LogText<'_>) -> pg_sys::Datum {
    version::check();
    let store: Tuplestore<COLUMNS> = or_raise(call.tuplestore());
    let bytes = call.bytes(0);
    let (format, timezone) = (call.argument::<Utf8>(1), call.argument::<Utf8>(2));
    let options = or_raise(LogOptions::read(format, timezone, call.jsonb(3)));
    if let Some(bytes) = bytes {
        let mut table = ParsedRows::new(store);
        log_import::parse(&content(bytes), &options, |row| table.add(row));
    }
    pg_sys::Datum::null()
}

type Runs = TableIterator<
    'static,
    (
        name!(run_id, i64),
        name!(run, Option<Utf8>),
        name!(run_agent, Utf8),
        name!(steps, i32),
        name!(unknown, i32),
    ),
>;

#[pg_extern(volatile, parallel_unsafe, cost = 10000)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn import_log<'a>(
    content: Option<TextBytes<'a>>,
    format: default!(Option<Utf8>, "'auto'"),
    agent: default!(Option<Utf8>, "NULL"),
    attributes: default!(Option<JsonbRef<'a>>, "NULL"),
    timezone: default!(Option<Utf8>, "NULL"),
    fields: default!(Option<JsonbRef<'a>>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(run_id, i64),
        name!(run, Option<Utf8>),
        name!(run_agent, Utf8),
        name!(steps, i32),
        name!(unknown, i32),
    ),
> {
    version::check();
    let log = or_raise(LogOptions::read(format, timezone, fields));
    imported(content.map(|content| LogText::of_text(content.0)), log, agent, attributes)
}

#[pg_extern(volatile, parallel_unsafe, cost = 10000, name = "import_log")]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn import_log_bytes<'a>(
    content: Option<Bytes<'a>>,
    format: default!(Option<Utf8>, "'auto'"),
    agent: default!(Option<Utf8>, "NULL"),
    attributes: default!(Option<JsonbRef<'a>>, "NULL"),
    timezone: default!(Option<Utf8>, "NULL"),
    fields: default!(Option<JsonbRef<'a>>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(run_id, i64),
        name!(run, Option<Utf8>),
        name!(run_agent, Utf8),
        name!(steps, i32),
        name!(unknown, i32),
    ),
> {
    version::check();
    let log = or_raise(LogOptions::read(format, timezone, fields));
    imported(content.map(|content| LogText::of_bytes(content.0)), log, agent, attributes)
}

fn imported(
    content: Option<LogText<'_>>,
    log: LogOptions,
    agent: Option<Utf8>,
    attributes: Option<JsonbRef<'_>>,
) -> Runs {
    let how = ImportOptions { log, agent: agent.map(|agent| agent.0), attributes };
    let made = content.map_or_else(Vec::new, |content| or_raise(log_import::import(&content, &how)));
    TableIterator::new(
        made.into_iter().map(|run| (run.run_id, run.run.map(Utf8), Utf8(run.agent), run.steps, run.unknown)),
    )
}

extension_sql_file!(
    "../../sql/parse_log.sql",
    name = "parse_log",
    requires = ["runs", import_log, import_log_bytes]
);
