//! Limits that end the run of an agent without an answer.

use crate::agents::{content, messages, run, with};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::Reply;
use ragstone_tests::session::Session;
use serde_json::json;
use tokio_postgres::Row;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_limit_ends_the_run_and_keeps_what_was_done,
        a_run_that_takes_too_long_ends,
        a_model_in_a_loop_is_stopped,
    ]
}

/// Runs the agent with other limits.
pub async fn limited(session: &Session, limits: &str) -> Result<Row> {
    let create = format!(
        "SELECT rag.create_agent('support', 'You help.', 'stub', ARRAY['find_order', 'note'], {limits}, replace => true)"
    );
    session.batch_execute(&create).await?;
    run(session).await
}

async fn a_limit_ends_the_run_and_keeps_what_was_done() -> Result<()> {
    let script = || (1..9).map(|n| Reply::calls(&[("note", &format!(r#"{{"body": "{n}"}}"#))]));
    let (session, provider) = with(script()).await?;
    let row = limited(&session, "max_steps => 3").await?;
    ensure!(row.get::<_, String>("status") == "failed" && row.get::<_, i32>("steps") == 3);
    ensure!(row.get::<_, Option<String>>("answer").is_none());
    ensure!(row.get::<_, String>("error") == "agent \"support\": the run has no answer after 3 steps");
    // The third call is not made, because its result would not be read.
    ensure!(session.value::<String>("SELECT string_agg(body, ',') FROM notes").await? == "1,2");
    let last: String = session.value("SELECT status || sqlstate FROM rag.runs").await?;
    ensure!(last == "failed54000", "{last}");
    provider.script((1..9).map(dear));
    let row = limited(&session, "token_budget => 700").await?;
    let error: String = row.get("error");
    ensure!(error.contains("tokens of a budget of 700"), "{error}");
    let (asked, requests) = (row.get::<_, i32>("steps") as usize, provider.requests());
    let most: Vec<_> = requests[3..].iter().map(|it| it.body["max_tokens"].as_u64().unwrap_or(0)).collect();
    ensure!(most.len() == asked && most.is_sorted_by(|a, b| a > b) && most[0] < 700, "{most:?}");
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.runs WHERE sqlstate = '53400'").await? == 1);
    Ok(())
}

/// A call that takes 100 input tokens and 10 output tokens.
fn dear(number: usize) -> Reply {
    let arguments = format!(r#"{{"body": "{number}"}}"#);
    let call =
        json!({ "id": "c", "type": "function", "function": { "name": "note", "arguments": arguments } });
    Reply::json(json!({
        "choices": [{ "index": 0, "message": { "role": "assistant", "tool_calls": [call] }, "finish_reason": "tool_calls" }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 },
    }))
}

async fn a_run_that_takes_too_long_ends() -> Result<()> {
    let (session, provider) = with([Reply::stall()]).await?;
    let row = limited(&session, "timeout_ms => 300").await?;
    ensure!(row.get::<_, String>("error").contains("after 300 ms"), "{row:?}");
    ensure!(provider.wait_until_abandoned(0));
    // A tool has no more time than the run.
    let sleep = "CREATE FUNCTION sleep() RETURNS text LANGUAGE sql AS 'SELECT ''x'' FROM pg_sleep(60)';
                 COMMENT ON FUNCTION sleep IS 'sleeps'; SELECT rag.create_tool('sleep()', timeout_ms => 60000);
                 SELECT rag.create_agent('sleepy', 'x', 'stub', ARRAY['sleep'], timeout_ms => 300)";
    session.batch_execute(sleep).await?;
    provider.script([Reply::calls(&[("sleep", "{}")])]);
    let row = session.query_one("SELECT * FROM rag.run_agent('sleepy', 'x')", &[]).await?;
    ensure!(row.get::<_, String>("error").contains("after 300 ms"), "{row:?}");
    Ok(())
}

async fn a_model_in_a_loop_is_stopped() -> Result<()> {
    let (session, provider) = with([Reply::calls(&[("find_order", r#"{"id": 2}"#)])]).await?;
    let row = run(&session).await?;
    ensure!(
        row.get::<_, String>("error")
            .contains("calls tool \"find_order\" with the same arguments repeatedly"),
        "{row:?}"
    );
    ensure!(row.get::<_, i32>("steps") == 5 && provider.requests().len() == 5);
    let told = messages(&provider, 4);
    ensure!(content(&told[told.len() - 1]).contains("status=\"refused\""), "{told:?}");
    Ok(())
}
