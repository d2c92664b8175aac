//! Agents that run in their caller's transaction.

use crate::agent_limits::limited;
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::prose::sql_blocks;
use ragstone_tests::provider::{Provider, Reply};
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_postgres::Row;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        tools_are_called_until_there_is_an_answer,
        a_tools_error_is_told_and_undoes_that_tool_alone,
        what_cannot_be_called_is_told,
        an_answer_meets_the_schema,
        a_session_is_the_memory_of_its_runs,
        what_a_provider_refuses_undoes_the_run,
        an_autonomous_log_outlives_the_run,
        the_sessions_own_run_stays_current,
        what_a_tool_searches_is_a_part_of_its_step,
        the_guide_runs_with_a_provider,
    ]
}

/// Tools that read and tools that write.
pub const TOOLS: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, status text);
    INSERT INTO orders VALUES (1, 'shipped'), (2, 'lost');
    CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY, body text);
    CREATE FUNCTION find_order(id int) RETURNS text STABLE LANGUAGE sql
      AS 'SELECT o.status FROM orders o WHERE o.id = find_order.id';
    COMMENT ON FUNCTION find_order IS 'where an order is';
    CREATE FUNCTION note(body text) RETURNS text LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO notes (body) VALUES (note.body);
        IF note.body = 'bad' THEN RAISE 'bad notes are refused'; END IF;
        RETURN 'noted';
      END $$;
    COMMENT ON FUNCTION note IS 'writes something down';
    SELECT rag.create_tool('find_order(int)'), rag.create_tool('note(text)', writes => true);";

const CREATE: &str =
    "SELECT rag.create_agent('support', 'You help customers.', 'stub', ARRAY['find_order', 'note'])";

pub async fn with(script: impl IntoIterator<Item = Reply>) -> Result<(Session, Provider)> {
    let session = shared().await?.session().await?;
    let provider = Provider::start(script)?;
    let create = "SELECT rag.create_provider('stub', kind => 'compatible', base_url => $1, model => 'big', options => '{\"retries\": 0}')";
    session.execute(create, &[&provider.url()]).await?;
    session.batch_execute(TOOLS).await?;
    session.batch_execute(CREATE).await?;
    Ok((session, provider))
}

pub async fn run(session: &Session) -> Result<Row> {
    session
        .query_one("SELECT * FROM rag.run_agent('support', 'Where is my order?')", &[])
        .await
        .context("run")
}

pub fn messages(provider: &Provider, request: usize) -> Vec<Value> {
    provider.requests()[request].body["messages"].as_array().cloned().unwrap_or_default()
}

pub fn content(message: &Value) -> &str {
    message["content"].as_str().unwrap_or_default()
}

async fn steps(session: &Session) -> Result<Vec<String>> {
    session.value("SELECT array_agg(concat_ws(' ', kind, name, status) ORDER BY number) FROM rag.steps").await
}

