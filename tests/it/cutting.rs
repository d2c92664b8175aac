//! Long documents do not hold up other work.

use anyhow::ensure;
use futures_util::future::join_all;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server, give_to_server, shared};
use ragstone_tests::wait;
use std::fs;
use std::path::Path;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![; alone:
        cancelled_cuts_leave_the_engine_to_others,
        a_long_line_does_not_keep_another_collection_waiting,
        other_collections_become_current_while_a_row_is_cut,
    ]
}

/// A line of JSON, repeated.
fn json(times: u32) -> String {
    format!(r#"repeat('{{"id":12345,"name":"some name","tags":["a","b"]}},', {times})"#)
}

async fn cancelled_cuts_leave_the_engine_to_others() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    session.execute("SELECT rag.embed('the engine runs')", &[]).await?;
    // The second document takes hours, because each chunk has only one new token.
    for options in ["", ", size => 4000, overlap => 3999"] {
        let cut = format!("SELECT count(*) FROM rag.chunk({}{options})", json(160_000));
        let (server, cut) = (&server, &cut);
        let cancelled = (0..4).map(|_| async move {
            let session = server.session().await?;
            session.batch_execute("SET statement_timeout = '500ms'").await?;
            session.refusal(cut).await?.expect("57014", "statement timeout", "")
        });
        join_all(cancelled).await.into_iter().collect::<Result<()>>()?;
        ensure!(session.value::<i64>("SELECT count(*) FROM rag.chunk('hello')").await? == 1);
        ensure!(session.value::<i32>("SELECT rag.count_tokens('hello')").await? > 0);
        ensure!(session.value::<i64>("SELECT count(*) FROM rag.status()").await? > 0);
        let long = format!("SELECT count(*) FROM rag.chunk({})", json(4000));
        ensure!(session.value::<i64>(&long).await? > 100);
    }
    Ok(())
}

/// A server with a model that is much faster than the default model.
async fn with_tiny_model() -> Result<Server> {
    let server = Server::prepare(Options::default())?;
    let models = server.folder().join("models");
    fs::create_dir(&models)?;
    give_to_server(&models)?;
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/engine/tests/fixtures/tiny-model");
    let model = models.join("tiny-model");
    fs::create_dir(&model)?;
    for file in ["manifest.json", "model.onnx", "tokenizer.json"] {
        fs::copy(fixture.join(file), model.join(file))?;
    }
    server.configure(&Options::default().set("rag.models_path", &models.display().to_string()))?;
    server.restart().await?;
    Ok(server)
}

async fn a_long_line_does_not_keep_another_collection_waiting() -> Result<()> {
    let server = with_tiny_model().await?;
    let session = server.session().await?;
    session
        .batch_execute(&format!(
            "CREATE TABLE big (id int PRIMARY KEY, body text);
             CREATE TABLE small (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('big', 'big', 'body', model => 'tiny-model', chunk_size => 256),
                    rag.create_collection('small', 'small', 'body', model => 'tiny-model');
             INSERT INTO big VALUES (1, {});
             INSERT INTO small VALUES (1, 'A small row about windmills')",
            json(100_000)
        ))
        .await?;
    for collection in ["small", "big"] {
        let wait = "SELECT rag.wait_until_current($1::text::name, '15 min')";
        ensure!(session.value_of::<bool>(wait, &[&collection]).await?, "{collection} is not current");
    }
    ensure!(session.value::<i64>("SELECT count(DISTINCT key_1) FROM small_chunks").await? == 1);
    ensure!(session.value::<i64>("SELECT count(*) FROM big_chunks").await? > 1000);
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 0);
    Ok(())
}

/// Splitting the row takes hours, because each of its chunks has only one new token.
async fn other_collections_become_current_while_a_row_is_cut() -> Result<()> {
    let server = with_tiny_model().await?;
    let session = server.session().await?;
    session
        .batch_execute(
            "CREATE TABLE big (id int PRIMARY KEY, body text);
             CREATE TABLE small (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('big', 'big', 'body', model => 'tiny-model', chunk_size => 4000, chunk_overlap => 3999),
                    rag.create_collection('small', 'small', 'body', model => 'tiny-model')",
        )
        .await?;
    for collection in ["small", "big"] {
        let wait = "SELECT rag.wait_until_current($1::text::name, '60s')";
        ensure!(session.value_of::<bool>(wait, &[&collection]).await?, "{collection} is not current");
    }
    session.batch_execute(&format!("INSERT INTO big VALUES (1, {})", json(100_000))).await?;
    wait::until("the row is being cut", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query = 'ragstone: reading 1 rows of collection big'";
        Ok((session.value::<i64>(sql).await? == 1).then_some(()))
    })
    .await?;
    for change in ["INSERT INTO small VALUES (1, 'A small row')", "UPDATE small SET body = 'A changed row'"] {
        session.batch_execute(change).await?;
        ensure!(session.value::<bool>("SELECT rag.wait_until_current('small', '60s')").await?, "{change}");
    }
    let content: String = session.value("SELECT content FROM small_chunks").await?;
    ensure!(content == "A changed row", "{content}");
    ensure!(session.value::<i64>("SELECT count(*) FROM big_chunks").await? == 0);
    ensure!(
        session.value::<i64>("SELECT queued FROM rag.stat_collection WHERE collection = 'big'").await? == 1
    );
    // Dropping the collection ends the split, and the engine is free again.
    session.batch_execute("SELECT rag.drop_collection('big')").await?;
    wait::until("the worker is idle", async || {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ragstone worker' AND state = 'idle'";
        Ok((session.value::<i64>(sql).await? == 1).then_some(()))
    })
    .await
}
