//! Steps that Ragstone's functions log automatically during a run.

use crate::generate::{provide, with};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Provider, Reply};
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use serde_json::Value;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_search_logs_what_it_looked_for_and_the_keys_of_what_it_found,
        an_answer_is_a_step_with_its_search_and_its_model_as_parts,
        calls_of_a_model_log_their_tokens_and_cost_and_their_words_where_these_are_kept,
        a_failure_that_ends_no_transaction_is_on_record,
        a_failure_that_ends_its_transaction_is_on_record_where_the_log_is_autonomous,
        a_turn_of_a_conversation_is_a_step,
        a_stream_is_a_step_when_its_last_piece_was_read,
        a_stream_that_fails_is_on_record_where_the_log_is_autonomous,
        nothing_is_logged_without_a_run,
        a_run_that_another_session_has_ended_takes_no_more_steps,
        a_run_that_is_not_current_takes_the_steps_that_name_it,
        reading_writes_no_step,
    ]
}

const NOTES: &str = "CREATE TABLE notes (id int PRIMARY KEY, body text);
    INSERT INTO notes VALUES (1, 'The harbour of the town opens at six.'), (2, 'The museum is closed on Mondays.');
    SELECT rag.create_collection('notes', 'notes', 'body', sync => 'manual')";

/// `kind name status` of all steps in order; steps below another one are prefixed with `name >`.
async fn steps(session: &Session) -> Result<String> {
    session
        .value(
            "SELECT coalesce(string_agg(concat_ws(' ', p.name || ' >', s.kind, s.name, s.status), '; ' ORDER BY s.started, s.number), '')
             FROM rag.steps s LEFT JOIN rag.steps p ON p.id = s.parent_id",
        )
        .await
}

async fn a_search_logs_what_it_looked_for_and_the_keys_of_what_it_found() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute(NOTES).await?;
    session.batch_execute("SELECT rag.start_run('r'); SELECT * FROM rag.search('notes', 'when does the harbour open', k => 1)").await?;
    ensure!(steps(&session).await? == "retrieval notes ok", "{}", steps(&session).await?);
    let row = session.query_one("SELECT input, output, duration_ms FROM rag.steps", &[]).await?;
    let (input, output): (Value, Value) = (row.get(0), row.get(1));
    ensure!(
        input["query"] == "when does the harbour open" && input["k"] == 1 && input["mode"] == "hybrid",
        "{input}"
    );
    ensure!(output["found"] == 1 && output["hits"][0]["key"]["id"] == 1, "{output}");
    ensure!(output["hits"][0]["score"].as_f64().is_some_and(|score| score > 0.0), "{output}");
    ensure!(!output.to_string().contains("harbour"), "a text is in the log: {output}");
    ensure!(row.get::<_, f64>(2) > 0.0);
    Ok(())
}

async fn an_answer_is_a_step_with_its_search_and_its_model_as_parts() -> Result<()> {
    let (session, _provider) = with([Reply::chat("It opens at six [1].")]).await?;
    session.batch_execute(NOTES).await?;
    session.batch_execute("SELECT rag.start_run('r')").await?;
    let ask =
        "SELECT answered FROM rag.ask('notes', 'When does the harbour of the town open?', model => 'stub')";
    ensure!(session.value::<bool>(ask).await?);
    let expected = "custom ask ok; ask > retrieval notes ok; ask > model ask ok";
    ensure!(steps(&session).await? == expected, "{}", steps(&session).await?);
    let row = session
        .query_one("SELECT model, input_tokens, output_tokens FROM rag.steps WHERE kind = 'model'", &[])
        .await?;
    ensure!(
        (row.get::<_, String>(0).as_str(), row.get::<_, i64>(1), row.get::<_, i64>(2)) == ("stub/big", 7, 3)
    );
    ensure!(
        session
            .value::<bool>("SELECT bool_and(run_id = current_setting('rag.run')::bigint) FROM rag.steps")
            .await?
    );
    Ok(())
}

