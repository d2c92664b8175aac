//! `rag.create_tool`, `rag.create_search_tool`, `rag.drop_tool`, `rag.call_tool` and `rag.tools`.

use crate::tools;
use crate::tools::Limits;
use crate::tools::{ListedTool, NewTool, Subject};
use pgrx::iter::TableIterator;
use pgrx::{default, extension_sql_file, name, pg_extern};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::identifier::RegProcedure;
use ragstone_pg::sqlstate::given;
use ragstone_pg::text::{Utf8, required};
use ragstone_pg::version;

#[pg_extern(volatile, parallel_unsafe)]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn create_tool(
    function: Option<RegProcedure>,
    name: default!(Option<Utf8>, "NULL"),
    description: default!(Option<Utf8>, "NULL"),
    timeout_ms: default!(Option<i32>, 5000),
    max_rows: default!(Option<i32>, 100),
    max_bytes: default!(Option<i32>, 65536),
    writes: default!(Option<bool>, false),
    requires_approval: default!(Option<bool>, false),
    replace: default!(Option<bool>, false),
) -> Utf8 {
    version::check();
    let timeout_ms = timeout_ms.unwrap_or(5000);
    let max_rows = max_rows.unwrap_or(100);
    let max_bytes = max_bytes.unwrap_or(65536);
    let writes = writes.unwrap_or(false);
    let requires_approval = requires_approval.unwrap_or(false);
    let replace = replace.unwrap_or(false);
    let function = or_raise(given(function, "function"));
    let tool = NewTool {
        subject: Subject::Function(function.0),
        name: name.map(|name| name.0),
        description: description.map(|description| description.0),
        limits: Limits { timeout_ms, max_rows, max_bytes, writes, requires_approval },
        replace,
    };
    Utf8(or_raise(tools::create(&tool)))
}

#[pg_extern(volatile, parallel_unsafe)]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn create_search_tool(
    collection: Option<Utf8>,
    name: default!(Option<Utf8>, "NULL"),
    description: default!(Option<Utf8>, "NULL"),
    k: default!(Option<i32>, 5),
    // The default is long because the first search loads the model.
    timeout_ms: default!(Option<i32>, 30000),
    max_bytes: default!(Option<i32>, 65536),
    requires_approval: default!(Option<bool>, false),
    replace: default!(Option<bool>, false),
) -> Utf8 {
    version::check();
    let k = k.unwrap_or(5);
    let timeout_ms = timeout_ms.unwrap_or(30000);
    let max_bytes = max_bytes.unwrap_or(65536);
    let requires_approval = requires_approval.unwrap_or(false);
    let replace = replace.unwrap_or(false);
    let max_rows = or_raise(crate::search::parse_k(k)) as i32;
    let tool = NewTool {
        subject: Subject::Collection(or_raise(required(collection, "collection"))),
        name: name.map(|name| name.0),
        description: description.map(|description| description.0),
        limits: Limits { timeout_ms, max_rows, max_bytes, writes: false, requires_approval },
        replace,
    };
    Utf8(or_raise(tools::create(&tool)))
}

#[pg_extern(volatile, parallel_unsafe)]
fn drop_tool(name: Option<Utf8>) {
    version::check();
    or_raise(required(name, "name").and_then(|name| tools::drop_tool(&name)));
}

#[pg_extern(volatile, parallel_unsafe, cost = 10000)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn call_tool(
    name: Option<Utf8>,
    arguments: default!(Option<Jsonb>, "'{}'"),
) -> TableIterator<
    'static,
    (
        name!(content, Utf8),
        name!(is_error, bool),
        name!(sqlstate, Option<Utf8>),
        name!(rows, i64),
        name!(truncated, bool),
    ),
> {
    version::check();
    let name = or_raise(required(name, "name"));
    let observation = or_raise(observe(name, arguments));
    TableIterator::once((
        Utf8(observation.content),
        observation.is_error,
        observation.sqlstate.map(Utf8),
        observation.rows as i64,
        observation.truncated,
    ))
}

fn observe(name: String, arguments: Option<Jsonb>) -> Result<tools::Observation> {
    let arguments = arguments.map_or_else(|| Ok(String::new()), |arguments| arguments.to_json())?;
    let mut found = tools::find(&[name])?;
    found.pop().ok_or_else(|| Error::internal("a tool was found and is not there"))?.call(&arguments)
}

#[pg_extern(stable, parallel_unsafe)]
#[allow(clippy::type_complexity, reason = "the columns of the view")]
fn _tools() -> TableIterator<
    'static,
    (
        name!(name, Utf8),
        name!(function, Option<Utf8>),
        name!(collection, Option<Utf8>),
        name!(description, Option<Utf8>),
        name!(schema, Option<Jsonb>),
        name!(timeout_ms, i32),
        name!(max_rows, i32),
        name!(max_bytes, i32),
        name!(writes, bool),
        name!(requires_approval, bool),
        name!(owner, Utf8),
        name!(usable, bool),
        name!(reason, Option<Utf8>),
    ),
> {
    version::check();
    let rows = or_raise(tools::list()).into_iter().map(|listed| {
        let ListedTool { name, owner, function, collection, limits, tool } = listed;
        let (tool, reason) = match tool {
            Ok(tool) => (Some(tool), None),
            Err(error) => (None, Some(error.message)),
        };
        let schema = tool.as_ref().map(|tool| or_raise(Jsonb::from_json(&tool.schema.to_string())));
        (
            Utf8(name),
            function.map(Utf8),
            collection.map(Utf8),
            tool.map(|tool| Utf8(tool.description)),
            schema,
            limits.timeout_ms,
            limits.max_rows,
            limits.max_bytes,
            limits.writes,
            limits.requires_approval,
            Utf8(owner),
            reason.is_none(),
            reason.map(Utf8),
        )
    });
    TableIterator::new(rows.collect::<Vec<_>>())
}

extension_sql_file!(
    "../../sql/tools.sql",
    name = "tools",
    requires = [create_tool, create_search_tool, drop_tool, call_tool, _tools, "collections"]
);
