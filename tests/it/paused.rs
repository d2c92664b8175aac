//! Paused collections: changes are queued, nothing is indexed, and searches go on.

use crate::followed::{create, current, make, same};
use crate::generate::with;
use crate::restore::{self, Format, dump};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::provider::{Gate, Reply};
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use ragstone_tests::{Result, wait};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        changes_are_queued_and_searches_go_on,
        a_batch_in_progress_is_not_written,
        a_paused_fill_goes_on_after_a_resume,
        a_paused_migration_goes_on_after_a_resume,
        a_refresh_works_on_a_paused_collection,
        a_dump_keeps_the_pause,
        what_cannot_be_paused_is_refused,
    ]
}

const STUB: &str = ", model => 'stub/small'";

/// Fails unless both views show the collection `c` in this state with its beginning.
async fn shown(session: &Session, state: &str) -> Result<()> {
    let shown: String = session
        .value(
            "SELECT format('%s %s %s', c.state, s.state, c.since = s.since)
             FROM rag.collections c JOIN rag.stat_collection s ON s.collection = c.name WHERE c.name = 'c'",
        )
        .await?;
    ensure!(shown == format!("{state} {state} t"), "{shown}");
    Ok(())
}

/// Has a worker index a row of another collection, so that it has looked at what is queued before.
async fn worker_has_looked(session: &Session) -> Result<()> {
    session
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS u (id serial PRIMARY KEY, body text); INSERT INTO u (body) VALUES ('another ' || random());
             SELECT rag.create_collection('d', 'u', 'body', model => 'stub/small', if_not_exists => true)",
        )
        .await?;
    session.batch_execute("INSERT INTO u (body) VALUES ('one more ' || random())").await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('d', '1min')").await?);
    Ok(())
}

async fn chunks(session: &Session) -> Result<Vec<String>> {
    session.value("SELECT coalesce(array_agg(content ORDER BY key_1), '{}') FROM c_chunks").await
}

async fn changes_are_queued_and_searches_go_on() -> Result<()> {
    for sync in ["background", "immediate"] {
        let (session, _provider) = with([Reply::embeddings(8)]).await?;
        make(&session, 3, &format!("{STUB}, sync => '{sync}'")).await?;
        session.batch_execute("SELECT rag.pause_collection('c')").await?;
        shown(&session, "paused").await?;
        session
            .batch_execute(
                "INSERT INTO t VALUES (4, 'a capybara', 'new'); UPDATE t SET body = 'changed text' WHERE id = 2;
                 DELETE FROM t WHERE id = 1",
            )
            .await?;
        worker_has_looked(&session).await?;
        ensure!(
            chunks(&session).await? == ["text number 2", "text number 3"],
            "{sync}: {:?}",
            chunks(&session).await?
        );
        shown(&session, "paused").await?;
        let left: i64 = session.value("SELECT rows_left FROM rag.collections WHERE name = 'c'").await?;
        ensure!(left == 3, "{sync}: {left} rows are queued");
        let found: Vec<String> = session
            .value("SELECT array_agg(source_key ->> 'id') FROM rag.search('c', 'number', mode => 'text')")
            .await?;
        ensure!(found == ["3"], "{sync}: found {found:?}");
        let notices = session.take_notices();
        ensure!(
            notices.iter().any(|notice| notice.message.contains("\"c\" is paused and lacks rows")),
            "{notices:?}"
        );
        session.refusal("SELECT rag.wait_until_current('c')").await?.expect(
            "55000",
            "collection \"c\" is paused",
            "rag.resume_collection",
        )?;
        session.refusal("SELECT rag.alter_collection('c', chunk_size => 64)").await?.expect(
            "55000",
            "collection \"c\" is paused",
            "rag.resume_collection",
        )?;
        // A second call changes nothing.
        let since = "SELECT since::text FROM rag.collections WHERE name = 'c'";
        let before: String = session.value(since).await?;
        session.batch_execute("SELECT rag.pause_collection('c')").await?;
        ensure!(session.value::<String>(since).await? == before);
        session.batch_execute("SELECT rag.resume_collection('c'); SELECT rag.resume_collection('c')").await?;
        current(&session).await?;
        same(&session).await?;
        shown(&session, "current").await?;
    }
    Ok(())
}

