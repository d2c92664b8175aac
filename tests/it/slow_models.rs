//! Work that takes longer than `rag.request_timeout` ends, and is done once.

use crate::followed::{current, embedded, make};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_long_row_is_embedded_once_and_holds_up_no_other_collection,
        many_texts_of_a_call_and_of_a_job_have_no_limit_together,
    ]
}

/// A server whose model needs seconds for what the tests ask of it, and whose sessions wait three seconds for a sign of progress.
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
