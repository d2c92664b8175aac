//! Work that takes longer than `rag.request_timeout` finishes, and is done once.

use crate::followed::{current, embedded, make};
use crate::generate::with;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Gate, Reply, Script, gated};
use ragstone_tests::server::{Options, Server};
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_long_row_is_embedded_once_and_holds_up_no_other_collection,
        many_texts_of_a_call_and_of_a_job_have_no_limit_together,
        a_row_of_10_mb_shows_its_progress_and_ends,
    ]
}

/// A server whose model needs seconds for the tests' requests, and whose sessions wait three seconds for a
/// progress message.
async fn server() -> Result<Server> {
    let options = Options::default()
        .set("rag.engine_runtime", "onnxruntime")
        .set("rag.engine_threads", "1")
        .set("rag.request_timeout", "3s");
    Server::start_with(options).await
}

async fn a_long_row_is_embedded_once_and_holds_up_no_other_collection() -> Result<()> {
    let server = server().await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    let before = embedded(&session).await?;
    session
        .batch_execute(
            "CREATE TABLE docs (id int PRIMARY KEY, body text);
             INSERT INTO docs SELECT 1, string_agg(md5(i::text), ' ') FROM generate_series(1, 1200) i;
             INSERT INTO docs SELECT n, string_agg(md5(i::text), ' ') FROM generate_series(2, 11) n,
               generate_series(n * 10000, n * 10000 + 100) i GROUP BY n;
             SELECT rag.create_collection('docs', 'docs', 'body');
             INSERT INTO t VALUES (4, 'a row of another collection')",
        )
        .await?;
    current(&session).await?;
    let is_filling: bool =
        session.value("SELECT state = 'filling' FROM rag.collections WHERE name = 'docs'").await?;
    ensure!(is_filling, "the other collection had to wait for the long row");
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('docs', '10min')").await?);
    let texts: i64 = session.value("SELECT count(DISTINCT content_hash) FROM docs_chunks").await?;
    let embedded = embedded(&session).await? - before - 1;
    ensure!(texts > 100 && embedded == texts, "{embedded} texts were embedded, expected {texts}");
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 0);
    Ok(())
}

async fn many_texts_of_a_call_and_of_a_job_have_no_limit_together() -> Result<()> {
    let server = server().await?;
    let session = server.session().await?;
    let texts = "SELECT array_agg('text ' || i || repeat(' and some more words', 20)) AS texts FROM generate_series(1, 300) i";
    let embedded: i64 =
        session.value(&format!("SELECT count(*) FROM ({texts}) t, unnest(rag.embed(texts)) v")).await?;
    ensure!(embedded == 300, "{embedded} embeddings");
    let job: i64 = session
        .value(&format!("SELECT rag.submit('embed', jsonb_build_object('input', texts)) FROM ({texts}) t"))
        .await?;
    session.batch_execute(&format!("CALL rag.wait_for_job({job})")).await?;
    let status: String = session.value(&format!("SELECT status FROM rag.jobs WHERE id = {job}")).await?;
    ensure!(status == "done", "{status}");
    Ok(())
}

async fn a_row_of_10_mb_shows_its_progress_and_ends() -> Result<()> {
    let script = Script::new(|seen| Reply::embeddings_of(&seen.body["input"], 8));
    let (session, provider) = with([script.reply()]).await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text); INSERT INTO notes VALUES (1, 'a note');
             SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')",
        )
        .await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    make(&session, 3, "").await?;
    let gate = Gate::new();
    let (held_back, _) = gated(&gate, |seen| Reply::embeddings_of(&seen.body["input"], 8));
    let answered = provider.requests().len() + 4;
    let asked = std::sync::atomic::AtomicUsize::new(provider.requests().len());
    script.set(move |seen| match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < answered {
        true => Reply::embeddings_of(&seen.body["input"], 8),
        false => held_back(seen),
    });
    session
        .batch_execute("INSERT INTO notes SELECT 2, string_agg('sentence ' || i || ' of a long row.', ' ') FROM generate_series(1, 340000) i")
        .await?;
    wait::until("some of its chunks are written", async || {
        let progress = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^ragstone: embedding collection notes: [1-9][0-9]* of [0-9]+ chunks'";
        Ok((session.value::<i64>(progress).await? > 0).then_some(()))
    })
    .await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'a row of another collection')").await?;
    current(&session).await?;
    gate.open();
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '10min')").await?);
    let row = session
        .query_one(
            "SELECT count(*) > 5000, sum(length(content)) > 9000000 FROM notes_chunks WHERE key_1 = 2",
            &[],
        )
        .await?;
    ensure!(row.get::<_, bool>(0) && row.get::<_, bool>(1), "{row:?}");
    Ok(())
}
