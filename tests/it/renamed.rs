//! Collections that get another name, and those that exist already or not at all.

use crate::followed::make;
use crate::generate::with;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::Reply;
use ragstone_tests::server::shared;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        what_refers_to_a_collection_follows_its_name,
        names_that_cannot_be_taken_are_refused,
        only_the_owner_renames_and_pauses,
        a_collection_that_exists_is_skipped,
        a_collection_that_does_not_exist_is_skipped,
    ]
}

async fn what_refers_to_a_collection_follows_its_name() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    make(&session, 3, ", model => 'stub/small'").await?;
    session
        .batch_execute(
            "SELECT rag.create_search_tool('c', 'look_up', description => 'Finds texts.');
             SELECT rag.create_session('s', collection => 'c');
             SELECT * FROM rag.search('c', 'number')",
        )
        .await?;
    session.batch_execute("BEGIN").await?;
    let search: i64 = session
        .value("SELECT rag.submit('search', '{\"collection\": \"c\", \"query\": \"number\", \"mode\": \"text\"}')")
        .await?;
    let refresh: i64 = session.value("SELECT rag.submit('refresh', '{\"name\": \"c\"}')").await?;
    session.batch_execute("SELECT rag.rename_collection('c', 'Ä \"new\" one'); COMMIT").await?;
    for job in [search, refresh] {
        session.batch_execute(&format!("CALL rag.wait_for_job({job}, '60s')")).await?;
        let result: Option<String> = session.value_of("SELECT rag.job_result($1)::text", &[&job]).await?;
        ensure!(result.is_some(), "job {job} has no result");
    }
    let tables: Vec<String> = session
        .value("SELECT ARRAY[chunk_table::regclass::text, terms_table::regclass::text] FROM rag.collection")
        .await?;
    ensure!(tables == ["\"Ä \"\"new\"\" one_chunks\"", "\"Ä \"\"new\"\" one_terms\""], "{tables:?}");
    let referring: String = session
        .value(
            "SELECT concat_ws(', ', t.collection, t.usable, s.collection) FROM rag.tools t, rag.sessions s",
        )
        .await?;
    ensure!(referring == "Ä \"new\" one, t, Ä \"new\" one", "{referring}");
    let content: String =
        session.value("SELECT content FROM rag.call_tool('look_up', '{\"query\": \"number 2\"}')").await?;
    ensure!(content.contains("text number 2"), "{content}");
    session.refusal("SELECT * FROM rag.search('c', 'number')").await?.expect(
        "42704",
        "collection \"c\" does not exist",
        "rag.collections",
    )?;
    // It follows its source, and its former name is free.
    session.batch_execute("INSERT INTO t VALUES (4, 'a capybara', 'new')").await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('Ä \"new\" one', '1min')").await?);
    let found: i64 =
        session.value("SELECT count(*) FROM rag.search('Ä \"new\" one', 'capybara', mode => 'text')").await?;
    ensure!(found == 1, "{found} rows are found");
    session
        .batch_execute(
            "SELECT rag.create_collection('c', 't', 'body', model => 'stub/small', sync => 'manual')",
        )
        .await?;
    session.batch_execute("SELECT rag.drop_collection('Ä \"new\" one')").await?;
    let left: String = session.value("SELECT string_agg(name, ', ') FROM rag.collections").await?;
    ensure!(left == "c", "{left}");
    Ok(())
}

