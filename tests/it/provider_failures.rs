//! Failures of calls to providers: each kind has its SQLSTATE and a hint, over plain sockets, TLS and HTTP/2.

use crate::accounting::recorded;
use crate::generate::provide;
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Gate, Part, Provider, Reply};
use ragstone_tests::server::{Options, Server, give_to_server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use serde_json::json;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        every_failure_has_its_sqlstate_and_a_hint,
        every_failure_over_tls_has_its_sqlstate_and_a_hint,
        every_failure_over_http2_has_its_sqlstate_and_a_hint,
        the_limits_of_a_server_hold_over_all_sessions,
        a_provider_that_cannot_be_reached_is_named,
        an_unknown_certificate_is_refused,
    ]
}

async fn every_failure_has_its_sqlstate_and_a_hint() -> Result<()> {
    let session = shared().await?.session().await?;
    fails_clearly(&session, &Provider::start([Reply::chat("yes")])?).await
}

async fn every_failure_over_tls_has_its_sqlstate_and_a_hint() -> Result<()> {
    let provider = Provider::start_tls([Reply::chat("yes")])?;
    let (_server, session) = trusting(&provider).await?;
    fails_clearly(&session, &provider).await
}

async fn every_failure_over_http2_has_its_sqlstate_and_a_hint() -> Result<()> {
    let provider = Provider::start_http2([Reply::chat("yes")])?;
    let (_server, session) = trusting(&provider).await?;
    fails_clearly(&session, &provider).await
}

/// A server that trusts the provider's certificate authority, and a session in it.
async fn trusting(provider: &Provider) -> Result<(Server, Session)> {
    let server = Server::prepare(Options::default())?;
    let file = server.folder().join("authority.pem");
    provider.write_certificate(&file)?;
    give_to_server(&file)?;
    let server = server.with_environment("SSL_CERT_FILE", &file.display().to_string());
    server.restart().await?;
    let session = server.session().await?;
    Ok((server, session))
}

/// Responses of a provider, each with the expected SQLSTATE, message and hint.
fn failures() -> Vec<(Reply, [&'static str; 3])> {
    let context =
        json!({ "error": { "message": "too long: SECRET PROMPT", "code": "context_length_exceeded" } });
    let echo =
        json!({ "error": { "message": "you said SECRET PROMPT with sk-server", "code": "sk-server" } });
    let cut = Reply::announced(1000, [Part::Bytes(b"{\"choices\"".to_vec()), Part::Break]);
    vec![
        (Reply::status(429).header("retry-after", "20"), ["38000", "status 429", "requests_per_minute"]),
        (Reply::status(500), ["38000", "status 500", "Try again later"]),
        (Reply::status(503), ["38000", "status 503", "Try again later"]),
        (Reply::status(401).body(echo.to_string()), ["38000", "status 401", "api_key"]),
        (Reply::status(404), ["38000", "status 404", "name of the model"]),
        (Reply::status(400).body(context.to_string()), ["54000", "status 400", "larger context"]),
        (
            Reply::status(302).header("location", "https://evil.example.com/"),
            ["38000", "status 302", "redirects are not followed"],
        ),
        (
            Reply::text("{\"choices\": [{\"mess"),
            ["08P01", "is not what the protocol", "protocol and base_url"],
        ),
        (cut, ["08006", "broke off", "Try again"]),
        (Reply::announced(1 << 30, [Part::Spaces(1 << 30)]), ["54000", "100000", "max_reply_bytes"]),
        (Reply::stall(), ["08006", "did not answer within 700 ms", "Raise the time"]),
        (Reply::hang_up(), ["08006", "closed the connection", "Try again"]),
    ]
}

/// Each failure is reported as expected after the provider's last request, and the next call works.
async fn fails_clearly(session: &Session, provider: &Provider) -> Result<()> {
    provide(session, provider).await?;
    session
        .batch_execute("ALTER SERVER stub OPTIONS (ADD timeout_ms '700', ADD max_reply_bytes '100000')")
        .await?;
    let call = "SELECT rag.generate('SECRET PROMPT', model => 'stub')";
    for (reply, [code, message, hint]) in failures() {
        let name = format!("{reply:?}");
        provider.script([reply, Reply::chat("well again")]);
        let refusal = session.refusal(call).await.with_context(|| name.clone())?;
        refusal.expect(code, message, hint).with_context(|| name.clone())?;
        let all = format!("{refusal:?}");
        ensure!(!all.contains("SECRET") && !all.contains("sk-server"), "{all}");
        ensure!(!message.ends_with("429") || refusal.detail.contains("retry after 20 s"), "{refusal:?}");
        ensure!(session.value::<String>(call).await? == "well again", "after {name}");
    }
    for (part, message, hint) in
        [(Part::Stall, "did not end its answer", "Raise the time"), (Part::Break, "broke off", "Try again")]
    {
        // Pieces that have arrived are not repeated with the end of the stream.
        let gate = Gate::new();
        provider.script([Reply::stream([Part::piece("one"), Part::Gate(gate.clone()), part])]);
        session
            .batch_execute("BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT rag.stream('hi', model => 'stub')")
            .await?;
        ensure!(session.value::<String>("FETCH 1 FROM c").await? == "one");
        gate.open();
        session.refusal("FETCH 1 FROM c").await?.expect("08006", message, hint)?;
        session.batch_execute("ROLLBACK").await?;
    }
    // All of these calls are recorded.
    let made = 2 * failures().len() + 2;
    recorded(session, made.try_into()?).await?;
    let failed: i64 = session
        .value("SELECT count(*) FROM rag.calls WHERE status = 'failed' AND sqlstate IS NOT NULL")
        .await?;
    ensure!(failed == i64::try_from(failures().len())? + 2, "{failed} calls have failed");
    Ok(())
}

async fn a_provider_that_cannot_be_reached_is_named() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "SELECT rag.create_provider('closed', kind => 'compatible', base_url => 'http://127.0.0.1:1/v1', model => 'm', options => '{\"retries\": 0}');
             SELECT rag.create_provider('nowhere', kind => 'compatible', base_url => 'https://nowhere.invalid/v1', model => 'm', options => '{\"retries\": 0}')",
        )
        .await?;
    session.refusal("SELECT rag.generate('hi', model => 'closed')").await?.expect(
        "08001",
        "cannot reach provider \"closed\": connection refused",
        "Check that the provider runs",
    )?;
    session.refusal("SELECT rag.generate('hi', model => 'nowhere')").await?.expect(
        "08001",
        "cannot reach provider \"nowhere\": the name of its host cannot be resolved",
        "Check the host",
    )
}

