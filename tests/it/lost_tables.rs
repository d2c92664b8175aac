//! A collection that has lost its tables, or refers to tables of others as after a restore of old, touches none of these.

use crate::followed::current;
use crate::restore::{Format, dump, make, restore};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_collection_without_its_tables_is_not_dumped,
        nothing_but_the_tables_of_a_collection_is_dropped,
    ]
}

async fn a_collection_without_its_tables_is_not_dumped() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 5, 25, "background").await?;
    session
        .batch_execute(
            "CREATE SCHEMA app; CREATE TABLE app.pages (id int PRIMARY KEY, body text);
             INSERT INTO app.pages VALUES (1, 'a page about lighthouses');
             SELECT rag.create_collection('pages', 'app.pages', 'body');
             CREATE TABLE notes (id int PRIMARY KEY, body text); SELECT rag.create_collection('notes', 'notes', 'body')",
        )
        .await?;
    session.batch_execute("SELECT rag.wait_until_current('pages'), rag.wait_until_current('notes')").await?;
    session.batch_execute("DROP SCHEMA app CASCADE; DROP TABLE notes_terms").await?;
    for name in ["pages", "notes"] {
        let state: String =
            session.value_of("SELECT state FROM rag.collections WHERE name = $1", &[&name]).await?;
        ensure!(state == "failed", "{name}: {state}");
    }
    let path = dump(&server, &session, Format::Custom).await?;
    let restored = restore(&server, &path, Format::Custom).await?;
    let names: String = restored.value("SELECT string_agg(name, ',') FROM rag.collection").await?;
    ensure!(names == "c", "{names}");
    current(&restored).await?;
    restored.refusal("SELECT rag.drop_collection('pages')").await?.expect("42704", "does not exist", "")
}

async fn nothing_but_the_tables_of_a_collection_is_dropped() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 5, 25, "background").await?;
    // As where a number in a dump of old is another table's in this server.
    session
        .batch_execute(
            "CREATE TABLE shop (id int PRIMARY KEY, body text); INSERT INTO shop VALUES (1, 'an order');
             DROP TABLE c_chunks; UPDATE rag.collection SET chunk_table = 'shop'",
        )
        .await?;
    for statement in ["SELECT * FROM rag.search('c', 'order')", "SELECT rag.refresh_collection('c')"] {
        session.refusal(statement).await?.expect("42804", "of table public.shop", "rag.drop_collection")?;
    }
    session
        .batch_execute("INSERT INTO t (id, title, body) VALUES (100, '', 'more'); DELETE FROM t WHERE id = 1")
        .await?;
    session.batch_execute("SELECT rag.drop_collection('c')").await?;
    let notices = session.take_notices();
    ensure!(notices.iter().any(|notice| notice.message.contains("table public.shop is left")), "{notices:?}");
    let body: String = session.value("SELECT body FROM shop").await?;
    ensure!(body == "an order", "{body}");
    let terms: bool = session.value("SELECT to_regclass('c_terms') IS NULL").await?;
    ensure!(terms, "the collection's own table is still there");
    Ok(())
}
