//! A collection that has lost its tables, or that refers to other tables after a restore of an old dump, uses
//! none of these.

use crate::followed::{converged, current};
use crate::restore::{Format, dump, make, restore};
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_collection_without_its_tables_is_not_dumped,
        nothing_but_the_tables_of_a_collection_is_dropped,
        neither_a_copy_nor_another_collections_table_is_dropped,
        neither_a_copy_nor_another_collections_table_is_used,
        a_table_of_others_is_not_given_away_with_a_source,
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
    // As after an old dump, in which an OID belongs to another table of this server.
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
    ensure!(
        notices.iter().any(|notice| notice.message.contains("table public.shop is not dropped")),
        "{notices:?}"
    );
    let body: String = session.value("SELECT body FROM shop").await?;
    ensure!(body == "an order", "{body}");
    let terms: bool = session.value("SELECT to_regclass('c_terms') IS NULL").await?;
    ensure!(terms, "the collection's own table is still there");
    Ok(())
}

async fn neither_a_copy_nor_another_collections_table_is_dropped() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 5, 25, "background").await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text); INSERT INTO notes VALUES (1, 'a note about ships');
             SELECT rag.create_collection('notes', 'notes', 'body')",
        )
        .await?;
    session.batch_execute("SELECT rag.wait_until_current('notes')").await?;
    for others in [
        "CREATE TABLE copy (LIKE c_chunks INCLUDING ALL); UPDATE rag.collection SET chunk_table = 'copy' WHERE name = 'c'",
        "UPDATE rag.collection SET chunk_table = 'notes_terms' WHERE name = 'c'",
    ] {
        session.batch_execute(&format!("BEGIN; {others}; SELECT rag.drop_collection('c')")).await?;
        let notices = session.take_notices();
        ensure!(
            notices.iter().any(|notice| notice.message.contains("is not dropped")),
            "{others}: {notices:?}"
        );
        let table = if others.contains("copy (") { "copy" } else { "notes_terms" };
        let is_there =
            format!("SELECT to_regclass('{table}') IS NOT NULL AND to_regclass('c_terms') IS NULL");
        ensure!(session.value::<bool>(&is_there).await?, "{others}");
        session.batch_execute("ROLLBACK").await?;
    }
    let found: i64 =
        session.value("SELECT count(*) FROM rag.search('notes', 'ships', mode => 'text')").await?;
    ensure!(found == 1, "{found} found");
    // The collection's own tables are dropped, even under another name, in a migration and after a dump.
    session.batch_execute("SELECT rag.alter_collection('c', chunk_size => 100)").await?;
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    session.batch_execute("ALTER TABLE c_chunks RENAME TO mine; SELECT rag.drop_collection('c')").await?;
    let left: i64 =
        session.value("SELECT count(*) FROM pg_class WHERE relname IN ('mine', 'c_terms') OR relname LIKE 'c\\_%\\_chunks'").await?;
    ensure!(left == 0, "{left} tables are left");
    Ok(())
}