async fn calls_of_a_model_log_their_tokens_and_cost_and_their_words_where_these_are_kept() -> Result<()> {
    let answers = ["one", "two", "three", "four"].map(Reply::chat);
    let (session, _provider) = with(answers).await?;
    session
        .batch_execute("ALTER SERVER stub OPTIONS (ADD input_price '1000000', ADD output_price '2000000')")
        .await?;
    session.batch_execute("SELECT rag.start_run('r')").await?;
    session.batch_execute("SELECT rag.generate('hi', model => 'stub')").await?;
    session.batch_execute("SELECT rag.generate(ARRAY['a', 'b'], model => 'stub')").await?;
    let row = session.query_one("SELECT count(*), sum(input_tokens)::bigint, sum(output_tokens)::bigint, sum(cost) FROM rag.steps WHERE kind = 'model'", &[]).await?;
    ensure!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)) == (3, 21, 9), "{row:?}");
    ensure!(row.get::<_, f64>(3) > 0.0);
    ensure!(
        session
            .value::<i64>("SELECT count(*) FROM rag.steps WHERE input IS NOT NULL OR output ? 'content'")
            .await?
            == 0
    );
    session
        .batch_execute("SET rag.log_prompts = on; SELECT rag.complete('question', model => 'stub')")
        .await?;
    let row = session.query_one("SELECT input #>> '{messages,0,content}', output ->> 'content' FROM rag.steps WHERE name = 'complete'", &[]).await?;
    ensure!((row.get::<_, String>(0).as_str(), row.get::<_, &str>(1)) == ("question", "four"));
    Ok(())
}

async fn a_failure_that_ends_no_transaction_is_on_record() -> Result<()> {
    let (session, _provider) = with([Reply::status(400), Reply::status(400), Reply::status(400)]).await?;
    session.batch_execute(NOTES).await?;
    session
        .batch_execute(
            "SELECT rag.start_run('r'); SELECT rag.generate('hi', model => 'stub', on_error => 'null')",
        )
        .await?;
    ensure!(steps(&session).await? == "model generate error", "{}", steps(&session).await?);
    let row = session.query_one("SELECT sqlstate, error FROM rag.steps", &[]).await?;
    ensure!(row.get::<_, &str>(0) == "38000" && row.get::<_, &str>(1).contains("stub"), "{row:?}");
    session
        .batch_execute(
            "SELECT * FROM rag.try_ask('notes', 'When does the harbour of the town open?', model => 'stub')",
        )
        .await?;
    ensure!(
        steps(&session).await? == "model generate error; custom try_ask error",
        "{}",
        steps(&session).await?
    );
    // An error that ends the transaction rolls its steps back.
    session.refusal("SELECT rag.generate('hi', model => 'stub')").await?.expect("38000", "", "")?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.steps").await? == 2);
    Ok(())
}

async fn a_failure_that_ends_its_transaction_is_on_record_where_the_log_is_autonomous() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute(NOTES).await?;
    // An error of PostgreSQL itself, in the middle of a search.
    session
        .batch_execute(
            "ALTER TABLE notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
             CREATE POLICY broken ON notes USING (1 / (id - id) > 0);
             CREATE ROLE run_steps_reader; GRANT SELECT ON notes TO run_steps_reader;
             SET rag.log_durability = autonomous; SET ROLE run_steps_reader; SELECT rag.start_run('r')",
        )
        .await?;
    session.refusal("SELECT * FROM rag.search('notes', 'harbour')").await?.expect(
        "22012",
        "division by zero",
        "",
    )?;
    session.refusal("SELECT * FROM rag.search('nots', 'harbour')").await?.expect("42704", "", "")?;
    let session = &session;
    let expected = "retrieval notes error; retrieval nots error";
    let result = wait::until("both failures are recorded", async || {
        Ok((steps(session).await? == expected).then_some(()))
    })
    .await;
    session.batch_execute("RESET ROLE; DROP OWNED BY run_steps_reader; DROP ROLE run_steps_reader").await?;
    result
}

