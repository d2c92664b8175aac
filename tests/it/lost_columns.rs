//! A source that has lost or changed a column, or the text search configuration of its collection, which is then said by name.

use crate::followed::{converged, current};
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        each_statement_names_a_lost_column,
        a_column_that_is_lost_unseen_is_named,
        content_that_is_no_text_any_more_is_named,
        a_manual_collection_follows_renamed_columns,
        a_manual_collection_with_other_keys_is_refreshed,
        a_key_that_cannot_be_indexed_is_named,
        a_dropped_text_search_configuration_is_named,
        a_search_says_which_rows_it_lacks,
    ]
}

/// Statements that rely on the source's columns.
const STATEMENTS: [&str; 5] = [
    "SELECT * FROM rag.search('c', 'text', mode => 'text')",
    "SELECT * FROM rag.search('c', 'text', mode => 'vector')",
    "SELECT * FROM rag.search('c', 'text')",
    "SELECT * FROM rag.ask('c', 'Which text is it?')",
    "SELECT rag.refresh_collection('c')",
];

/// Makes the collection `c` of a table `t` with metadata.
async fn make(session: &Session, sync: &str) -> Result<()> {
    session
        .batch_execute(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, body text, title text, kind text);
             INSERT INTO t SELECT i, 'text number ' || i, 'title', 'short' FROM generate_series(1, 3) i;
             SELECT rag.create_collection('c', 't', 'body', title => 'title', metadata => '{{kind}}', sync => '{sync}')"
        ))
        .await?;
    if sync == "manual" { Ok(()) } else { current(session).await }
}

/// Fails unless each statement is refused, within the transaction that is open.
async fn refused(session: &Session, code: &str, message: &str, hint: &str) -> Result<()> {
    for statement in STATEMENTS {
        session.batch_execute("SAVEPOINT statement").await?;
        session.refusal(statement).await?.expect(code, message, hint).context(statement)?;
        session.batch_execute("ROLLBACK TO statement").await?;
    }
    Ok(())
}

async fn failed(session: &Session, reason: &str) -> Result<()> {
    let row = session.query_one("SELECT state, reason FROM rag.collections WHERE name = 'c'", &[]).await?;
    let (state, found): (String, Option<String>) = (row.get(0), row.get(1));
    ensure!(state == "failed", "{state}");
    ensure!(found.as_ref().is_some_and(|found| found.starts_with(reason)), "{found:?}");
    Ok(())
}

async fn each_statement_names_a_lost_column() -> Result<()> {
    for sync in ["background", "immediate", "manual"] {
        let session = shared().await?.session().await?;
        make(&session, sync).await?;
        for column in ["body", "title", "kind", "id"] {
            session.batch_execute(&format!("BEGIN; ALTER TABLE t DROP COLUMN {column} CASCADE")).await?;
            let message = format!("column \"{column}\" of the source of collection \"c\" no longer exists");
            failed(&session, &message).await.context(sync)?;
            refused(&session, "42703", &message, "Add it again").await.context(sync)?;
            session.batch_execute("ROLLBACK").await?;
        }
        let found: i64 = session.value("SELECT count(*) FROM rag.search('c', 'text')").await?;
        ensure!(found == 3, "{sync}: {found}");
    }
    Ok(())
}

async fn a_column_that_is_lost_unseen_is_named() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, "background").await?;
    session
        .batch_execute("BEGIN; SET LOCAL session_replication_role = replica; ALTER TABLE t DROP COLUMN title")
        .await?;
    let message = "column \"title\" of the source of collection \"c\" no longer exists";
    failed(&session, message).await?;
    refused(&session, "42703", message, "Add it again").await?;
    session.batch_execute("COMMIT").await?;
    session.refusal("SELECT rag.wait_until_current('c', '10s')").await?.expect("42703", message, "")?;
    session.batch_execute("ALTER TABLE t ADD title text").await?;
    converged(&session).await
}

async fn content_that_is_no_text_any_more_is_named() -> Result<()> {
    for sync in ["background", "immediate", "manual"] {
        let session = shared().await?.session().await?;
        make(&session, sync).await?;
        session.batch_execute("BEGIN; ALTER TABLE t ALTER body TYPE jsonb USING to_jsonb(body)").await?;
        let message = "content column \"body\" of the source of collection \"c\" has type jsonb, not text";
        failed(&session, message).await.context(sync)?;
        refused(&session, "42804", message, "Give it a text type again").await.context(sync)?;
        session
            .batch_execute("ALTER TABLE t ALTER body TYPE varchar(50) USING body #>> '{}'; COMMIT")
            .await?;
        let found: i64 = session.value("SELECT count(*) FROM rag.search('c', 'text')").await?;
        ensure!(sync != "manual" || found == 3, "{found}");
        if sync != "manual" {
            converged(&session).await?;
        }
    }
    Ok(())
}

async fn a_manual_collection_follows_renamed_columns() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, "manual").await?;
    for column in ["id", "body", "title", "kind"] {
        session.batch_execute(&format!("ALTER TABLE t RENAME {column} TO other_{column}")).await?;
        let found: i64 = session
            .value("SELECT count(*) FROM rag.search('c', 'text') WHERE title = 'title'")
            .await
            .context(column)?;
        ensure!(found == 3, "{column}: {found}");
    }
    session.batch_execute("INSERT INTO t VALUES (4, 'one more text', 'title', 'short')").await?;
    let added: i64 = session.value("SELECT added FROM rag.refresh_collection('c')").await?;
    ensure!(added == 1, "{added}");
    let queued: i64 = session.value("SELECT count(*) FROM rag._queue").await?;
    ensure!(queued == 0, "{queued} entries that nothing takes");
    Ok(())
}