async fn names_that_cannot_be_taken_are_refused() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    make(&session, 3, ", model => 'stub/small'").await?;
    session
        .batch_execute(
            "SELECT rag.create_collection('d', 't', 'body', model => 'stub/small', sync => 'manual');
             CREATE TABLE e_terms (x int)",
        )
        .await?;
    let long = "n".repeat(57);
    let refusals = [
        ("d", "42710", "collection \"d\" already exists", "Choose another name"),
        ("c", "42710", "collection \"c\" already exists", "Choose another name"),
        ("", "42602", "new_name must have 1 to 56 bytes, not 0", ""),
        (long.as_str(), "42602", "new_name must have 1 to 56 bytes, not 57", ""),
        ("e", "42P07", "relation \"e_terms\" already exists", "Choose another name"),
    ];
    for (name, code, message, hint) in refusals {
        let message = message.replace("relation \"e_terms\"", "relation \"public\".\"e_terms\"");
        session
            .refusal(&format!("SELECT rag.rename_collection('c', '{name}')"))
            .await?
            .expect(code, &message, hint)?;
    }
    session.refusal("SELECT rag.rename_collection('none', 'x')").await?.expect(
        "42704",
        "collection \"none\" does not exist",
        "",
    )?;
    session.batch_execute("SELECT rag.alter_collection('c', chunk_size => 64)").await?;
    session.refusal("SELECT rag.rename_collection('c', 'x')").await?.expect(
        "55006",
        "collection \"c\" is in a migration",
        "rag.finish_migration",
    )?;
    let tables: String =
        session.value("SELECT chunk_table::text FROM rag.collections WHERE name = 'c'").await?;
    ensure!(tables == "c_chunks", "{tables}");
    // Otherwise a worker of this database would wait for the provider, which ends with the test.
    session.batch_execute("SELECT rag.rollback_migration('c')").await?;
    Ok(())
}

async fn only_the_owner_renames_and_pauses() -> Result<()> {
    let server = shared().await?;
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    make(&session, 3, ", model => 'stub/small'").await?;
    let role: String = session.value("SELECT 'other_' || pg_backend_pid()").await?;
    session
        .batch_execute(&format!(
            "CREATE ROLE {role}; GRANT SELECT ON t TO {role}; GRANT USAGE ON SCHEMA rag TO {role}"
        ))
        .await?;
    let other = server.connect_beside(&session).await?;
    other.batch_execute(&format!("SET ROLE {role}")).await?;
    for (call, action) in [
        ("rag.rename_collection('c', 'x')", "rename"),
        ("rag.pause_collection('c')", "pause"),
        ("rag.resume_collection('c')", "resume"),
    ] {
        let message = format!("must be owner of table public.t to {action} its collection");
        other.refusal(&format!("SELECT {call}")).await?.expect("42501", &message, "")?;
    }
    Ok(())
}

async fn a_collection_that_exists_is_skipped() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(8)]).await?;
    make(&session, 3, ", model => 'stub/small'").await?;
    let asked = provider.requests().len();
    session.take_notices();
    let chunks: Option<i64> = session
        .value("SELECT rag.create_collection('c', 't', 'title', if_not_exists => true, model => 'no such')")
        .await?;
    ensure!(chunks.is_none(), "{chunks:?}");
    let notices = session.take_notices();
    ensure!(
        notices.len() == 1 && notices[0].message == "collection \"c\" already exists, skipping",
        "{notices:?}"
    );
    ensure!(provider.requests().len() == asked);
    let content: String = session.value("SELECT content FROM rag.collections").await?;
    ensure!(content == "body", "{content}");
    session
        .refusal("SELECT rag.create_collection('c', 't', 'title', if_not_exists => false)")
        .await?
        .expect("42710", "collection \"c\" already exists", "rag.refresh_collection")?;
    let chunks: Option<i64> = session
        .value(
            "SELECT rag.create_collection('d', 't', 'body', if_not_exists => true, model => 'stub/small', sync => 'manual')",
        )
        .await?;
    ensure!(chunks == Some(3), "{chunks:?}");
    Ok(())
}

async fn a_collection_that_does_not_exist_is_skipped() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    make(&session, 3, ", model => 'stub/small'").await?;
    session.take_notices();
    session.batch_execute("SELECT rag.drop_collection('none', if_exists => true)").await?;
    let notices = session.take_notices();
    ensure!(
        notices.len() == 1 && notices[0].message == "collection \"none\" does not exist, skipping",
        "{notices:?}"
    );
    session.refusal("SELECT rag.drop_collection('none')").await?.expect(
        "42704",
        "collection \"none\" does not exist",
        "",
    )?;
    session.batch_execute("SELECT rag.drop_collection('c', if_exists => true)").await?;
    let left: i64 = session.value("SELECT count(*) FROM rag.collections").await?;
    ensure!(left == 0);
    Ok(())
}