async fn tools_are_called_until_there_is_an_answer() -> Result<()> {
    let calls = [("find_order", r#"{"id": 1}"#), ("note", r#"{"body": "asked"}"#)];
    let (session, provider) = with([Reply::calls(&calls), Reply::chat("It is on its way.")]).await?;
    let row = run(&session).await?;
    ensure!(
        row.get::<_, String>("answer") == "It is on its way." && row.get::<_, String>("status") == "done"
    );
    ensure!(row.get::<_, i32>("steps") == 2 && row.get::<_, i64>("input_tokens") == 14);
    ensure!(row.get::<_, i64>("output_tokens") == 6 && row.get::<_, Option<String>>("error").is_none());
    let first = provider.requests()[0].body.clone();
    let names: Vec<_> =
        first["tools"].as_array().context("tools")?.iter().map(|it| &it["function"]["name"]).collect();
    ensure!(names == ["find_order", "note"], "{names:?}");
    let system = content(&first["messages"][0]).to_owned();
    ensure!(system.starts_with("You help customers.") && system.contains("<tool_result>"), "{system}");
    let second = messages(&provider, 1);
    ensure!(second[1] == json!({ "role": "user", "content": "Where is my order?" }));
    ensure!(second[2]["tool_calls"][0]["function"]["name"] == "find_order");
    ensure!(second[3]["tool_call_id"] == "call_1" && content(&second[3]).contains("shipped"), "{second:?}");
    ensure!(second[4]["tool_call_id"] == "call_2" && content(&second[4]).contains("noted"), "{second:?}");
    ensure!(session.value::<String>("SELECT string_agg(body, ',') FROM notes").await? == "asked");

    let logged =
        ["message user ok", "model stub/big ok", "tool find_order ok", "tool note ok", "model stub/big ok"];
    ensure!(steps(&session).await? == logged, "{:?}", steps(&session).await?);
    let step = session.query_one("SELECT * FROM rag.steps WHERE name = 'find_order'", &[]).await?;
    ensure!(
        step.get::<_, Value>("input") == json!({ "id": 1 })
            && step.get::<_, Value>("output") == json!("shipped")
    );
    let of_model = "SELECT parent_id = (SELECT min(id) FROM rag.steps WHERE kind = 'model') FROM rag.steps WHERE name = 'note'";
    ensure!(session.value::<bool>(of_model).await?);
    let run: String =
        session.value("SELECT concat_ws(' ', agent, status, output #>> '{}') FROM rag.runs").await?;
    ensure!(run == "support done It is on its way.", "{run}");
    Ok(())
}

async fn a_tools_error_is_told_and_undoes_that_tool_alone() -> Result<()> {
    let script = [
        Reply::calls(&[("note", r#"{"body": "good"}"#), ("note", r#"{"body": "bad"}"#)]),
        Reply::chat("Half of it."),
    ];
    let (session, provider) = with(script).await?;
    ensure!(run(&session).await?.get::<_, String>("answer") == "Half of it.");
    ensure!(session.value::<String>("SELECT string_agg(body, ',') FROM notes").await? == "good");
    let told = messages(&provider, 1)[4].clone();
    ensure!(content(&told).starts_with("<tool_result status=\"error\">"), "{told}");
    ensure!(content(&told).contains("bad notes are refused"), "{told}");
    let row = session.query_one("SELECT sqlstate, error FROM rag.steps WHERE status = 'error'", &[]).await?;
    ensure!(row.get::<_, String>(0) == "P0001" && row.get::<_, String>(1).contains("bad notes"), "{row:?}");
    Ok(())
}

async fn what_cannot_be_called_is_told() -> Result<()> {
    let script = [
        Reply::calls(&[
            ("drop_orders", "{}"),
            ("find_order", r#"{"id": "#),
            ("find_order", r#"{"id": "one"}"#),
        ]),
        Reply::chat("I give up."),
    ];
    let (session, provider) = with(script).await?;
    ensure!(run(&session).await?.get::<_, String>("status") == "done");
    let told = messages(&provider, 1);
    ensure!(content(&told[3]).contains("The tools are find_order, note."), "{}", told[3]);
    ensure!(content(&told[4]).contains("line 1 column 7"), "{}", told[4]);
    ensure!(
        content(&told[5]).contains("status=\"error\"") && content(&told[5]).contains("id"),
        "{}",
        told[5]
    );
    // The model's own arguments are sent back to it as JSON, which some providers parse.
    ensure!(told[2]["tool_calls"][1]["function"]["arguments"] == r#"{"broken":"{\"id\": "}"#, "{}", told[2]);
    Ok(())
}

async fn an_answer_meets_the_schema() -> Result<()> {
    let (session, provider) = with([Reply::chat("```json\n{\"lost\": true}\n```")]).await?;
    let schema = "output_schema => '{\"type\": \"object\", \"properties\": {\"lost\": {\"type\": \"boolean\"}}, \"required\": [\"lost\"]}'";
    let row = limited(&session, schema).await?;
    ensure!(row.get::<_, String>("answer") == "{\"lost\": true}" && provider.requests().len() == 1);
    ensure!(content(&messages(&provider, 0)[0]).contains("JSON Schema"));
    // The model is asked once more, with the schema and without tools.
    provider.script([
        Reply::calls(&[("find_order", r#"{"id": 2}"#)]),
        Reply::chat("It is lost."),
        Reply::chat("{\"lost\": true}"),
    ]);
    let row = limited(&session, schema).await?;
    ensure!(row.get::<_, String>("answer") == "{\"lost\": true}" && row.get::<_, i32>("steps") == 3);
    let last = provider.requests()[3].body.clone();
    ensure!(last["response_format"]["type"] == "json_schema" && last.get("tools").is_none(), "{last}");
    ensure!(content(&last["messages"][5]).contains("as JSON"), "{last}");
    provider.script([Reply::chat("It is lost.")]);
    session.refusal("SELECT * FROM rag.run_agent('support', 'Where is my order?')").await?.expect(
        "08P01",
        "does not meet the schema",
        "simplify the schema",
    )?;
    session
        .refusal("SELECT rag.create_agent('bad', 'x', output_schema => '{\"type\": \"nonsense\"}')")
        .await?
        .expect("22023", "expected a JSON Schema", "")
}

async fn a_session_is_the_memory_of_its_runs() -> Result<()> {
    let (session, provider) = with([Reply::chat("Hello Ada."), Reply::chat("Ada.")]).await?;
    let id: i64 = session.value("SELECT rag.create_session()").await?;
    for said in ["I am Ada.", "Who am I?"] {
        session.query_one("SELECT * FROM rag.run_agent('support', $1, $2)", &[&said, &id]).await?;
    }
    let shown: Vec<_> = messages(&provider, 1)[1..].iter().map(content).map(str::to_owned).collect();
    ensure!(shown == ["I am Ada.", "Hello Ada.", "Who am I?"], "{shown:?}");
    let kept: i64 = session.value("SELECT count(*) FROM rag.messages").await?;
    ensure!(kept == 4 && session.value::<i64>("SELECT count(session) FROM rag.runs").await? == 2);
    session.refusal("SELECT rag.run_agent('support', 'x', 4711)").await?.expect(
        "42704",
        "session 4711 does not exist",
        "",
    )
}

async fn what_a_provider_refuses_undoes_the_run() -> Result<()> {
    let (session, _provider) =
        with([Reply::calls(&[("note", r#"{"body": "x"}"#)]), Reply::status(500)]).await?;
    session.refusal("SELECT rag.run_agent('support', 'x')").await?.expect("38000", "status 500", "")?;
    ensure!(session.value::<i64>("SELECT count(*) FROM notes").await? == 0);
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.runs").await? == 0);
    Ok(())
}

async fn an_autonomous_log_outlives_the_run() -> Result<()> {
    let (session, _provider) =
        with([Reply::calls(&[("note", r#"{"body": "x"}"#)]), Reply::status(500)]).await?;
    session.batch_execute("SET rag.log_durability = 'autonomous'").await?;
    session.refusal("SELECT rag.run_agent('support', 'x')").await?.expect("38000", "status 500", "")?;
    wait::until("the run is recorded", async || {
        let ended: i64 = session
            .value("SELECT count(*) FROM rag.runs WHERE status = 'failed' AND sqlstate = '38000'")
            .await?;
        Ok((ended == 1).then_some(()))
    })
    .await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM notes").await? == 0);
    let logged = ["message user ok", "model stub/big ok", "tool note ok", "error error"];
    ensure!(steps(&session).await? == logged, "{:?}", steps(&session).await?);
    ensure!(session.value::<bool>("SELECT bool_and(rolled_back) FROM rag.steps").await?);
    Ok(())
}

async fn the_sessions_own_run_stays_current() -> Result<()> {
    let (session, _provider) = with([Reply::chat("x").after(Duration::from_millis(1))]).await?;
    let own: i64 = session.value("SELECT rag.start_run('mine')").await?;
    run(&session).await?;
    ensure!(session.value::<String>("SELECT current_setting('rag.run')").await? == own.to_string());
    Ok(())
}

async fn what_a_tool_searches_is_a_part_of_its_step() -> Result<()> {
    let (session, provider) = with([
        Reply::calls(&[("look", r#"{"words": "lost"}"#), ("orders", r#"{"query": "lost"}"#)]),
        Reply::chat("x"),
    ])
    .await?;
    session
        .batch_execute(
            "SELECT rag.create_collection('orders', 'orders', 'status', sync => 'manual');
             CREATE FUNCTION look(words text) RETURNS text LANGUAGE sql
               AS $$ SELECT content FROM rag.search('orders', words, k => 1) $$;
             COMMENT ON FUNCTION look IS 'looks for orders';
             SELECT rag.create_tool('look(text)', writes => true);
             SELECT rag.create_search_tool('orders', 'orders', description => 'searches orders');
             SELECT rag.create_agent('searcher', 'x', 'stub', ARRAY['look', 'orders'])",
        )
        .await?;
    session.query_one("SELECT * FROM rag.run_agent('searcher', 'x')", &[]).await?;
    for told in &messages(&provider, 1)[3..] {
        ensure!(content(told).contains("lost"), "{told}");
    }
    let of_tool = "SELECT parent_id = (SELECT id FROM rag.steps WHERE name = 'look') FROM rag.steps WHERE kind = 'retrieval' LIMIT 1";
    ensure!(session.value::<bool>(of_tool).await?);
    Ok(())
}

async fn the_guide_runs_with_a_provider() -> Result<()> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/agents.md");
    let server = shared().await?;
    let database = server.database().await?;
    let session = server.connect(&database).await?;
    let provider = Provider::start([
        Reply::calls(&[("order_status", r#"{"id": 1}"#)]),
        Reply::chat("It is shipped."),
        Reply::calls(&[("refund", r#"{"id": 2}"#)]),
        Reply::chat("You get 35 back."),
    ])?;
    for (number, block) in sql_blocks(&std::fs::read_to_string(path)?).into_iter().enumerate() {
        let script = server.folder().join(format!("{database}.sql"));
        std::fs::write(&script, &block.sql)?;
        let mut psql = server.client("psql")?;
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &database, "-f"]).arg(&script);
        let said = psql.output()?;
        let errors = String::from_utf8_lossy(&said.stderr).into_owned();
        ensure!(said.status.success(), "line {}: {errors}", block.line);
        if number == 0 {
            // The key in the guide is only an example.
            let address = format!(
                "ALTER SERVER openai OPTIONS (SET base_url '{}');
                 ALTER USER MAPPING FOR PUBLIC SERVER openai OPTIONS (SET api_key 'sk-test')",
                provider.url()
            );
            session.batch_execute(&address).await?;
        }
    }
    let refunded: String = session.value("SELECT status FROM orders WHERE id = 2").await?;
    ensure!(refunded == "refunded" && provider.requests().len() == 4, "{refunded}");
    Ok(())
}
