//! Sources, names and texts that are unusual: what is said of them, and that it is said once.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        rows_without_anything_to_see_are_not_indexed,
        long_words_are_left_out_without_notices,
        a_content_column_that_is_no_text_any_more_is_said_and_followed_again,
        tables_of_a_successor_have_names_that_fit,
        a_left_over_table_is_said_to_be_ragstones_own,
        a_text_that_the_model_does_not_know_is_said_once_a_statement,
    ]
}

async fn rows_without_anything_to_see_are_not_indexed() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            r"CREATE TABLE t (id int PRIMARY KEY, body text);
              INSERT INTO t VALUES (1, 'a lighthouse'), (2, U&'\00A0'), (3, U&'\3000'), (4, U&'\2028 '), (5, U&'\200B\FEFF'), (6, '')",
        )
        .await?;
    let chunks: i64 =
        session.value("SELECT rag.create_collection('t', 't', 'body', sync => 'manual')").await?;
    ensure!(chunks == 1, "{chunks}");
    let added: i64 = session.value("SELECT added FROM rag.refresh_collection('t')").await?;
    ensure!(added == 0, "{added}");
    session.batch_execute(r"UPDATE t SET body = U&'\00A0a\3000' WHERE id = 2").await?;
    let added: i64 = session.value("SELECT added FROM rag.refresh_collection('t')").await?;
    ensure!(added == 1, "{added}");
    let rows: i64 = session.value("SELECT source_rows FROM rag.collection").await?;
    ensure!(rows == 2, "{rows}");
    Ok(())
}

async fn long_words_are_left_out_without_notices() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text);
             INSERT INTO t SELECT g, 'a word ' || repeat('x', 3000) FROM generate_series(1, 3) g",
        )
        .await?;
    session.take_notices();
    session.batch_execute("SELECT rag.create_collection('t', 't', 'body', sync => 'manual')").await?;
    let notices = session.take_notices();
    ensure!(notices.is_empty(), "{notices:?}");
    Ok(())
}

async fn a_content_column_that_is_no_text_any_more_is_said_and_followed_again() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            r#"CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, '"a lighthouse"');
               SELECT rag.create_collection('t', 't', 'body')"#,
        )
        .await?;
    session.batch_execute("SELECT rag.wait_until_current('t')").await?;
    session.batch_execute("ALTER TABLE t ALTER body TYPE jsonb USING body::jsonb").await?;
    let reason: Option<String> =
        session.value("SELECT reason FROM rag.collections WHERE state = 'failed'").await?;
    let reason = reason.context("no reason")?;
    ensure!(
        reason.contains("content column \"body\" of the source of collection \"t\" has type jsonb, not text"),
        "{reason}"
    );
    session.batch_execute("ALTER TABLE t ALTER body TYPE text USING body #>> '{}'").await?;
    wait::until("the row is indexed as it is", async || {
        let content: Option<String> = session.value("SELECT string_agg(content, ' ') FROM t_chunks").await?;
        Ok((content.as_deref() == Some("a lighthouse")).then_some(()))
    })
    .await
}

async fn tables_of_a_successor_have_names_that_fit() -> Result<()> {
    let session = shared().await?.session().await?;
    let name = "c".repeat(56);
    session
        .batch_execute(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, body text); SELECT rag.create_collection('{name}', 't', 'body')"
        ))
        .await?;
    session.take_notices();
    session.batch_execute(&format!("SELECT rag.alter_collection('{name}', chunk_size => 64)")).await?;
    let notices = session.take_notices();
    ensure!(notices.is_empty(), "{notices:?}");
    let named: i64 = session
        .value(
            r"SELECT count(*) FROM rag.collection
              WHERE chunk_table::text ~ '^c+(_\d+)?_chunks$' AND terms_table::text ~ '^c+(_\d+)?_terms$'",
        )
        .await?;
    ensure!(named == 2, "{named} collections have tables that are named as such");
    Ok(())
}

async fn a_left_over_table_is_said_to_be_ragstones_own() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text); CREATE TABLE u_terms (x int);
             SELECT rag.create_collection('t', 't', 'body', sync => 'manual');
             ALTER TABLE t_chunks RENAME TO v_chunks; CREATE TABLE w_chunks (LIKE v_chunks INCLUDING COMMENTS);
             COMMENT ON TABLE w_chunks IS 'internal: part of collection 1 (w), kept by ragstone'",
        )
        .await?;
    for (name, hint) in [
        ("u", "or drop that relation"),
        ("v", "or drop that relation"),
        (
            "w",
            "left over from a collection that no longer exists: drop \"public\".\"w_chunks\" and \"public\".\"w_terms\" if they exist",
        ),
    ] {
        let create = format!("SELECT rag.create_collection('{name}', 't', 'body')");
        session.refusal(&create).await?.expect("42P07", "already exists", hint)?;
    }
    Ok(())
}

async fn a_text_that_the_model_does_not_know_is_said_once_a_statement() -> Result<()> {
    let session = shared().await?.session().await?;
    for (input, told) in [
        ("'a lighthouse 😀'", 0),
        ("'ประเทศไทยมีอากาศร้อนมากในฤดูร้อน'", 1),
        ("ARRAY['product😀', 'a lighthouse', repeat('0a', 60)]", 1),
    ] {
        session.take_notices();
        session.batch_execute(&format!("SELECT rag.embed({input})")).await?;
        let notices = session.take_notices();
        ensure!(notices.len() == told, "{input}: {notices:?}");
        ensure!(notices.iter().all(|notice| notice.message.contains("does not know")), "{notices:?}");
    }
    Ok(())
}
