//! Code of a table's owner, or of the owner of a type, does not run as whoever searches or owns the table later.

use crate::followed::current;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use serde_json::{Value, json};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_search_runs_no_cast_of_a_type_of_a_user,
        a_search_finds_its_types_in_spite_of_the_search_path,
        policies_that_are_forced_on_the_owner_neither_run_nor_hide_rows,
    ]
}

/// A role `NAME_of_DATABASE` with a schema of its own.
async fn attacker(session: &Session) -> Result<String> {
    let name: String = session.value("SELECT 'mallory_of_' || current_database()").await?;
    session.batch_execute(&format!("CREATE ROLE {name}; CREATE SCHEMA mallory AUTHORIZATION {name}")).await?;
    Ok(name)
}

/// A table of the role's with a key, a title and metadata of types for which that role has written casts.
const TABLE: &str = "
    CREATE TYPE mallory.mood AS ENUM ('fine', 'bad');
    CREATE TYPE mallory.pair AS (mood mallory.mood, number int);
    CREATE FUNCTION mallory.trap_json(mallory.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RAISE 'a cast ran'; END $$;
    CREATE FUNCTION mallory.trap_text(mallory.mood) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'a cast ran'; END $$;
    CREATE CAST (mallory.mood AS json) WITH FUNCTION mallory.trap_json;
    CREATE CAST (mallory.mood AS text) WITH FUNCTION mallory.trap_text;
    CREATE TABLE mallory.conf (id mallory.mood PRIMARY KEY, title mallory.mood, body text, year int, mood mallory.mood,
                               moods mallory.mood[], pair mallory.pair);
    INSERT INTO mallory.conf VALUES ('bad', 'bad', 'the fox is red', 2020, 'fine', '{fine,bad}', '(fine,3)');
    SELECT rag.create_collection('c', 'mallory.conf', 'body', title => 'title', metadata => '{year,mood,moods,pair}')";

async fn a_search_runs_no_cast_of_a_type_of_a_user() -> Result<()> {
    let session = shared().await?.session().await?;
    let mallory = attacker(&session).await?;
    session.batch_execute(&format!("SET ROLE {mallory}; {TABLE}; RESET ROLE")).await?;
    current(&session).await?;
    let row = session
        .query_one(
            "SELECT source_key, title, metadata FROM rag.search('c', 'fox', filter => '{\"year\": 2020}')",
            &[],
        )
        .await?;
    let (key, title, metadata): (Value, String, Value) = (row.get(0), row.get(1), row.get(2));
    ensure!(key == json!({ "id": "bad" }) && title == "bad", "{row:?}");
    ensure!(
        metadata == json!({ "year": 2020, "mood": "fine", "moods": "{fine,bad}", "pair": "(fine,3)" }),
        "{metadata}"
    );
    // Changes, comparisons and refreshes read the same columns.
    session.batch_execute("UPDATE mallory.conf SET mood = 'bad'; SELECT rag.refresh_collection('c')").await?;
    current(&session).await?;
    let failed: i64 = session.value("SELECT count(*) FROM rag.failed").await?;
    ensure!(failed == 0, "{failed} rows failed");
    let found: i64 =
        session.value("SELECT count(*) FROM rag.search('c', 'fox', filter => '{\"mood\": \"bad\"}')").await?;
    ensure!(found == 1, "{found} found");
    Ok(())
}

async fn a_search_finds_its_types_in_spite_of_the_search_path() -> Result<()> {
    let session = shared().await?.session().await?;
    attacker(&session).await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, title int, body text);
             INSERT INTO t VALUES (1, 4096, 'the fox is red');
             SELECT rag.create_collection('c', 't', 'body', title => 'title')",
        )
        .await?;
    current(&session).await?;
    session
        .batch_execute(
            "CREATE DOMAIN mallory.text AS int8; CREATE DOMAIN mallory.jsonb AS int8;
             SET search_path = mallory, public, pg_catalog",
        )
        .await?;
    let title: String = session.value("SELECT title FROM rag.search('c', 'fox')").await?;
    ensure!(title == "4096", "{title}");
    Ok(())
}

async fn policies_that_are_forced_on_the_owner_neither_run_nor_hide_rows() -> Result<()> {
    let session = shared().await?.session().await?;
    let mallory = attacker(&session).await?;
    session
        .batch_execute(&format!(
            "SET ROLE {mallory};
             CREATE FUNCTION mallory.trap() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'a policy ran'; END $$;
             CREATE TABLE mallory.t (id int PRIMARY KEY, body text);
             INSERT INTO mallory.t SELECT i, 'fox ' || i FROM generate_series(1, 5) i;
             ALTER TABLE mallory.t ENABLE ROW LEVEL SECURITY; ALTER TABLE mallory.t FORCE ROW LEVEL SECURITY;
             CREATE POLICY trap ON mallory.t USING (mallory.trap());
             SELECT rag.create_collection('c', 'mallory.t', 'body'); RESET ROLE"
        ))
        .await?;
    current(&session).await?;
    session
        .batch_execute("INSERT INTO mallory.t VALUES (6, 'fox 6'); SELECT rag.refresh_collection('c')")
        .await?;
    current(&session).await?;
    let chunks: i64 = session.value("SELECT count(*) FROM mallory.c_chunks").await?;
    ensure!(chunks == 6, "{chunks} chunks");
    // To searches the policy applies as ever.
    session.batch_execute(&format!("SET ROLE {mallory}")).await?;
    session.refusal("SELECT * FROM rag.search('c', 'fox')").await?.expect("P0001", "a policy ran", "")
}
