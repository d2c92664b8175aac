//! Code of the owner of a table or a type does not run with the rights of a role that searches, or that owns
//! the table later.

use crate::followed::current;
use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use serde_json::{Value, json};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_search_runs_no_cast_of_a_type_of_a_user,
        a_search_plans_no_cast_of_a_type_of_a_user,
        a_search_finds_its_types_in_spite_of_the_search_path,
        policies_that_are_forced_on_the_owner_neither_run_nor_hide_rows,
        a_collection_waits_for_the_new_owner_of_its_source,
        a_collection_waits_for_whom_all_its_tables_were_given,
        a_table_that_takes_the_place_of_a_chunk_table_is_not_used,
        a_cast_of_the_new_owner_of_a_source_does_not_run,
    ]
}

/// A role `NAME_of_DATABASE` with a schema of its own.
async fn attacker(session: &Session) -> Result<String> {
    let name: String = session.value("SELECT 'mallory_of_' || current_database()").await?;
    session.batch_execute(&format!("CREATE ROLE {name}; CREATE SCHEMA mallory AUTHORIZATION {name}")).await?;
    Ok(name)
}

/// A table of the role with a key, a title and metadata whose types have casts written by that role.
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

/// During planning, PostgreSQL inlines an SQL function and evaluates its immutable parts.
async fn a_search_plans_no_cast_of_a_type_of_a_user() -> Result<()> {
    let session = shared().await?.session().await?;
    let mallory = attacker(&session).await?;
    session
        .batch_execute(&format!(
            "SET ROLE {mallory}; {TABLE};
             CREATE FUNCTION mallory.trap() RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE 'a cast ran'; END $$;
             CREATE FUNCTION mallory.inlined(mallory.mood) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT mallory.trap()';
             CREATE FUNCTION mallory.inlined_json(mallory.mood) RETURNS json IMMUTABLE LANGUAGE sql
               AS 'SELECT mallory.trap()::json';
             CREATE FUNCTION mallory.inlined(mallory.mood[]) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT mallory.trap()';
             DROP CAST (mallory.mood AS text); DROP CAST (mallory.mood AS json);
             CREATE CAST (mallory.mood AS text) WITH FUNCTION mallory.inlined(mallory.mood);
             CREATE CAST (mallory.mood AS json) WITH FUNCTION mallory.inlined_json;
             CREATE CAST (mallory.mood[] AS text) WITH FUNCTION mallory.inlined(mallory.mood[]); RESET ROLE"
        ))
        .await?;
    current(&session).await?;
    for mode in ["text", "vector", "hybrid"] {
        let title: String =
            session.value(&format!("SELECT title FROM rag.search('c', 'fox', mode => '{mode}')")).await?;
        ensure!(title == "bad", "{title}");
    }
    session
        .batch_execute(
            "UPDATE mallory.conf SET mood = 'bad'; SELECT rag.refresh_collection('c');
             SELECT rag.refresh_collection('c', text => true)",
        )
        .await?;
    current(&session).await?;
    let failed: i64 = session.value("SELECT count(*) FROM rag.failed").await?;
    ensure!(failed == 0, "{failed} rows failed");
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
    // Policies still apply to searches.
    session.batch_execute(&format!("SET ROLE {mallory}")).await?;
    session.refusal("SELECT * FROM rag.search('c', 'fox')").await?.expect("P0001", "a policy ran", "")
}

/// Code that would run as the next owner of a collection's tables: a check on its chunk table, which records
/// the role as which it runs.
const NOTED_CHECK: &str = "
    CREATE TABLE mallory.ran (who name);
    CREATE FUNCTION mallory.note() RETURNS boolean LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO mallory.ran VALUES (current_user); RETURN true; END $$;
    GRANT INSERT ON mallory.ran TO PUBLIC;
    CREATE TABLE mallory.t (id int PRIMARY KEY, body text);
    INSERT INTO mallory.t VALUES (1, 'the fox is red');
    SELECT rag.create_collection('c', 'mallory.t', 'body');";

