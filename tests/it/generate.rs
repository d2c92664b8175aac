//! Language and embedding models of providers, called from SQL.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::provider::{Gate, Part, Provider, Reply};
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        an_answer_comes_with_all_that_is_known_of_it,
        a_conversation_is_sent_as_it_is_given,
        options_cannot_replace_what_is_recorded,
        an_answer_that_no_text_can_hold_is_mended,
        many_prompts_are_asked_at_once_and_answered_in_order,
        failed_calls_are_null_where_that_is_wanted,
        json_meets_its_schema_or_is_refused,
        pieces_come_through_a_cursor_before_the_answer_ends,
        a_closed_cursor_ends_the_call,
        an_engine_that_ends_in_the_middle_of_a_stream_is_an_error_and_the_next_call_works,
        an_engine_that_ended_unnoticed_is_no_error;
        alone: a_cancelled_call_frees_the_backend_and_closes_the_connection,
    ]
}

/// Options of the provider `stub`.
pub const NO_RETRIES: &str = r#"{"retries": 0, "default_embedding_model": "small"}"#;

/// Makes the provider `stub`.
pub async fn provide(session: &Session, provider: &Provider) -> Result<()> {
    let create = "SELECT rag.create_provider('stub', kind => 'openai', api_key => 'sk-server', base_url => $1, model => 'big',
                                             options => $2::text::jsonb)";
    session.execute(create, &[&provider.url(), &NO_RETRIES]).await?;
    Ok(())
}

/// A session, and a scripted provider `stub` in its database.
pub async fn with(script: impl IntoIterator<Item = Reply>) -> Result<(Session, Provider)> {
    let session = shared().await?.session().await?;
    let provider = Provider::start(script)?;
    provide(&session, &provider).await?;
    Ok((session, provider))
}

