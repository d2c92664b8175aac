//! `rag.create_agent`, `rag.drop_agent`, `rag.run_agent`, `rag.approve`, `rag.reject` and `rag.resume_run`.

use crate::agents;
use crate::agents::RunRequest;
use crate::agents::{NewAgent, RunResult};
use pgrx::iter::TableIterator;
use pgrx::{default, extension_sql_file, name, pg_extern};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::or_raise;
use ragstone_pg::sqlstate::given;
use ragstone_pg::text::{Utf8, required};
use ragstone_pg::version;

#[pg_extern(volatile, parallel_unsafe)]
#[allow(clippy::too_many_arguments, reason = "arguments of the SQL function")]
fn create_agent(
    name: Option<Utf8>,
    instructions: Option<Utf8>,
    model: default!(Option<Utf8>, "NULL"),
    tools: default!(Option<Vec<Option<Utf8>>>, "'{}'"),
    max_steps: default!(Option<i32>, 10),
    token_budget: default!(Option<i64>, "NULL"),
    timeout_ms: default!(Option<i32>, "300000"),
    output_schema: default!(Option<Jsonb>, "NULL"),
    temperature: default!(Option<f64>, "NULL"),
    replace: default!(Option<bool>, "false"),
) {
    version::check();
    let max_steps = max_steps.unwrap_or(10);
    let replace = replace.unwrap_or(false);
    let agent = NewAgent {
        name: or_raise(required(name, "name")),
        instructions: or_raise(required(instructions, "instructions")),
        model: model.map(|model| model.0),
        tools: tools.into_iter().flatten().flatten().map(|tool| tool.0).collect(),
        max_steps,
        token_budget,
        timeout_ms: Some(timeout_ms.unwrap_or(300_000)),
        output_schema,
        temperature,
        replace,
    };
    or_raise(agents::create(&agent));
}

#[pg_extern(volatile, parallel_unsafe)]
fn drop_agent(name: Option<Utf8>) {
    version::check();
    or_raise(required(name, "name").and_then(|name| agents::drop_agent(&name)));
}

#[pg_extern(volatile, parallel_unsafe, cost = 1000000)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn run_agent(
    agent: Option<Utf8>,
    input: Option<Utf8>,
    session: default!(Option<i64>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(run_id, i64),
        name!(answer, Option<Utf8>),
        name!(status, Utf8),
        name!(steps, i32),
        name!(input_tokens, i64),
        name!(output_tokens, i64),
        name!(cost, f64),
        name!(error, Option<Utf8>),
    ),
> {
    version::check();
    let request = RunRequest {
        agent: or_raise(required(agent, "agent")),
        input: or_raise(required(input, "input")),
        session,
    };
    let RunResult { run, answer, status, spent, error } = or_raise(agents::run_agent(&request));
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    TableIterator::once((
        run,
        answer.map(Utf8),
        Utf8::from(status),
        i32::try_from(spent.steps).unwrap_or(i32::MAX),
        count(spent.input_tokens),
        count(spent.output_tokens),
        spent.cost,
        error.map(|error| Utf8(error.message)),
    ))
}

#[pg_extern(volatile, parallel_unsafe)]
fn approve(step: Option<i64>, comment: default!(Option<Utf8>, "NULL")) -> Option<i64> {
    version::check();
    or_raise(given(step, "step").and_then(|step| agents::approve(step, comment.map(|comment| comment.0))))
}

#[pg_extern(volatile, parallel_unsafe)]
fn reject(step: Option<i64>, reason: Option<Utf8>) -> Option<i64> {
    version::check();
    let reason = or_raise(required(reason, "reason"));
    or_raise(given(step, "step").and_then(|step| agents::reject(step, reason)))
}

#[pg_extern(volatile, parallel_unsafe)]
fn resume_run(run: Option<i64>) -> i64 {
    version::check();
    or_raise(given(run, "run").and_then(agents::resume))
}

extension_sql_file!(
    "../../sql/agents.sql",
    name = "agents",
    requires = [create_agent, drop_agent, run_agent, approve, reject, resume_run, "jobs", "runs", "owners"]
);