async fn neither_a_copy_nor_another_collections_table_is_used() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 5, 25, "background").await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, title text, body text); INSERT INTO notes VALUES (1, '', 'a secret');
             SELECT rag.create_collection('notes', 'notes', 'body', 'title')",
        )
        .await?;
    session.batch_execute("SELECT rag.wait_until_current('notes')").await?;
    for (change, undo) in [
        (
            "UPDATE rag.collection SET chunk_table = 'copy' WHERE name = 'c'",
            "UPDATE rag.collection SET chunk_table = 'c_chunks' WHERE name = 'c'",
        ),
        (
            "UPDATE rag.collection SET chunk_table = 'copy' WHERE name = 'notes';
             UPDATE rag.collection SET chunk_table = 'notes_chunks' WHERE name = 'c'",
            "UPDATE rag.collection SET chunk_table = 'c_chunks' WHERE name = 'c';
             UPDATE rag.collection SET chunk_table = 'notes_chunks' WHERE name = 'notes'",
        ),
        (
            "UPDATE rag.collection SET terms_table = 'notes' WHERE name = 'notes';
             UPDATE rag.collection SET terms_table = 'notes_terms' WHERE name = 'c'",
            "UPDATE rag.collection SET terms_table = 'c_terms' WHERE name = 'c';
             UPDATE rag.collection SET terms_table = 'notes_terms' WHERE name = 'notes'",
        ),
        (
            "COMMENT ON TABLE c_chunks IS 'mine'",
            "COMMENT ON TABLE c_chunks IS 'internal: part of collection 1 (c), kept by ragstone'",
        ),
    ] {
        session
            .batch_execute("DROP TABLE IF EXISTS copy; CREATE TABLE copy (LIKE c_chunks INCLUDING ALL)")
            .await?;
        session.batch_execute(change).await?;
        is_not_used(&server.connect_beside(&session).await?).await.context(change)?;
        session.batch_execute(undo).await?;
    }
    session.batch_execute("SELECT rag.refresh_collection('c')").await?;
    converged(&session).await
}

/// Fails unless the collection `c` is refused because a table was not created for it, and nothing is written
/// to that table.
async fn is_not_used(session: &Session) -> Result<()> {
    let rows = "SELECT md5(string_agg(row_text, '')) FROM (SELECT n::text FROM notes_chunks n UNION ALL SELECT n::text FROM notes_terms n) r (row_text)";
    let before: String = session.value(rows).await?;
    for statement in [
        "SELECT * FROM rag.search('c', 'a secret', mode => 'text')",
        "SELECT * FROM rag.search('c', 'a secret', mode => 'vector')",
        "SELECT * FROM rag.search('c', 'a secret')",
        "SELECT rag.refresh_collection('c')",
        "SELECT rag.refresh_collection('c', text => true)",
        "SELECT rag.alter_collection('c', chunk_size => 100)",
    ] {
        let refusal = session.refusal(statement).await.context(statement)?;
        refusal.expect("42809", "was not made for the collection", "rag.drop_collection")?;
    }
    let written = "INSERT INTO t (id, title, body) SELECT coalesce(max(id), 0) + 1, '', 'more' FROM t; DELETE FROM t WHERE id = 1";
    session.batch_execute(written).await?;
    // The worker reports the same error.
    let refusal = session.refusal("SELECT rag.wait_until_current('c', '60s')").await?;
    refusal.expect("42809", "was not made for the collection", "rag.drop_collection")?;
    let state: String = session.value("SELECT state FROM rag.collections WHERE name = 'c'").await?;
    ensure!(state == "failed", "{state}");
    ensure!(session.value::<i64>("SELECT count(*) FROM copy").await? == 0, "a copy was filled");
    ensure!(session.value::<String>(rows).await? == before, "another collection was changed");
    Ok(())
}

async fn a_table_of_others_is_not_given_away_with_a_source() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 5, 25, "background").await?;
    session
        .batch_execute(
            "DO $$ BEGIN EXECUTE format('CREATE ROLE %I; CREATE ROLE %I', 'victim_of_' || current_database(), 'next_of_' || current_database()); END $$;
             CREATE TABLE copy (LIKE c_chunks INCLUDING ALL);
             DO $$ BEGIN EXECUTE format('ALTER TABLE copy OWNER TO %I; ALTER TABLE t OWNER TO %I',
                                        'victim_of_' || current_database(), 'next_of_' || current_database()); END $$;
             DROP TABLE c_chunks; UPDATE rag.collection SET chunk_table = 'copy'",
        )
        .await?;
    session.refusal("SELECT rag.refresh_collection('c')").await?.expect(
        "42501",
        "table public.copy cannot follow",
        "rag.drop_collection",
    )?;
    let owner: bool = session
        .value("SELECT pg_get_userbyid(relowner) LIKE 'victim%' FROM pg_class WHERE oid = 'copy'::regclass")
        .await?;
    ensure!(owner, "the table was given away");
    Ok(())
}
