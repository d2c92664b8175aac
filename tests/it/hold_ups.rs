//! An owner whose tables hold up a worker, or whose code reports that the server is in trouble, delays only
//! the owner's own collections.

use crate::followed::{current, make};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        tables_of_an_owner_rest_together_where_several_hold_up_the_worker,
        errors_of_the_system_that_an_owners_code_raises_stop_no_other_collection,
    ]
}

/// Tables `mallory.t1` and so on, each with a collection, owned by the role that is returned.
async fn tables_of_mallory(session: &Session, tables: u32) -> Result<String> {
    let role: String = session.value("SELECT 'mallory_of_' || current_database()").await?;
    session
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN; CREATE SCHEMA mallory AUTHORIZATION {role}; SET ROLE {role}"
        ))
        .await?;
    for number in 1..=tables {
        session
            .batch_execute(&format!(
                "CREATE TABLE mallory.t{number} (id int PRIMARY KEY, body text);
                 SELECT rag.create_collection('m{number}', 'mallory.t{number}', 'body')"
            ))
            .await?;
    }
    session.batch_execute("RESET ROLE").await?;
    for number in 1..=tables {
        ensure!(session.value::<bool>(&format!("SELECT rag.wait_until_current('m{number}', '60s')")).await?);
    }
    Ok(role)
}

async fn tables_of_an_owner_rest_together_where_several_hold_up_the_worker() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let role = tables_of_mallory(&session, 6).await?;
    make(&session, 3, "").await?;
    let mallory =
        server.connect_as(&role, &session.value::<String>("SELECT current_database()::text").await?).await?;
    for number in 1..=6 {
        mallory.batch_execute(&format!("INSERT INTO mallory.t{number} VALUES (1, 'a text')")).await?;
    }
    mallory.batch_execute("BEGIN").await?;
    for number in 1..=6 {
        mallory
            .batch_execute(&format!(
                "LOCK TABLE mallory.t{number}; INSERT INTO mallory.t{number} VALUES (2, 'another')"
            ))
            .await?;
    }
    // The rows that are committed now are queued; they belong to locked tables.
    wait::until("a table rests because others of its owner hold up the worker", async || {
        session.batch_execute("UPDATE t SET body = body || '.' WHERE id = 1").await?;
        current(&session).await?;
        let rest = "SELECT count(*) FROM rag.collections WHERE state = 'waiting' AND reason LIKE '%other collections of the same owner%'";
        Ok((session.value::<i64>(rest).await? > 0).then_some(()))
    })
    .await?;
    mallory.batch_execute("COMMIT").await?;
    for number in 1..=6 {
        ensure!(session.value::<bool>(&format!("SELECT rag.wait_until_current('m{number}', '60s')")).await?);
    }
    let waiting: i64 = session.value("SELECT count(*) FROM rag.collections WHERE state <> 'current'").await?;
    ensure!(waiting == 0, "{waiting} collections are not current");
    Ok(())
}

async fn errors_of_the_system_that_an_owners_code_raises_stop_no_other_collection() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let role = tables_of_mallory(&session, 4).await?;
    make(&session, 3, "").await?;
    for (number, sqlstate) in ["58000", "53100", "57P01", "08006"].iter().enumerate() {
        let number = number + 1;
        session
            .batch_execute(&format!(
                "SET ROLE {role};
                 CREATE FUNCTION mallory.fail{number}(text) RETURNS bool LANGUAGE plpgsql AS
                   $$ BEGIN RAISE 'as if the server were ill' USING ERRCODE = '{sqlstate}'; END $$;
                 ALTER TABLE mallory.m{number}_chunks ADD CHECK (mallory.fail{number}(content)) NOT VALID;
                 INSERT INTO mallory.t{number} VALUES (1, 'a text'); RESET ROLE"
            ))
            .await?;
    }
    wait::until("each of them waits with its reason", async || {
        let reasons = "SELECT count(DISTINCT reason) FROM rag.collections
                       WHERE state = 'waiting' AND reason ~ '^(58000|53100|57P01|08006): as if'";
        Ok((session.value::<i64>(reasons).await? == 4).then_some(()))
    })
    .await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'of another owner')").await?;
    current(&session).await?;
    let log = server.log()?;
    ensure!(
        !log.lines().any(|line| line.contains("ragstone worker: ") && line.contains("ragstone worker: 5")),
        "all work has rested"
    );
    for number in 1..=4 {
        session
            .batch_execute(&format!(
                "ALTER TABLE mallory.m{number}_chunks DROP CONSTRAINT m{number}_chunks_content_check"
            ))
            .await?;
        ensure!(session.value::<bool>(&format!("SELECT rag.wait_until_current('m{number}', '60s')")).await?);
    }
    Ok(())
}