/// A collection of the attacker with such a check, and a role that will own its source.
async fn booby_trapped(session: &Session) -> Result<(String, String)> {
    let mallory = attacker(session).await?;
    let heir: String = session.value("SELECT 'heir_of_' || current_database()").await?;
    session
        .batch_execute(&format!(
            "CREATE ROLE {heir}; SET ROLE {mallory}; {NOTED_CHECK}; GRANT USAGE ON SCHEMA mallory TO {heir}; RESET ROLE;
             GRANT CREATE ON SCHEMA mallory TO {heir}"
        ))
        .await?;
    current(session).await?;
    session
        .batch_execute(&format!(
            "SET ROLE {mallory};
             ALTER TABLE mallory.c_chunks ADD CONSTRAINT note CHECK (mallory.note()) NOT VALID; RESET ROLE"
        ))
        .await?;
    Ok((mallory, heir))
}

/// Fails unless the collection waits for its new owner, and no code of the former owner runs as the new
/// owner.
async fn waits_for(session: &Session, heir: &str) -> Result<()> {
    session.batch_execute("INSERT INTO mallory.t VALUES (2, 'the fox is grey')").await?;
    session.refusal("SELECT rag.wait_until_current('c', '60s')").await?.expect(
        "55000",
        "has changed",
        "rag.refresh_collection",
    )?;
    let row = session
        .query_one("SELECT state, reason FROM rag.stat_collection WHERE collection = 'c'", &[])
        .await?;
    let (state, reason): (String, String) = (row.get(0), row.get(1));
    ensure!(state == "waiting" && reason.contains("owner of the source has changed"), "{row:?}");
    session.batch_execute(&format!("SET ROLE {heir}")).await?;
    session.refusal("SELECT rag.refresh_collection('c')").await?.expect(
        "42501",
        "cannot follow its source to another owner",
        "rag.drop_collection",
    )?;
    session.batch_execute("RESET ROLE; ALTER TABLE mallory.c_chunks DROP CONSTRAINT note").await?;
    session
        .batch_execute(&format!("SET ROLE {heir}; SELECT rag.refresh_collection('c'); RESET ROLE"))
        .await?;
    current(session).await?;
    let owners: i64 = session
        .value(&format!(
            "SELECT count(*) FROM pg_class WHERE relname IN ('c_chunks', 'c_terms') AND relowner = '{heir}'::regrole"
        ))
        .await?;
    ensure!(owners == 2, "the new owner has {owners} tables");
    let found: i64 = session.value("SELECT count(*) FROM rag.search('c', 'grey fox')").await?;
    ensure!(found == 2, "{found} rows found");
    let ran: i64 = session.value(&format!("SELECT count(*) FROM mallory.ran WHERE who = '{heir}'")).await?;
    ensure!(ran == 0, "code of the old owner ran as the new one");
    Ok(())
}

async fn a_collection_waits_for_the_new_owner_of_its_source() -> Result<()> {
    let session = shared().await?.session().await?;
    let (_, heir) = booby_trapped(&session).await?;
    session.batch_execute(&format!("ALTER TABLE mallory.t OWNER TO {heir}")).await?;
    let found: i64 = session.value("SELECT count(*) FROM rag.search('c', 'fox')").await?;
    ensure!(found == 1, "the old state is found");
    waits_for(&session, &heir).await
}

async fn a_collection_waits_for_whom_all_its_tables_were_given() -> Result<()> {
    let session = shared().await?.session().await?;
    let (mallory, heir) = booby_trapped(&session).await?;
    session.batch_execute(&format!("REASSIGN OWNED BY {mallory} TO {heir}")).await?;
    for statement in ["SELECT * FROM rag.search('c', 'fox')", "SELECT * FROM rag.ask('c', 'What is red?')"] {
        session.refusal(statement).await?.expect("55000", "has changed", "rag.refresh_collection")?;
    }
    waits_for(&session, &heir).await
}

