//! Several workers of a database share what one of them has found out.

use crate::followed::{current, make};
use crate::generate::provide;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Gate, Provider, Reply, Script, gated};
use ragstone_tests::server::{Options, Server};
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![one_worker_finds_out_whether_a_provider_still_refuses]
}

/// More requests than one worker has under way for a collection, of a batch each.
const REQUESTS_OF_TWO_WORKERS: usize = 4;

async fn one_worker_finds_out_whether_a_provider_still_refuses() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_workers", "2")).await?;
    let session = server.session().await?;
    let (script, gate) = (Script::new(|seen| Reply::embeddings_of(&seen.body["input"], 8)), Gate::new());
    let provider = Provider::start([script.reply()])?;
    provide(&session, &provider).await?;
    // A batch of rows is one request.
    session.batch_execute("ALTER SERVER stub OPTIONS (ADD embedding_batch '128')").await?;
    make(&session, 3, "").await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')",
        )
        .await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    let (reply, asked) = gated(&gate, |_| Reply::status(401));
    script.set(reply);
    session.batch_execute("INSERT INTO notes SELECT i, 'note ' || i FROM generate_series(1, 2000) i").await?;
    wait::until("both workers ask", async || Ok((asked.count() >= REQUESTS_OF_TWO_WORKERS).then_some(())))
        .await?;
    gate.open();
    wait::until("the pauses have grown", async || {
        let grown = "SELECT coalesce(bool_or(next_try > clock_timestamp() + interval '600 ms'), false)
                     FROM rag.collections WHERE state = 'waiting'";
        Ok(session.value::<bool>(grown).await?.then_some(()))
    })
    .await?;
    let next = Gate::new();
    let (reply, asked) = gated(&next, |_| Reply::status(401));
    script.set(reply);
    wait::until("the provider is asked again", async || Ok((asked.count() > 0).then_some(()))).await?;
    for row in 4..8 {
        session.batch_execute(&format!("INSERT INTO t VALUES ({row}, 'of a local model')")).await?;
        current(&session).await?;
    }
    ensure!(asked.count() == 1, "{} requests at once", asked.count());
    let (reply, _) = gated(&next, |seen| Reply::embeddings_of(&seen.body["input"], 8));
    script.set(reply);
    session
        .batch_execute("ALTER USER MAPPING FOR PUBLIC SERVER stub OPTIONS (SET api_key 'sk-right')")
        .await?;
    next.open();
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    Ok(())
}
