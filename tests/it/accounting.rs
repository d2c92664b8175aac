//! Calls to providers are recorded, whatever the outcome of their transaction.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Part, Provider, Reply};
use ragstone_tests::server::{Options, Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use tokio::join;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_call_is_on_record_after_a_rollback,
        a_cancelled_call_is_on_record,
        a_failed_call_is_on_record_with_its_sqlstate,
        prompts_are_kept_where_a_superuser_wants_it,
        every_role_sees_its_own_calls_and_auditors_see_all,
        calls_outlive_the_coordinator_and_are_written_once,
        a_coordinator_that_left_comes_back_for_calls,
        old_calls_are_deleted,
    ]
}

/// A price of 0.1 per token: a response of the stub provider costs 1, for 7 input tokens and 3 output tokens.
const PRICES: &str = r#"{"input_price": 100000, "output_price": 100000, "retries": 0}"#;

pub const GENERATE: &str = "SELECT rag.generate('hi', model => 'stub/small', max_tokens => 3)";

pub async fn with_provider(session: &Session, provider: &Provider) -> Result<()> {
    let create = "SELECT rag.create_provider('stub', kind => 'openai', api_key => 'sk-test', base_url => $1, options => $2::text::jsonb)";
    session.execute(create, &[&provider.url(), &PRICES]).await?;
    Ok(())
}

/// Waits until `count` calls are recorded.
pub async fn recorded(session: &Session, count: i64) -> Result<()> {
    wait::until("the calls are recorded", async || {
        let found: i64 = session.value("SELECT count(*) FROM rag.calls").await?;
        ensure!(found <= count, "{found} calls are on record, and not {count}");
        Ok((found == count).then_some(()))
    })
    .await
}

pub async fn statuses(session: &Session) -> Result<String> {
    session
        .value("SELECT string_agg(concat_ws(' ', status, sqlstate), ', ' ORDER BY id) FROM rag.calls")
        .await
}

async fn a_call_is_on_record_after_a_rollback() -> Result<()> {
    wait::for_one_period().await?;
    let session = shared().await?.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    session.batch_execute(&format!("BEGIN; {GENERATE}; ROLLBACK")).await?;
    recorded(&session, 1).await?;
    let refusal =
        session.refusal(&format!("{GENERATE}, 1 / (length(rag.generate('hi', 'stub/small')) - 5)")).await?;
    ensure!(refusal.code == "22012", "{refusal:?}");
    recorded(&session, 3).await?;
    let row = session
        .query_one(
            "SELECT role::text, function, server::text, model, input_tokens, output_tokens, cost, latency_ms > 0, status,
                    sqlstate, retries, prompt, reply, abs(extract(epoch FROM now() - began)) < 60
             FROM rag.calls ORDER BY id LIMIT 1",
            &[],
        )
        .await?;
    let texts: Vec<String> = [0, 1, 2, 3, 8].iter().map(|&column| row.get(column)).collect();
    ensure!(texts == ["postgres", "generate", "stub", "small", "answered"], "{texts:?}");
    ensure!((row.get::<_, i64>(4), row.get::<_, i64>(5), row.get::<_, f64>(6)) == (7, 3, 1.0));
    ensure!(row.get::<_, bool>(7) && row.get::<_, i32>(10) == 0 && row.get::<_, bool>(13));
    ensure!([9, 11, 12].iter().all(|&column| row.get::<_, Option<String>>(column).is_none()));
    let row = session.query_one("SELECT calls, failed, cost, p50_ms > 0 FROM rag.usage", &[]).await?;
    ensure!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, f64>(2)) == (3, 0, 3.0));
    ensure!(row.get::<_, bool>(3));
    Ok(())
}

async fn a_cancelled_call_is_on_record() -> Result<()> {
    let session = shared().await?.session().await?;
    let provider = Provider::start([Reply::stall()])?;
    with_provider(&session, &provider).await?;
    let token = session.canceller();
    let cancel = async {
        wait::until("the provider is asked", async || Ok((!provider.requests().is_empty()).then_some(())))
            .await?;
        token.cancel().await
    };
    let (refusal, cancelled) = join!(session.refusal(GENERATE), cancel);
    cancelled?;
    ensure!(refusal?.code == "57014");
    recorded(&session, 1).await?;
    ensure!(statuses(&session).await? == "cancelled");
    ensure!(session.value::<bool>("SELECT latency_ms > 0 FROM rag.calls").await?);

    // A caller that has read an answer nearly to its end is charged for the part that it has read.
    provider.script([Reply::stream([Part::piece("twelve chars"), Part::Stall])]);
    session
        .batch_execute(
            "BEGIN; DECLARE c CURSOR FOR SELECT rag.stream('four', 'stub/small'); FETCH 1 FROM c; CLOSE c; ROLLBACK",
        )
        .await?;
    recorded(&session, 2).await?;
    ensure!(statuses(&session).await? == "cancelled, cancelled");
    let row = session
        .query_one("SELECT input_tokens, output_tokens FROM rag.calls ORDER BY id DESC LIMIT 1", &[])
        .await?;
    ensure!((row.get::<_, i64>(0), row.get::<_, i64>(1)) == (1, 3), "{row:?}");
    Ok(())
}

async fn a_failed_call_is_on_record_with_its_sqlstate() -> Result<()> {
    let session = shared().await?.session().await?;
    let provider = Provider::start([Reply::status(401), Reply::hang_up()])?;
    with_provider(&session, &provider).await?;
    let codes = [session.refusal(GENERATE).await?.code, session.refusal(GENERATE).await?.code];
    recorded(&session, 2).await?;
    let expected = format!("failed {}, failed {}", codes[0], codes[1]);
    ensure!(statuses(&session).await? == expected, "{expected}");
    Ok(())
}

