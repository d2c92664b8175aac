//! Reading never writes.

use anyhow::ensure;
use libtest_mimic::Trial;
use pgvector::Vector;
use ragstone_tests::Result;
use ragstone_tests::sample::{same, texts};
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_hot_standby_embeds_and_searches,
        a_read_only_transaction_embeds_and_searches,
        a_repeatable_read_transaction_searches_its_snapshot,
    ]
}

async fn with_collection(session: &Session) -> Result<()> {
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text)").await?;
    let insert = "INSERT INTO t SELECT o, b FROM unnest($1::text[]) WITH ORDINALITY u(b, o)";
    session.execute(insert, &[&texts(60, 25)]).await?;
    session.execute("SELECT rag.create_collection('c', 't', 'body', sync => 'manual')", &[]).await?;
    Ok(())
}

/// The keys that each mode finds.
async fn found(session: &Session) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for mode in ["hybrid", "vector", "text"] {
        let sql = "SELECT string_agg(source_key::text, ' ' ORDER BY rank) FROM rag.search('c', $1, k => 5, mode => $2)";
        all.push(session.value_of(sql, &[&"passage 17 vacuum removes dead tuples", &mode]).await?);
    }
    Ok(all)
}

async fn a_hot_standby_embeds_and_searches() -> Result<()> {
    let primary = Server::start().await?;
    let writer = primary.session().await?;
    with_collection(&writer).await?;
    let database: String = writer.value("SELECT current_database()::text").await?;
    let standby = Server::standby_of(&primary).await?;
    let reader = standby.connect(&database).await?;
    ensure!(reader.value::<bool>("SELECT pg_is_in_recovery()").await?);
    let embed = "SELECT rag.embed('vacuum')";
    same(&[reader.value::<Vector>(embed).await?], &[writer.value::<Vector>(embed).await?])?;
    ensure!(
        standby.engines().len() == 1 && primary.engines().len() == 1,
        "the standby has no engine of its own"
    );
    ensure!(found(&reader).await? == found(&writer).await?);

    // Rows that are added on the primary are found on the standby once the WAL was replayed.
    writer.batch_execute("INSERT INTO t VALUES (999, 'a capybara sleeps beside the river')").await?;
    writer.batch_execute("SELECT * FROM rag.refresh_collection('c')").await?;
    let reader = &reader;
    wait::until("the standby finds the new row", async || {
        let sql = "SELECT source_key ->> 'id' FROM rag.search('c', 'capybara', k => 1)";
        Ok((reader.value::<String>(sql).await? == "999").then_some(()))
    })
    .await?;
    let refusal = reader.refusal("SELECT * FROM rag.refresh_collection('c')").await?;
    ensure!(refusal.code == "25006", "{refusal:?}");
    Ok(())
}

async fn a_read_only_transaction_embeds_and_searches() -> Result<()> {
    let session = shared().await?.session().await?;
    with_collection(&session).await?;
    let expected = found(&session).await?;
    session.batch_execute("BEGIN READ ONLY").await?;
    session.execute("SELECT rag.embed('a')", &[]).await?;
    ensure!(found(&session).await? == expected);
    session.batch_execute("COMMIT").await?;
    Ok(())
}

async fn a_repeatable_read_transaction_searches_its_snapshot() -> Result<()> {
    let session = shared().await?.session().await?;
    with_collection(&session).await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    let other = shared().await?.connect(&database).await?;
    let search = "SELECT source_key ->> 'id' FROM rag.search('c', 'capybara river', k => 1)";
    session.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let before: String = session.value(search).await?;
    other.batch_execute("INSERT INTO t VALUES (999, 'a capybara sleeps beside the river')").await?;
    other.batch_execute("SELECT * FROM rag.refresh_collection('c')").await?;
    ensure!(session.value::<String>(search).await? == before);
    session.batch_execute("COMMIT").await?;
    ensure!(session.value::<String>(search).await? == "999");
    Ok(())
}
