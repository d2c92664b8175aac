//! The engine serves all roles in turn, however much one of them requests.

use anyhow::{Context, ensure};
use futures_util::future::{join, try_join_all};
use libtest_mimic::Trial;
use pgvector::Vector;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::cell::Cell;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![; alone:
        single_texts_of_one_role_do_not_starve_the_bulk_of_another,
        a_role_that_fills_the_queue_leaves_room_for_others,
    ]
}

/// Many times the number of responses that the flooding role gets while the other role gets its share.
const MAX_FLOOD_ANSWERS: usize = 20_000;

async fn single_texts_of_one_role_do_not_starve_the_bulk_of_another() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    session.execute("SELECT rag.embed('the model is loaded')", &[]).await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    session
        .batch_execute(
            "DROP ROLE IF EXISTS flood; CREATE ROLE flood LOGIN; GRANT USAGE ON SCHEMA rag TO flood",
        )
        .await?;
    let mut flooding = Vec::new();
    for _ in 0..6 {
        flooding.push(server.connect_as("flood", &database).await?);
    }
    let (answers, done) = (Cell::new(0), Cell::new(false));
    let flood = try_join_all(flooding.iter().map(|session| ask_until(session, &answers, &done)));
    let bulk = async {
        let sql = "SELECT cardinality(rag.embed(array_agg(repeat('the planner chooses an index ', 20) || g)))
                   FROM generate_series(1, 100) g";
        let texts = session.value::<i32>(sql).await;
        done.set(true);
        anyhow::Ok(texts?)
    };
    let (flooded, texts) = join(flood, bulk).await;
    ensure!(texts? == 100);
    flooded.context("the bulk of the other role starves")?;
    ensure!(answers.get() > 0, "the bulk went before all single texts");
    session.batch_execute("DROP OWNED BY flood; DROP ROLE flood").await?;
    Ok(())
}

/// Embeds single texts one after the other.
async fn ask_until(session: &Session, answers: &Cell<usize>, done: &Cell<bool>) -> Result<()> {
    while !done.get() {
        session.execute("SELECT rag.embed('which index suits a jsonb column')", &[]).await?;
        answers.set(answers.get() + 1);
        ensure!(answers.get() < MAX_FLOOD_ANSWERS, "{} answers", answers.get());
    }
    Ok(())
}

async fn a_role_that_fills_the_queue_leaves_room_for_others() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.engine_queue_limit", "300")).await?;
    let session = server.session().await?;
    session.batch_execute("CREATE ROLE flood LOGIN; GRANT USAGE ON SCHEMA rag TO flood").await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    let flood = server.connect_as("flood", &database).await?;
    let sql = "SELECT rag.embed(array_agg(repeat('the planner chooses an index ', 40) || g)) FROM generate_series(1, 900) g";
    flood.refusal(sql).await?.expect("53400", "is full", "rag.engine_queue_limit")?;
    wait::until("the texts of the refused call are dropped", async || {
        let waiting: i64 =
            session.value("SELECT coalesce(sum(waiting), 0)::bigint FROM rag._stat_engine()").await?;
        Ok((waiting == 0).then_some(()))
    })
    .await?;
    // The other role is served beside a request of the flooding role that the queue accepts.
    let waiting = async {
        let sql = "SELECT rag.embed(array_agg(repeat('the planner chooses an index ', 40) || g)) FROM generate_series(1, 128) g";
        anyhow::Ok(flood.value::<Vec<Vector>>(sql).await?.len())
    };
    let other = async {
        let sql = "SELECT rag.embed(array_agg('text ' || g)) FROM generate_series(1, 100) g";
        anyhow::Ok(session.value::<Vec<Vector>>(sql).await?.len())
    };
    let (waiting, other) = join(waiting, other).await;
    ensure!((waiting?, other?) == (128, 100));
    Ok(())
}