async fn a_turn_of_a_conversation_is_a_step() -> Result<()> {
    let (session, _provider) = with([Reply::chat("Hello.")]).await?;
    session
        .batch_execute("SELECT rag.start_run('r', session => rag.create_session(model => 'stub'))")
        .await?;
    let chat = "SELECT answer FROM rag.chat((SELECT session FROM rag.runs), 'hi')";
    ensure!(session.value::<String>(chat).await? == "Hello.");
    ensure!(steps(&session).await? == "custom chat ok; chat > model chat ok", "{}", steps(&session).await?);
    let same = "SELECT bool_and(output ->> 'message' = (SELECT max(id)::text FROM rag.messages)) FROM rag.steps WHERE name = 'chat' AND kind = 'custom'";
    ensure!(session.value::<bool>(same).await?);
    Ok(())
}

async fn a_stream_is_a_step_when_its_last_piece_was_read() -> Result<()> {
    let stream = || Reply::chat_stream(&["One ", "two."]);
    let (session, _provider) = with([stream(), stream(), stream()]).await?;
    session
        .batch_execute("SELECT rag.start_run('r', session => rag.create_session(model => 'stub'))")
        .await?;
    // A cursor that is closed before its end logs nothing.
    session
        .batch_execute(
            "BEGIN; DECLARE c CURSOR FOR SELECT rag.stream('count', 'stub'); FETCH 1 FROM c; CLOSE c; COMMIT",
        )
        .await?;
    ensure!(steps(&session).await?.is_empty(), "{}", steps(&session).await?);
    session.batch_execute("SELECT rag.stream('count', 'stub')").await?;
    ensure!(steps(&session).await? == "model stream ok", "{}", steps(&session).await?);
    session.batch_execute("DELETE FROM rag._steps").await?;
    session.batch_execute("SELECT rag.chat_stream((SELECT session FROM rag.runs), 'count')").await?;
    let expected = "custom chat_stream ok; chat_stream > model chat_stream ok";
    ensure!(steps(&session).await? == expected, "{}", steps(&session).await?);
    let tokens = "SELECT output_tokens FROM rag.steps WHERE kind = 'model'";
    ensure!(session.value::<i64>(tokens).await? > 0);
    Ok(())
}

async fn a_stream_that_fails_is_on_record_where_the_log_is_autonomous() -> Result<()> {
    let (session, _provider) = with([Reply::status(401), Reply::status(401)]).await?;
    let conversation: i64 = session.value("SELECT rag.create_session(model => 'stub')").await?;
    session.batch_execute("SET rag.log_durability = autonomous; SELECT rag.start_run('r')").await?;
    session.refusal("SELECT rag.stream('count', 'stub')").await?.expect("38000", "status 401", "")?;
    let chat = format!("SELECT rag.chat_stream({conversation}, 'count')");
    session.refusal(&chat).await?.expect("38000", "status 401", "")?;
    let expected = "model stream error; custom chat_stream error; chat_stream > model chat_stream error";
    wait::until("the failures are recorded", async || Ok((steps(&session).await? == expected).then_some(())))
        .await
}

async fn nothing_is_logged_without_a_run() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute(NOTES).await?;
    session.batch_execute("SELECT * FROM rag.search('notes', 'harbour')").await?;
    session
        .batch_execute(
            "SELECT rag.finish_run(rag.start_run('r')); SELECT * FROM rag.search('notes', 'harbour')",
        )
        .await?;
    session
        .batch_execute(
            "SELECT rag.start_run('r'); SET rag.run = 0; SELECT * FROM rag.search('notes', 'harbour')",
        )
        .await?;
    ensure!(steps(&session).await?.is_empty(), "{}", steps(&session).await?);
    // Behind a pooler the run is set for a transaction.
    session
        .batch_execute("BEGIN; SELECT set_config('rag.run', (SELECT max(id)::text FROM rag.runs), true)")
        .await?;
    session.batch_execute("SELECT * FROM rag.search('notes', 'harbour'); COMMIT").await?;
    session.batch_execute("SELECT * FROM rag.search('notes', 'harbour')").await?;
    ensure!(steps(&session).await? == "retrieval notes ok", "{}", steps(&session).await?);
    Ok(())
}