async fn an_unknown_certificate_is_refused() -> Result<()> {
    let session = shared().await?.session().await?;
    for provider in [Provider::start_tls([Reply::chat("yes")])?, Provider::start_http2([Reply::chat("yes")])?]
    {
        provide(&session, &provider).await?;
        let refusal = session.refusal("SELECT rag.generate('hi', model => 'stub')").await?;
        refusal.expect("08001", "its certificate is not accepted", "SSL_CERT_FILE")?;
        ensure!(provider.requests().is_empty());
        session.batch_execute("DROP SERVER stub CASCADE").await?;
    }
    Ok(())
}

/// Answers that are held back until the gate opens.
fn held(gate: &Gate) -> Reply {
    Reply::chat("yes").behind(gate)
}

async fn the_limits_of_a_server_hold_over_all_sessions() -> Result<()> {
    let server = shared().await?;
    let first = server.session().await?;
    let database: String = first.value("SELECT current_database()::text").await?;
    let second = server.connect(&database).await?;
    let gate = Gate::new();
    let provider = Provider::start([held(&gate)])?;
    provide(&first, &provider).await?;
    first.batch_execute("ALTER SERVER stub OPTIONS (ADD concurrency '1', ADD timeout_ms '600')").await?;
    let call = "SELECT rag.generate('hi', model => 'stub', timeout_ms => 30000)";
    let hasty = async {
        wait::until("the provider is asked", async || Ok((!provider.requests().is_empty()).then_some(())))
            .await?;
        let refusal = second.refusal("SELECT rag.generate('hi', model => 'stub')").await;
        gate.open();
        refusal
    };
    let (answer, refusal) = tokio::join!(first.value::<String>(call), hasty);
    ensure!(answer? == "yes" && provider.most_at_once() == 1 && provider.requests().len() == 1);
    refusal?.expect("08006", "no turn to call provider \"stub\" within 600 ms", "concurrency")?;
    // The limit per minute allows exactly the first request.
    for (limit, used_up) in
        [("requests_per_minute '1'", "1 requests a minute"), ("tokens_per_minute '10'", "10 tokens a minute")]
    {
        let other = Provider::start([Reply::chat("yes")])?;
        let create = "DROP SERVER stub CASCADE; CREATE SERVER stub FOREIGN DATA WRAPPER rag OPTIONS (protocol 'openai',";
        let options = format!("base_url '{}', default_model 'big', timeout_ms '600', {limit})", other.url());
        first.batch_execute(&format!("{create} {options}")).await?;
        let call = "SELECT rag.generate('hi', model => 'stub', max_tokens => 3)";
        ensure!(first.value::<String>(call).await? == "yes");
        second.refusal(call).await?.expect("53400", used_up, "raise the server's limit")?;
        ensure!(other.requests().len() == 1);
    }
    Ok(())
}
