//! A role that may call a provider, and a provider that returns unexpected responses: calls are recorded, and
//! no unreadable value is stored.

use crate::accounting::{recorded, with_provider};
use crate::agents;
use crate::generate::with;
use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::process::Process;
use ragstone_tests::provider::{Provider, Reply};
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_flood_of_calls_pushes_none_off_the_record,
        an_embedding_that_no_vector_holds_is_kept_nowhere,
        an_answer_with_50_000_calls_of_tools_is_refused,
    ]
}

const ANSWER: &str = "SELECT rag.generate('answer', 'stub/small')";

/// Calls that fail, until one is refused because the records have no more room.
const FLOOD: &str = "
    DO $$ BEGIN
      FOR i IN 1..12000 LOOP
        BEGIN PERFORM rag.generate('fail', 'stub/small');
        EXCEPTION WHEN OTHERS THEN IF SQLSTATE = '53400' THEN RAISE; END IF; END;
      END LOOP;
    END $$";

async fn role(session: &Session, name: &str) -> Result<()> {
    let create = format!("CREATE ROLE {name}; GRANT USAGE ON FOREIGN SERVER stub TO {name}");
    Ok(session.batch_execute(&create).await?)
}

async fn a_flood_of_calls_pushes_none_off_the_record() -> Result<()> {
    let server = Server::start().await?;
    let admin = server.session().await?;
    let (mallory, victim) = (server.connect_beside(&admin).await?, server.connect_beside(&admin).await?);
    let provider = Provider::start([Reply::by(|seen| match seen.body.to_string().contains("fail") {
        true => Reply::status(400),
        false => Reply::chat("hello"),
    })])?;
    with_provider(&admin, &provider).await?;
    for (session, name) in [(&mallory, "mallory"), (&victim, "victim")] {
        role(&admin, name).await?;
        session.batch_execute(&format!("SET ROLE {name}; {ANSWER}")).await?;
    }
    recorded(&admin, 2).await?;
    let pid = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ragstone coordinator'";
    let coordinator = Process(admin.value(pid).await?);
    coordinator.signal(Signal::SIGSTOP);
    let flood = async {
        mallory.batch_execute(ANSWER).await?;
        mallory.refusal(FLOOD).await
    };
    let refusal = flood.await;
    let beside = victim.batch_execute(ANSWER).await;
    coordinator.signal(Signal::SIGCONT);
    refusal?.expect("53400", "", "")?;
    beside?;
    let made = i64::try_from(provider.requests().len())?;
    let refused = "SELECT count(*) FROM rag.calls WHERE sqlstate = '53400'";
    ragstone_tests::wait::until("all calls are recorded", async || {
        let found: i64 = admin.value("SELECT count(*) FROM rag.calls").await?;
        Ok((found - admin.value::<i64>(refused).await? == made).then_some(()))
    })
    .await?;
    let answered: String = admin
        .value(
            "SELECT string_agg(role || ' ' || n, ', ' ORDER BY role) FROM (
               SELECT role, count(*) AS n FROM rag.calls WHERE status = 'answered' GROUP BY role) r",
        )
        .await?;
    ensure!(answered == "mallory 2, victim 2" && made > 1000, "{answered} of {made}");
    Ok(())
}

async fn an_embedding_that_no_vector_holds_is_kept_nowhere() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(32_769)]).await?;
    session
        .batch_execute(
            "CREATE TABLE kept (embedding vector); CREATE TABLE notes (id int PRIMARY KEY, body text);
             INSERT INTO notes VALUES (1, 'a note')",
        )
        .await?;
    for dimensions in [16_001, 32_768, 40_000, 65_537] {
        provider.script([Reply::embeddings(dimensions)]);
        for statement in [
            "INSERT INTO kept SELECT rag.embed('one', 'stub/small')",
            "INSERT INTO kept SELECT unnest(rag.embed(ARRAY['one', 'two'], 'stub/small'))",
            "INSERT INTO kept SELECT rag.embed_batch(body, 'stub/small') OVER () FROM notes",
            "SELECT rag.create_collection('c', 'notes', 'body', model => 'stub/small', sync => 'manual')",
        ] {
            let refusal = session.refusal(statement).await?;
            ensure!(
                ["08P01", "22023", "54000", "0A000"].contains(&refusal.code.as_str()),
                "{dimensions}: {statement}: {refusal:?}"
            );
        }
    }
    let kept: i64 = session.value("SELECT count(embedding::text) FROM kept").await?;
    ensure!(kept == 0, "{kept} rows");
    Ok(())
}

async fn an_answer_with_50_000_calls_of_tools_is_refused() -> Result<()> {
    let (session, provider) =
        agents::with([Reply::calls(&vec![("note", r#"{"body": "x"}"#); 50_000])]).await?;
    let refusal = session.refusal("SELECT * FROM rag.run_agent('support', 'Where is my order?')").await?;
    refusal.expect("08P01", "is not what the protocol", "")?;
    ensure!(refusal.detail.contains("more than 128 calls of tools"), "{refusal:?}");
    ensure!(session.value::<i64>("SELECT count(*) FROM notes").await? == 0, "a tool was called");
    let logged: i64 = session.value("SELECT count(*) FROM rag.steps").await?;
    ensure!(logged < 5 && !provider.requests().is_empty(), "{logged} steps");
    Ok(())
}