async fn a_batch_in_progress_is_not_written() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(8)]).await?;
    make(&session, 3, STUB).await?;
    let gate = Gate::new();
    provider.script([Reply::embeddings(8).behind(&gate)]);
    let before = provider.requests().len();
    session.batch_execute("UPDATE t SET body = 'a capybara' WHERE id = 2").await?;
    ensure!(provider.wait_for_requests(before + 1), "the change is not embedded");
    session.batch_execute("SELECT rag.pause_collection('c')").await?;
    gate.open();
    provider.script([Reply::embeddings(8)]);
    worker_has_looked(&session).await?;
    ensure!(chunks(&session).await?[1] == "text number 2", "written after the pause");
    session.batch_execute("SELECT rag.resume_collection('c')").await?;
    current(&session).await?;
    same(&session).await
}

async fn a_paused_fill_goes_on_after_a_resume() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(8)]).await?;
    session
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text, title text); INSERT INTO t VALUES (1, 'one', 'title')")
        .await?;
    let gate = Gate::new();
    provider.script([Reply::embeddings(8), Reply::embeddings(8).behind(&gate)]);
    session
        .batch_execute(
            "SELECT rag.create_collection('c', 't', 'body', title => 'title', model => 'stub/small')",
        )
        .await?;
    ensure!(provider.wait_for_requests(2));
    session.batch_execute("SELECT rag.pause_collection('c')").await?;
    gate.open();
    provider.script([Reply::embeddings(8)]);
    worker_has_looked(&session).await?;
    ensure!(chunks(&session).await?.is_empty());
    shown(&session, "paused").await?;
    session.batch_execute("SELECT rag.resume_collection('c')").await?;
    current(&session).await?;
    same(&session).await
}

async fn a_paused_migration_goes_on_after_a_resume() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    make(&session, 3, STUB).await?;
    session
        .batch_execute("BEGIN; SELECT rag.alter_collection('c', chunk_size => 64); SELECT rag.pause_collection('c'); COMMIT")
        .await?;
    worker_has_looked(&session).await?;
    ensure!(session.value::<String>("SELECT state FROM rag.migrations").await? == "building");
    session.batch_execute("SELECT rag.resume_collection('c')").await?;
    wait::until("the migration switches", async || {
        let state: String = session.value("SELECT state FROM rag.migrations").await?;
        Ok((state == "switched").then_some(()))
    })
    .await?;
    // Both follow the source, and both are paused.
    session
        .batch_execute("SELECT rag.pause_collection('c'); INSERT INTO t VALUES (4, 'four', 'title')")
        .await?;
    worker_has_looked(&session).await?;
    let queued: i64 = session.value("SELECT count(DISTINCT collection) FROM rag._queue").await?;
    ensure!(queued == 2, "{queued} collections have queued rows");
    session.batch_execute("SELECT rag.rollback_migration('c')").await?;
    shown(&session, "paused").await?;
    session.batch_execute("SELECT rag.resume_collection('c')").await?;
    current(&session).await?;
    same(&session).await
}

async fn a_refresh_works_on_a_paused_collection() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    make(&session, 3, STUB).await?;
    session
        .batch_execute("SELECT rag.pause_collection('c'); INSERT INTO t VALUES (4, 'four', 'title')")
        .await?;
    let added: i64 = session.value("SELECT added FROM rag.refresh_collection('c')").await?;
    ensure!(added == 1, "{added} rows were added");
    same(&session).await?;
    shown(&session, "paused").await
}

async fn a_dump_keeps_the_pause() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    restore::make(&session, 10, 10, "background").await?;
    session
        .batch_execute("SELECT rag.pause_collection('c'); UPDATE t SET body = 'changed' WHERE id = 1")
        .await?;
    let path = dump(&server, &session, Format::Custom).await?;
    let restored = restore::restore(&server, &path, Format::Custom).await?;
    shown(&restored, "paused").await?;
    restored.batch_execute("SELECT rag.resume_collection('c')").await?;
    current(&restored).await?;
    same(&restored).await
}

async fn what_cannot_be_paused_is_refused() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text, title text)").await?;
    create(&session, STUB).await?;
    session
        .batch_execute(
            "SELECT rag.create_collection('m', 't', 'body', sync => 'manual', model => 'stub/small')",
        )
        .await?;
    session.refusal("SELECT rag.pause_collection('m')").await?.expect(
        "55000",
        "collection \"m\" is manual",
        "rag.refresh_collection",
    )?;
    for function in ["pause", "resume"] {
        session.refusal(&format!("SELECT rag.{function}_collection('none')")).await?.expect(
            "42704",
            "collection \"none\" does not exist",
            "rag.collections",
        )?;
    }
    session.batch_execute("CREATE TABLE gone (id int PRIMARY KEY, body text); DROP TABLE t").await?;
    // A collection that cannot follow its source is failed, paused or not.
    session.refusal("SELECT rag.pause_collection('c')").await?.expect(
        "42P01",
        "the source of collection \"c\"",
        "",
    )
}