async fn a_manual_collection_with_other_keys_is_refreshed() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, "manual").await?;
    session.batch_execute("ALTER TABLE t ALTER id TYPE bigint").await?;
    let found = "SELECT count(*) FROM rag.search('c', 'text')";
    ensure!(session.value::<i64>(found).await? == 3);
    session.batch_execute("ALTER TABLE t ALTER id TYPE uuid USING lpad(id::text, 32, '0')::uuid").await?;
    let message = "key column \"id\" of the source of collection \"c\" now has type uuid";
    failed(&session, message).await?;
    session.refusal(found).await?.expect("42804", message, "rag.refresh_collection('c')")?;
    let added: i64 = session.value("SELECT added FROM rag.refresh_collection('c')").await?;
    ensure!(added == 3, "{added}");
    ensure!(session.value::<i64>(found).await? == 3);
    let row = session.query_one("SELECT state, chunks FROM rag.collections", &[]).await?;
    ensure!(row.get::<_, String>(0) == "current" && row.get::<_, i64>(1) == 3, "{row:?}");
    Ok(())
}

async fn a_key_that_cannot_be_indexed_is_named() -> Result<()> {
    for sync in ["background", "manual"] {
        let session = shared().await?.session().await?;
        make(&session, sync).await?;
        session
            .batch_execute(
                "BEGIN; ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ALTER id DROP NOT NULL;
                 ALTER TABLE t ALTER id TYPE json USING to_json(id)",
            )
            .await?;
        let state: String = session.value("SELECT state FROM rag.collections").await?;
        ensure!(state == "failed", "{sync}: {state}");
        for statement in &STATEMENTS[..4] {
            session.batch_execute("SAVEPOINT statement").await?;
            let message = "key column \"id\" of the source of collection \"c\" now has type json";
            session.refusal(statement).await?.expect("42804", message, "").context(sync)?;
            session.batch_execute("ROLLBACK TO statement").await?;
        }
        session.batch_execute("ROLLBACK").await?;
    }
    Ok(())
}

async fn a_dropped_text_search_configuration_is_named() -> Result<()> {
    let session = shared().await?.session().await?;
    let create = "CREATE TEXT SEARCH CONFIGURATION roots (COPY = english)";
    session
        .batch_execute(&format!(
            "{create}; CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'a text');
             SELECT rag.create_collection('c', 't', 'body', language => 'roots')"
        ))
        .await?;
    current(&session).await?;
    let found = "SELECT count(*) FROM rag.search('c', 'text')";
    let message = "text search configuration public.roots of collection \"c\" no longer exists";
    for mend in [create, "SELECT rag.alter_collection('c', language => 'simple')"] {
        session.batch_execute("DROP TEXT SEARCH CONFIGURATION roots").await?;
        failed(&session, message).await?;
        session.refusal(found).await?.expect("42704", message, "rag.alter_collection('c', language => ")?;
        session.batch_execute(mend).await?;
        ensure!(session.value::<i64>(found).await? == 1);
        session.batch_execute("INSERT INTO t SELECT max(id) + 1 FROM t; DELETE FROM t WHERE id > 1").await?;
        current(&session).await?;
    }
    Ok(())
}

/// Rows that wait are spoken of where nothing is found, and a collection that does not go on in any case.
async fn a_search_says_which_rows_it_lacks() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, "background").await?;
    let search = async |word: &str| -> Result<Option<String>> {
        session.take_notices();
        session.query("SELECT * FROM rag.search('c', $1, mode => 'text')", &[&word]).await?;
        Ok(session.take_notices().pop().map(|notice| notice.message))
    };
    ensure!(search("text").await?.is_none());
    ensure!(search("kangaroo").await?.is_none());
    let locker = server.connect_beside(&session).await?;
    locker.batch_execute("BEGIN; SELECT FROM t WHERE id = 1 FOR UPDATE").await?;
    session
        .batch_execute("INSERT INTO rag._queue (collection, key) SELECT id, '{1}' FROM rag.collection")
        .await?;
    ensure!(search("text").await?.is_none(), "a notice beside ordinary writes");
    let said = search("kangaroo").await?;
    ensure!(said.as_deref() == Some("rows of collection \"c\" wait to be indexed"), "{said:?}");
    locker.batch_execute("ROLLBACK").await?;
    current(&session).await?;

    session.batch_execute("BEGIN; UPDATE rag.collection SET error = 'the model has gone'").await?;
    let said = search("text").await?;
    ensure!(
        said.as_deref() == Some("collection \"c\" does not follow its source: the model has gone"),
        "{said:?}"
    );
    session.batch_execute("ROLLBACK").await?;
    locker.batch_execute("BEGIN; LOCK TABLE c_chunks IN SHARE MODE").await?;
    session.batch_execute("UPDATE t SET body = 'about a kangaroo' WHERE id = 1").await?;
    wait::until("the collection waits", async || {
        let state: String = session.value("SELECT state FROM rag.collections").await?;
        Ok((state == "waiting").then_some(()))
    })
    .await?;
    let said = search("text").await?.unwrap_or_default();
    ensure!(said.starts_with("collection \"c\" lacks rows that wait to be indexed: 5"), "{said}");
    locker.batch_execute("ROLLBACK").await?;
    Ok(())
}