async fn a_table_that_takes_the_place_of_a_chunk_table_is_not_used() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let mallory = attacker(&session).await?;
    session
        .batch_execute(&format!(
            "CREATE TABLE mallory.t (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('c', 'mallory.t', 'body');
             CREATE TABLE mallory.ran (who name); GRANT INSERT ON mallory.ran TO PUBLIC; GRANT CREATE ON SCHEMA public TO {mallory}"
        ))
        .await?;
    current(&session).await?;
    // The worker has read a row, and waits for the engine to split it.
    let engine = server.engine(&session).await?;
    engine.signal(Signal::SIGSTOP);
    session.batch_execute("INSERT INTO mallory.t VALUES (1, 'the fox is red')").await?;
    wait::until("the row is being cut", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE backend_type = 'ragstone worker' AND query LIKE 'ragstone: reading%' AND xact_start IS NULL
                     AND wait_event_type IS NOT NULL";
        Ok((session.value::<i64>(sql).await? == 1).then_some(()))
    })
    .await?;
    session
        .batch_execute(&format!(
            "SET ROLE {mallory};
             DROP TABLE mallory.c_chunks;
             CREATE FUNCTION mallory.note() RETURNS boolean LANGUAGE plpgsql AS
               $$ BEGIN INSERT INTO mallory.ran VALUES (current_user); RETURN true; END $$;
             CREATE VIEW mallory.c_chunks AS SELECT ''::bytea AS content_hash, ''::text AS fingerprint, NULL::halfvec AS embedding
               WHERE mallory.note();
             GRANT SELECT ON mallory.c_chunks TO PUBLIC; RESET ROLE"
        ))
        .await?;
    engine.signal(Signal::SIGCONT);
    wait::until("the collection has failed", async || {
        let state: String = session.value("SELECT state FROM rag.collections WHERE name = 'c'").await?;
        Ok((state == "failed").then_some(()))
    })
    .await?;
    session.batch_execute("INSERT INTO mallory.t VALUES (2, 'the fox is grey')").await?;
    session.refusal("SELECT * FROM rag.search('c', 'fox')").await?.expect("42P01", "no longer exists", "")?;
    session.batch_execute("SELECT rag.drop_collection('c')").await?;
    let ran: i64 = session.value("SELECT count(*) FROM mallory.ran").await?;
    ensure!(ran == 0, "code of a stranger ran {ran} times");
    Ok(())
}

async fn a_cast_of_the_new_owner_of_a_source_does_not_run() -> Result<()> {
    let session = shared().await?.session().await?;
    let mallory = attacker(&session).await?;
    session
        .batch_execute(
            "CREATE TABLE mallory.t (id int PRIMARY KEY, body text); INSERT INTO mallory.t VALUES (1, 'the fox is red');
             SELECT rag.create_collection('c', 'mallory.t', 'body')",
        )
        .await?;
    current(&session).await?;
    session
        .batch_execute(&format!(
            "ALTER TABLE mallory.t OWNER TO {mallory}; SET ROLE {mallory};
             CREATE TYPE mallory.mood AS ENUM ('fine', 'bad'); CREATE TABLE mallory.ran (role name);
             GRANT INSERT ON mallory.ran TO PUBLIC;
             CREATE FUNCTION mallory.trap(mallory.mood) RETURNS int LANGUAGE plpgsql
               AS $$ BEGIN INSERT INTO mallory.ran VALUES (current_user); RETURN 1; END $$;
             CREATE CAST (mallory.mood AS int) WITH FUNCTION mallory.trap AS IMPLICIT;
             ALTER TABLE mallory.t ALTER id TYPE mallory.mood USING 'fine';
             ALTER TABLE mallory.t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
             CREATE POLICY everything ON mallory.t USING (true)"
        ))
        .await?;
    for role in [mallory.as_str(), "postgres"] {
        session.batch_execute(&format!("SET ROLE {role}")).await?;
        let search = "SELECT * FROM rag.search('c', 'fox', mode => 'text')";
        session.refusal(search).await?.expect("42804", "mallory.mood", "rag.refresh_collection")?;
        let ran: i64 = session.value("SELECT count(*) FROM mallory.ran").await?;
        ensure!(ran == 0, "a cast ran for {role}");
    }
    Ok(())
}