async fn an_answer_comes_with_all_that_is_known_of_it() -> Result<()> {
    let (session, provider) = with([Reply::chat("hello")]).await?;
    let row = session
        .query_one(
            "SELECT c.* FROM rag.complete('hi', model => 'stub', system => 'be brief', temperature => 0.5, max_tokens => 20,
                                      stop => '{END,STOP}', seed => 7) c",
            &[],
        )
        .await?;
    ensure!(row.get::<_, String>("content") == "hello" && row.get::<_, String>("finish_reason") == "stop");
    ensure!((row.get::<_, i64>("input_tokens"), row.get::<_, i64>("output_tokens")) == (7, 3));
    ensure!(row.get::<_, Option<Value>>("tool_calls").is_none() && row.get::<_, f64>("latency_ms") > 0.0);
    let request = &provider.requests()[0];
    ensure!(
        request.path == "/v1/chat/completions" && request.header("authorization") == Some("Bearer sk-server")
    );
    ensure!(
        request.body["model"] == "big" && request.body["temperature"] == 0.5 && request.body["seed"] == 7
    );
    ensure!(request.body["max_tokens"] == 20 && request.body["stop"] == json!(["END", "STOP"]));
    let said = json!([{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hi" }]);
    ensure!(request.body["messages"] == said, "{}", request.body);
    Ok(())
}

async fn a_conversation_is_sent_as_it_is_given() -> Result<()> {
    let (session, provider) = with([Reply::chat("42")]).await?;
    let said = r#"[{"role": "user", "content": "6 × 7?"}, {"role": "assistant", "content": "41"}, {"role": "user", "content": "no"}]"#;
    let answer: String = session
        .value_of(
            "SELECT rag.generate($1::text::jsonb, model => 'stub/small', options => '{\"top_p\": 0.9}')",
            &[&said],
        )
        .await?;
    ensure!(answer == "42");
    let body = &provider.requests()[0].body;
    ensure!(
        body["messages"] == serde_json::from_str::<Value>(said)?
            && body["top_p"] == 0.9
            && body["model"] == "small"
    );
    Ok(())
}

async fn options_cannot_replace_what_is_recorded() -> Result<()> {
    let (session, provider) = with([Reply::chat("42")]).await?;
    for options in [
        r#"{"model": "other"}"#,
        r#"{"models": ["other"]}"#,
        r#"{"max_tokens": 9}"#,
        r#"{"maxTokens": 9}"#,
        r#"{"generation_config": {"max_output_tokens": 9}}"#,
        r#"{"generationConfig": {"candidateCount": 9}}"#,
        r#"{"n": 3}"#,
        r#"{"stream": true}"#,
    ] {
        let ask = format!("SELECT rag.generate('hi', model => 'stub/small', options => '{options}')");
        session.refusal(&ask).await?.expect("22023", "cannot be given there", "")?;
    }
    ensure!(provider.requests().is_empty(), "the provider was asked");
    Ok(())
}

async fn an_answer_that_no_text_can_hold_is_mended() -> Result<()> {
    let (session, provider) = with([Reply::chat("a\0b")]).await?;
    ensure!(session.value::<String>("SELECT rag.generate('hi', model => 'stub')").await? == "a\u{fffd}b");
    provider.script([Reply::chat_stream(&["a\0", "b"])]);
    let pieces: String = session
        .value("SELECT string_agg(p, '|') FROM (SELECT rag.stream('hi', model => 'stub') AS p OFFSET 0) s")
        .await?;
    ensure!(pieces == "a\u{fffd}|b", "{pieces:?}");
    Ok(())
}

async fn many_prompts_are_asked_at_once_and_answered_in_order() -> Result<()> {
    let echo = Reply::by(|seen| {
        let asked = seen.body["messages"][0]["content"].as_str().unwrap_or_default();
        Reply::chat(&format!("<{asked}>")).after(Duration::from_millis(if asked == "p1" { 200 } else { 50 }))
    });
    let (session, provider) = with([echo]).await?;
    let answers: Vec<Option<String>> = session
        .value("SELECT rag.generate(array_agg('p' || i) || ARRAY[NULL], model => 'stub') FROM generate_series(1, 12) i")
        .await?;
    let expected = (1..=12).map(|number| Some(format!("<p{number}>"))).chain([None]).collect::<Vec<_>>();
    ensure!(answers == expected, "{answers:?}");
    ensure!(provider.most_at_once() >= 6, "{} at once", provider.most_at_once());
    Ok(())
}

async fn failed_calls_are_null_where_that_is_wanted() -> Result<()> {
    let refuse_two = Reply::by(|seen| match seen.body["messages"][0]["content"].as_str() {
        Some("two") => Reply::status(400),
        _ => Reply::chat("yes"),
    });
    let (session, _provider) = with([refuse_two]).await?;
    ensure!(
        session
            .value::<Option<String>>("SELECT rag.generate('two', model => 'stub', on_error => 'null')")
            .await?
            .is_none()
    );
    let answers: Vec<Option<String>> = session
        .value("SELECT rag.generate(ARRAY['one', 'two', ' ', 'three'], model => 'stub', on_error => 'null')")
        .await?;
    ensure!(answers == [Some("yes".to_owned()), None, None, Some("yes".to_owned())], "{answers:?}");
    let refusal = session.refusal("SELECT rag.generate(ARRAY['one', 'two'], model => 'stub')").await?;
    ensure!(format!("{refusal:?}").contains("prompt 2 of 2"), "the prompt is not named: {refusal:?}");
    refusal.expect("38000", "provider \"stub\" refused", "")?;
    let refusal = session.refusal("SELECT rag.generate('one', model => 'stub', on_error => 'stop')").await?;
    refusal.expect("22023", "unknown value of on_error", "'raise' or 'null'")
}

async fn json_meets_its_schema_or_is_refused() -> Result<()> {
    let script =
        [Reply::chat(r#"{"age": "old"}"#), Reply::chat(r#"{"age": 7}"#), Reply::chat("certainly not")];
    let (session, provider) = with(script).await?;
    let ask = "SELECT rag.generate_json('how old?', '{\"type\": \"object\", \"properties\": {\"age\": {\"type\": \"integer\"}},
               \"required\": [\"age\"]}', model => 'stub')";
    let answer: Value = session.value(ask).await?;
    ensure!(
        answer == json!({ "age": 7 }) && provider.requests().len() == 2,
        "it was not mended once: {answer}"
    );
    let refusal = session.refusal(ask).await?;
    refusal.expect("08P01", "does not meet the schema", "schema")?;
    ensure!(!format!("{refusal:?}").contains("certainly"), "the answer is in the error: {refusal:?}");
    ensure!(
        session
            .value::<Option<Value>>(&ask.replace("model => 'stub'", "model => 'stub', on_error => 'null'"))
            .await?
            .is_none()
    );
    Ok(())
}

async fn pieces_come_through_a_cursor_before_the_answer_ends() -> Result<()> {
    let gate = Gate::new();
    let parts = [Part::piece("one "), Part::Gate(gate.clone()), Part::piece("two"), Part::end()];
    let (session, _provider) = with([Reply::stream(parts)]).await?;
    session
        .batch_execute("BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT rag.stream('hi', model => 'stub')")
        .await?;
    ensure!(session.value::<String>("FETCH 1 FROM c").await? == "one ");
    // Other work in between uses the same connection to the engine.
    session.batch_execute("SELECT rag.embed('in between')").await?;
    gate.open();
    ensure!(session.value::<String>("FETCH 1 FROM c").await? == "two");
    ensure!(session.query("FETCH 1 FROM c", &[]).await?.is_empty());
    session.batch_execute("COMMIT").await?;
    Ok(())
}

async fn a_closed_cursor_ends_the_call() -> Result<()> {
    let (session, provider) = with([Reply::stream([Part::piece("one"), Part::Stall])]).await?;
    session.batch_execute("BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT rag.stream('hi', model => 'stub'); FETCH 1 FROM c; CLOSE c")
        .await?;
    ensure!(provider.wait_until_abandoned(0), "the call goes on");
    session.batch_execute("COMMIT; SELECT rag.embed('goes on')").await?;
    Ok(())
}

async fn an_engine_that_ends_in_the_middle_of_a_stream_is_an_error_and_the_next_call_works() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::stream([Part::piece("one"), Part::Stall]), Reply::chat("again")])?;
    provide(&session, &provider).await?;
    session
        .batch_execute(
            "BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT rag.stream('hi', model => 'stub'); FETCH 1 FROM c",
        )
        .await?;
    for engine in server.engines() {
        engine.signal(Signal::SIGKILL);
    }
    let refusal = session.refusal("FETCH 1 FROM c").await?;
    refusal.expect("57P03", "the engine ended", "Ask again")?;
    session.batch_execute("ROLLBACK").await?;
    ensure!(session.value::<String>("SELECT rag.generate('hi', model => 'stub')").await? == "again");
    Ok(())
}

async fn an_engine_that_ended_unnoticed_is_no_error() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::chat("yes")])?;
    provide(&session, &provider).await?;
    for _ in 0..3 {
        ensure!(session.value::<String>("SELECT rag.generate('hi', model => 'stub')").await? == "yes");
        let engine = *server.engines().first().context("no engine runs")?;
        engine.signal(Signal::SIGKILL);
        ragstone_tests::wait::until("the engine ends", async || Ok((!engine.runs()).then_some(()))).await?;
    }
    Ok(())
}

async fn a_cancelled_call_frees_the_backend_and_closes_the_connection() -> Result<()> {
    let (session, provider) = with([Reply::stall()]).await?;
    for call in ["SELECT rag.generate('hi', model => 'stub')", "SELECT rag.stream('hi', model => 'stub')"] {
        wait::at_best_within(Duration::from_millis(100), async || {
            let asked = provider.requests().len();
            let token = session.canceller();
            let cancel = async {
                wait::until("the provider is asked", async || {
                    Ok((provider.requests().len() > asked).then_some(()))
                })
                .await?;
                let begin = Instant::now();
                token.cancel().await?;
                anyhow::Ok(begin)
            };
            let (refusal, begin) = tokio::join!(session.refusal(call), cancel);
            let elapsed = begin?.elapsed();
            refusal?.expect("57014", "", "")?;
            ensure!(provider.wait_until_abandoned(asked), "the connection was not closed");
            Ok(elapsed)
        })
        .await?;
    }
    Ok(())
}