async fn reading_writes_no_step() -> Result<()> {
    let primary = Server::start().await?;
    let writer = primary.session().await?;
    let provider = Provider::start([Reply::chat("one"), Reply::chat("two")])?;
    provide(&writer, &provider).await?;
    writer.batch_execute(NOTES).await?;
    let run: i64 = writer.value("SELECT rag.start_run('r')").await?;
    let search = "SELECT count(*) FROM rag.search('notes', 'harbour', k => 1)";
    writer.batch_execute("BEGIN READ ONLY").await?;
    ensure!(writer.value::<i64>(search).await? == 1);
    ensure!(writer.value::<String>("SELECT rag.generate('hi', model => 'stub')").await? == "one");
    writer.batch_execute("COMMIT").await?;
    let database: String = writer.value("SELECT current_database()::text").await?;
    let standby = Server::standby_of(&primary).await?;
    let reader = standby.connect(&database).await?;
    reader.batch_execute(&format!("SET rag.run = {run}; SET rag.log_durability = autonomous")).await?;
    let reader = &reader;
    wait::until("the standby has the collection", async || {
        Ok((reader.value::<i64>(search).await? == 1).then_some(()))
    })
    .await?;
    ensure!(reader.value::<String>("SELECT rag.generate('hi', model => 'stub')").await? == "two");
    ensure!(reader.take_notices().is_empty());
    reader.refusal_of("SELECT rag.log_step($1, 'tool')", &[&run]).await?.expect("25006", "", "")?;
    ensure!(steps(&writer).await?.is_empty(), "{}", steps(&writer).await?);
    Ok(())
}

const SEARCH: &str = "SELECT * FROM rag.search('notes', 'when does the harbour open', k => 1)";

/// As behind a pooler that gives each transaction another connection.
async fn a_run_that_another_session_has_ended_takes_no_more_steps() -> Result<()> {
    let server = shared().await?;
    let first = server.session().await?;
    first.batch_execute(NOTES).await?;
    let database: String = first.value("SELECT current_database()::text").await?;
    let run: i64 = first.value("SELECT rag.start_run('r')").await?;
    first.batch_execute(SEARCH).await?;
    let second = server.connect(&database).await?;
    second.execute("SELECT rag.finish_run($1)", &[&run]).await?;
    first.take_notices();
    for _ in 0..2 {
        first.batch_execute(SEARCH).await?;
    }
    ensure!(steps(&second).await? == "retrieval notes ok", "{}", steps(&second).await?);
    let warnings = first.take_notices();
    ensure!(warnings.len() == 1, "{warnings:?}");
    warnings[0].expect("01000", &format!("run {run} has ended"), "Set rag.run to 0")?;
    // A run that continues accepts steps again.
    second.execute("SELECT rag.finish_run($1, status => 'running')", &[&run]).await?;
    first.batch_execute(SEARCH).await?;
    ensure!(steps(&second).await? == "retrieval notes ok; retrieval notes ok", "{}", steps(&second).await?);
    Ok(())
}

async fn a_run_that_is_not_current_takes_the_steps_that_name_it() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute(NOTES).await?;
    session.batch_execute("SELECT rag.start_run('current')").await?;
    let before: String = session.value("SELECT current_setting('rag.run')").await?;
    let run: i64 = session.value("SELECT rag.start_run('other', current => false)").await?;
    ensure!(session.value::<String>("SELECT current_setting('rag.run')").await? == before);
    session.execute("SELECT rag.log_step($1, 'tool', 'named')", &[&run]).await?;
    session.batch_execute(SEARCH).await?;
    let of_run: i64 = session.value_of("SELECT count(*) FROM rag.steps WHERE run_id = $1", &[&run]).await?;
    ensure!(
        of_run == 1 && steps(&session).await? == "tool named ok; retrieval notes ok",
        "{}",
        steps(&session).await?
    );
    Ok(())
}