async fn prompts_are_kept_where_a_superuser_wants_it() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    session.batch_execute(&format!("SET rag.log_prompts = on; {GENERATE}")).await?;
    recorded(&session, 1).await?;
    let row = session.query_one("SELECT prompt::jsonb -> 0 ->> 'content', reply FROM rag.calls", &[]).await?;
    ensure!((row.get::<_, String>(0), row.get::<_, String>(1)) == ("hi".into(), "hello".into()));
    session.batch_execute("CREATE ROLE web; SET ROLE web").await?;
    ensure!(session.refusal("SET rag.log_prompts = off").await?.code == "42501");
    Ok(())
}

async fn every_role_sees_its_own_calls_and_auditors_see_all() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    session
        .batch_execute(
            "CREATE ROLE alice; CREATE ROLE bob; CREATE ROLE auditor; GRANT rag_auditor TO auditor;
             GRANT USAGE ON FOREIGN SERVER stub TO alice, bob; GRANT CREATE ON SCHEMA public TO alice;
             SET rag.log_prompts = on",
        )
        .await?;
    session
        .batch_execute(&format!("SET ROLE alice; {GENERATE}; SET ROLE bob; {GENERATE}; RESET ROLE"))
        .await?;
    recorded(&session, 2).await?;
    let seen = "SELECT coalesce(string_agg(role, ' ' ORDER BY role), '') FROM rag.calls";
    let used = "SELECT coalesce(string_agg(role, ' ' ORDER BY role), '') FROM rag.usage";
    for (role, expected) in
        [("alice", "alice"), ("bob", "bob"), ("auditor", "alice bob"), ("postgres", "alice bob")]
    {
        session.batch_execute(&format!("SET ROLE {role}")).await?;
        for view in [seen, used] {
            let found: String = session.value(view).await?;
            ensure!(found == expected, "{role} sees {found:?}");
        }
    }
    session
        .batch_execute(
            "SET ROLE alice; CREATE FUNCTION tell(text) RETURNS bool COST 0.0000001 LANGUAGE plpgsql AS
               $$ BEGIN RAISE NOTICE 'told %', $1; RETURN true; END $$;",
        )
        .await?;
    session.take_notices();
    session.query("SELECT FROM rag.calls WHERE tell(role::text)", &[]).await?;
    let told: Vec<String> = session.take_notices().into_iter().map(|notice| notice.message).collect();
    ensure!(told == ["told alice"], "{told:?}");
    for statement in [
        "SELECT * FROM rag._calls",
        "SELECT * FROM rag._spent",
        "SELECT * FROM rag.budgets",
        "SELECT * FROM rag._budget_periods",
        "INSERT INTO rag.budgets (period, max_calls) VALUES ('day', 1)",
        "DELETE FROM rag.calls",
        "UPDATE rag.calls SET role = 'bob'",
    ] {
        ensure!(session.refusal(statement).await?.code == "42501", "{statement}");
    }
    Ok(())
}

const COORDINATORS: &str = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ragstone coordinator'";

async fn calls_outlive_the_coordinator_and_are_written_once() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let name: String = session.value("SELECT current_database()::text").await?;
    let caller = server.connect(&name).await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    let many = "SELECT count(rag.generate('hi', 'stub/small')) FROM generate_series(1, 400)";
    let mut ended = 0;
    let working = async { caller.value::<i64>(many).await };
    tokio::pin!(working);
    let called = loop {
        tokio::select! {
            called = &mut working => break called?,
            rows = session.query(COORDINATORS, &[]) => for row in rows? {
                session.execute("SELECT pg_terminate_backend($1)", &[&row.get::<_, i32>(0)]).await?;
                ended += 1;
            }
        }
    };
    // The last coordinator may have exited with calls unwritten; the next call starts another one.
    wait::until("a session may register a coordinator again", async || {
        caller.batch_execute(GENERATE).await?;
        Ok((session.query(COORDINATORS, &[]).await?.len() == 1).then_some(()))
    })
    .await?;
    let requests = i64::try_from(provider.requests().len())?;
    ensure!(called == 400 && requests > 400 && ended > 0, "{called} calls, {ended} coordinators ended");
    recorded(&session, requests).await?;
    let counted: i64 = session.value("SELECT sum(calls)::bigint FROM rag._spent").await?;
    eprintln!("{ended} coordinators ended, {requests} calls, {counted} counted");
    ensure!(counted == requests);
    Ok(())
}

async fn a_coordinator_that_left_comes_back_for_calls() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_idle_timeout", "1s")).await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    for round in 1..=2 {
        session.batch_execute(GENERATE).await?;
        recorded(&session, round).await?;
        let gone = async || Ok(session.query(COORDINATORS, &[]).await?.is_empty().then_some(()));
        wait::until("the coordinator exits", gone).await?;
    }
    Ok(())
}

async fn old_calls_are_deleted() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.calls_retention", "30")).await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    session
        .batch_execute(
            "INSERT INTO rag._calls SELECT i, now() - i * interval '1 hour', 'web', 'generate', 'stub', 'small', 1, 1, 1, 1,
                                           'answered', NULL, 0 FROM generate_series(1, 3000) i",
        )
        .await?;
    session.batch_execute(GENERATE).await?;
    wait::until("calls older than 30 days are deleted", async || {
        let old = "SELECT count(*) FROM rag.calls WHERE began < now() - interval '720 hours'";
        Ok((session.value::<i64>(old).await? == 0).then_some(()))
    })
    .await?;
    recorded(&session, 30 * 24).await
}
