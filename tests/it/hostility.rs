//! A role does what it likes with tables, types and operators of its own, while others work and an administrator uses its collection:
//! nothing of its code runs as anybody else, nobody else notices, and the server goes on.

use anyhow::{Context, ensure};
use futures_util::future::try_join3;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::chance::Chance;
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;
use std::cell::Cell;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![a_hostile_owner_harms_nobody_else]
}

/// Statements of the attacker; `RAGSTONE_HOSTILE_STATEMENTS` says another number.
const STATEMENTS: usize = 4000;

/// Statements between two new connections.
const STATEMENTS_PER_SESSION: usize = 20;

/// `mallory` and her heir with a schema, in which all that she makes notes as whom it runs; and somebody else with a table of his own.
const WORLD: &str = "
    CREATE ROLE mallory LOGIN; CREATE ROLE heir LOGIN; GRANT heir TO mallory; CREATE ROLE other LOGIN;
    CREATE SCHEMA mallory AUTHORIZATION mallory; GRANT ALL ON SCHEMA mallory TO heir;
    CREATE SCHEMA other AUTHORIZATION other;
    CREATE TABLE public.ran (who name); GRANT INSERT, SELECT ON public.ran TO PUBLIC;
    CREATE TABLE public.leaked (what text); GRANT INSERT ON public.leaked TO PUBLIC;
    SET ROLE mallory;
    CREATE FUNCTION mallory.note() RETURNS boolean LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO public.ran VALUES (current_user); RETURN true; END $$;
    CREATE FUNCTION mallory.noted() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM mallory.note(); RETURN NEW; END $$;
    CREATE TYPE mallory.mood AS ENUM ('fine', 'bad');
    CREATE TYPE mallory.pair AS (a int, b text);
    CREATE FUNCTION mallory.to_text(mallory.mood) RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN PERFORM mallory.note(); RETURN 'x'; END $$;
    CREATE FUNCTION mallory.to_json(mallory.mood) RETURNS json LANGUAGE plpgsql AS
      $$ BEGIN PERFORM mallory.note(); RETURN '1'; END $$;
    CREATE FUNCTION mallory.sly(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
      $$ BEGIN PERFORM mallory.note(); RETURN $1; END $$;
    CREATE FUNCTION mallory.inlined(mallory.mood) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT mallory.sly('x') $$;
    CREATE FUNCTION mallory.inlined_json(mallory.mood) RETURNS json IMMUTABLE LANGUAGE sql AS $$ SELECT mallory.sly('1')::json $$;
    CREATE FUNCTION mallory.fails(state text) RETURNS boolean LANGUAGE plpgsql AS
      $$ BEGIN RAISE 'mallory raised it' USING ERRCODE = state; END $$;
    CREATE FUNCTION mallory.failed() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM mallory.fails(TG_ARGV[0]); RETURN NEW; END $$;
    CREATE FUNCTION mallory.leak(text) RETURNS boolean COST 0.0000001 LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO public.leaked VALUES ($1); RETURN true; END $$;
    CREATE DOMAIN mallory.checked AS text CHECK (mallory.note());
    RESET ROLE; SET ROLE other;
    CREATE TABLE other.t (id int PRIMARY KEY, body text);
    SELECT rag.create_collection('others', 'other.t', 'body');
    RESET ROLE";

/// What makes the attacker's collection, where it is missing.
const OWN_COLLECTION: [&str; 2] = [
    "CREATE TABLE mallory.t (id int PRIMARY KEY, body text, mood mallory.mood DEFAULT 'fine', spare text)",
    "SELECT rag.create_collection('c', 'mallory.t', 'body', metadata => '{mood}')",
];

/// What the attacker does: `{column}` is one of the collection's tables' columns, `{type}` a type with a value of it, `{n}` a number.
const ATTACKS: &[&str] = &[
    "INSERT INTO mallory.t (id, body) VALUES ({n}, 'the fox ' || {n}) ON CONFLICT (id) DO UPDATE SET body = excluded.body || '.'",
    "INSERT INTO mallory.t (id, body) SELECT i, 'fox ' || i FROM generate_series({n}, {n} + 20) i ON CONFLICT DO NOTHING",
    "UPDATE mallory.t SET mood = 'bad' WHERE id % 7 = {n} % 7",
    "DELETE FROM mallory.t WHERE id % 5 = {n} % 5",
    "TRUNCATE mallory.t",
    "ALTER TABLE mallory.c_chunks ALTER {column} TYPE {type}",
    "ALTER TABLE mallory.c_terms ALTER data TYPE {type}",
    "ALTER TABLE mallory.c_chunks DROP COLUMN {column}",
    "ALTER TABLE mallory.c_chunks ADD CHECK (mallory.note()) NOT VALID",
    "ALTER TABLE mallory.t ADD CHECK (mallory.note()) NOT VALID",
    "CREATE TRIGGER n{n} BEFORE INSERT ON mallory.c_chunks FOR EACH ROW EXECUTE FUNCTION mallory.noted()",
    "CREATE TRIGGER n{n} BEFORE INSERT ON mallory.t FOR EACH ROW EXECUTE FUNCTION mallory.noted()",
    "CREATE RULE n{n} AS ON INSERT TO mallory.c_terms DO ALSO INSERT INTO public.ran VALUES (current_user)",
    "CREATE INDEX ON mallory.c_chunks ((mallory.note()))",
    "ALTER TABLE mallory.t ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE mallory.t FORCE ROW LEVEL SECURITY",
    "ALTER TABLE mallory.t DISABLE ROW LEVEL SECURITY",
    "CREATE POLICY p{n} ON mallory.t USING (mallory.note())",
    "CREATE POLICY p{n} ON mallory.c_chunks USING (mallory.note())",
    "ALTER TABLE mallory.c_chunks ENABLE ROW LEVEL SECURITY",
    "CREATE CAST (mallory.mood AS text) WITH FUNCTION mallory.to_text AS IMPLICIT",
    "CREATE CAST (mallory.mood AS json) WITH FUNCTION mallory.to_json AS IMPLICIT",
    "ALTER TABLE mallory.t ALTER body TYPE mallory.checked",
    "ALTER TABLE mallory.t ALTER body TYPE text",
    "ALTER TABLE mallory.t ALTER id TYPE bigint",
    "ALTER TABLE mallory.t ALTER id TYPE text",
    "ALTER TABLE mallory.t RENAME COLUMN body TO spare{n}",
    "ALTER TABLE mallory.t DROP COLUMN mood",
    "ALTER TABLE mallory.t OWNER TO heir",
    "REASSIGN OWNED BY mallory TO heir",
    "SET ROLE heir; ALTER TABLE mallory.t OWNER TO mallory",
    "SET ROLE heir; SELECT rag.refresh_collection('c')",
    "ALTER TABLE mallory.c_chunks RENAME TO moved{n}",
    "DROP TABLE mallory.c_chunks; CREATE VIEW mallory.c_chunks AS SELECT 1 AS chunk_id WHERE mallory.note()",
    "DROP TABLE mallory.c_terms",
    "DROP TABLE mallory.t CASCADE",
    "CREATE TABLE mallory.child{n} () INHERITS (mallory.t)",
    "CREATE TABLE mallory.kid{n} () INHERITS (mallory.c_chunks)",
    "CREATE OPERATOR mallory.= (FUNCTION = pg_catalog.int4eq, LEFTARG = int, RIGHTARG = int)",
    "CREATE FUNCTION mallory.format(text, anyelement) RETURNS text LANGUAGE sql AS 'SELECT mallory.note()::text'",
    "BEGIN; LOCK TABLE mallory.c_chunks; SELECT pg_sleep(0.1); COMMIT",
    "BEGIN; LOCK TABLE mallory.t; SELECT pg_sleep(0.1); COMMIT",
    "SELECT pg_advisory_lock(i) FROM generate_series(1, 50) i",
    "SELECT pg_advisory_unlock_all()",
    "SELECT * FROM rag.search('c', 'the fox', mode => 'text')",
    "SELECT * FROM rag.search('others', 'secret')",
    "SELECT rag.refresh_collection('c')",
    "SELECT rag.alter_collection('c', chunk_size => 64)",
    "SELECT rag.rollback_migration('c')",
    "SELECT rag.retry_failed('c')",
    "SELECT rag.drop_collection('c')",
    "SELECT rag.drop_collection('others')",
    "SELECT rag.create_collection('mine', 'other.t', 'body')",
    "SELECT * FROM rag._queue",
    "UPDATE rag.collection SET chunk_table = 'pg_authid'",
    "NOTIFY rag_current, '1'",
    "CREATE CAST (mallory.mood AS text) WITH FUNCTION mallory.inlined AS ASSIGNMENT",
    "CREATE CAST (mallory.mood AS json) WITH FUNCTION mallory.inlined_json AS ASSIGNMENT",
    "DROP CAST (mallory.mood AS text)",
    "DROP CAST (mallory.mood AS json)",
    "CREATE INDEX ON mallory.t ((mallory.sly(body)))",
    "CREATE INDEX ON mallory.t (id) WHERE mallory.sly(body) <> ''",
    "CREATE INDEX ON mallory.c_chunks ((mallory.sly(content)))",
    "CREATE INDEX ON mallory.c_terms ((mallory.sly(segment::text)))",
    "CREATE STATISTICS mallory.s{n} ON (mallory.sly(body)), id FROM mallory.t",
    "ANALYZE mallory.t, mallory.c_chunks, mallory.c_terms",
    "CREATE TABLE mallory.refers{n} (chunk bigint REFERENCES mallory.c_chunks (chunk_id) ON DELETE CASCADE)",
    "CREATE TABLE mallory.refers{n} (id int REFERENCES mallory.t (id) ON DELETE CASCADE)",
    "ALTER TABLE mallory.c_chunks ADD FOREIGN KEY (key_1) REFERENCES mallory.t (id) NOT VALID",
    "CREATE TRIGGER ragstone_{n}_insert AFTER INSERT ON mallory.t FOR EACH ROW EXECUTE FUNCTION mallory.noted()",
    "CREATE TRIGGER ragstone_1_{n} AFTER INSERT ON mallory.t FOR EACH STATEMENT EXECUTE FUNCTION rag._capture('1', '1', 'id', 'body')",
    "CREATE TRIGGER ragstone_1_insert AFTER INSERT ON mallory.t REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION rag._capture('1', '1', 'id', 'body')",
    "CREATE TRIGGER f{n} BEFORE INSERT OR UPDATE ON mallory.t FOR EACH ROW EXECUTE FUNCTION mallory.failed('{state}')",
    "ALTER TABLE mallory.c_chunks ADD CHECK (mallory.fails('{state}')) NOT VALID",
    "ALTER TABLE mallory.t ADD CHECK (mallory.fails('{state}')) NOT VALID",
    "CREATE POLICY f{n} ON mallory.t USING (mallory.fails('{state}'))",
    "ALTER TABLE mallory.t ALTER body TYPE text USING mallory.sly(body) || {n}",
    "ALTER TABLE mallory.t ALTER body TYPE text USING CASE WHEN mallory.fails('{state}') THEN body END",
    "SELECT * FROM rag.collections WHERE mallory.leak(name)",
    "SELECT * FROM rag.stat_collection WHERE mallory.leak(collection)",
    "SELECT * FROM rag.failed WHERE mallory.leak(collection || message)",
    "SELECT * FROM rag.migrations WHERE mallory.leak(collection)",
    "SELECT * FROM rag.budget_state WHERE mallory.leak(role)",
    "SELECT * FROM rag.calls WHERE mallory.leak(function || role)",
    "SELECT * FROM rag.runs WHERE mallory.leak(agent || owner)",
    "SELECT * FROM rag.report_gaps WHERE mallory.leak(owner::text)",
    "SELECT * FROM rag.search('others', 'secret') WHERE mallory.leak(content)",
    "SELECT * FROM rag._reports() WHERE mallory.leak(collection)",
];

/// Classes of errors that a server raises where it is in trouble, or about to end.
const STATES: [&str; 7] = ["58000", "57P01", "57P03", "XX000", "53100", "40001", "08006"];

const COLUMNS: [&str; 8] =
    ["seq", "words", "embedding", "heading", "content", "metadata", "row_hash", "content_hash"];

const TYPES: [&str; 6] = [
    "bigint USING 4096",
    "numeric USING 4096",
    "text USING 'x'",
    r"bytea USING '\x1000'",
    "mallory.checked USING 'x'",
    "mallory.pair USING ROW (1, 'x')",
];

async fn a_hostile_owner_harms_nobody_else() -> Result<()> {
    let seed = Chance::seed("RAGSTONE_HOSTILE_SEED");
    attack(&Chance::of(seed)).await.with_context(|| format!("RAGSTONE_HOSTILE_SEED={seed}"))
}

async fn attack(chance: &Chance) -> Result<()> {
    let server = Server::start().await?;
    let database = server.database().await?;
    let admin = server.connect(&database).await?;
    admin.batch_execute(WORLD).await?;
    let started: String = admin.value("SELECT pg_postmaster_start_time()::text").await?;
    let number = std::env::var("RAGSTONE_HOSTILE_STATEMENTS").ok().and_then(|number| number.parse().ok());
    let is_over = Cell::new(false);
    let rows = try_join3(
        async {
            attacks(&server, &database, chance, number.unwrap_or(STATEMENTS)).await?;
            is_over.set(true);
            Ok(())
        },
        work(&server, &database, &is_over),
        administrate(&server, &database, &is_over),
    )
    .await?
    .1;
    let now: String = admin.value("SELECT pg_postmaster_start_time()::text").await?;
    ensure!(now == started, "the server was restarted");
    let strangers: String = admin
        .value("SELECT coalesce(string_agg(DISTINCT who, ', '), '') FROM ran WHERE who NOT IN ('mallory', 'heir')")
        .await?;
    ensure!(strangers.is_empty(), "code of the attacker's ran as {strangers}");
    let leaked: String = admin
        .value("SELECT coalesce(string_agg(DISTINCT what, ', '), '') FROM leaked WHERE what LIKE '%other%' OR what LIKE '%secret%'")
        .await?;
    ensure!(leaked.is_empty(), "the attacker was told {leaked}");
    let is_superuser: bool = admin
        .value("SELECT bool_or(rolsuper) FROM pg_roles WHERE rolname IN ('mallory', 'heir', 'other')")
        .await?;
    ensure!(!is_superuser, "a role has become superuser");
    ensure!(
        admin.value::<bool>("SELECT rag.wait_until_current('others', '120s')").await?,
        "it does not converge"
    );
    let same: bool = admin
        .value(
            "SELECT NOT EXISTS (SELECT id, body FROM other.t EXCEPT SELECT key_1, content FROM other.others_chunks)
                AND NOT EXISTS (SELECT key_1, content FROM other.others_chunks EXCEPT SELECT id, body FROM other.t)",
        )
        .await?;
    ensure!(same && rows > 0, "the other role's collection is not what its table is");
    Ok(())
}

/// Runs the attacks, each of which may succeed or fail, but not as a fault of ours.
async fn attacks(server: &Server, database: &str, chance: &Chance, number: usize) -> Result<()> {
    let mut session = server.connect_as("mallory", database).await?;
    for done in 0..number {
        if done % STATEMENTS_PER_SESSION == 0 {
            session = server.connect_as("mallory", database).await?;
            session
                .batch_execute("SET statement_timeout = '10s'; SET search_path = mallory, pg_catalog")
                .await?;
            for statement in OWN_COLLECTION {
                attempt(&session, statement).await?;
            }
        }
        let attack = chance
            .pick(ATTACKS)
            .replace("{column}", chance.pick::<&str>(&COLUMNS))
            .replace("{type}", chance.pick::<&str>(&TYPES))
            .replace("{state}", chance.pick::<&str>(&STATES))
            .replace("{n}", &chance.below(200).to_string());
        attempt(&session, &attack).await?;
        session.batch_execute("ROLLBACK; RESET ROLE").await.with_context(|| attack.clone())?;
    }
    Ok(())
}

/// Runs statements that may be refused, but neither as an internal error nor by the end of the session.
async fn attempt(session: &Session, sql: &str) -> Result<()> {
    match session.batch_execute(sql).await {
        Ok(()) => Ok(()),
        Err(error) => {
            let code = error.code().with_context(|| format!("the session ended at {sql}: {error:?}"))?;
            let is_hers =
                error.as_db_error().is_some_and(|error| error.message().contains("mallory raised it"));
            ensure!(code.code() != "XX000" || is_hers, "{sql}: {error:?}");
            Ok(())
        }
    }
}

/// Writes to the other role's table, searches, and returns how many rows it has written.
async fn work(server: &Server, database: &str, is_over: &Cell<bool>) -> Result<i32> {
    let session = server.connect_as("other", database).await?;
    let mut row = 0;
    while !is_over.get() {
        row += 1;
        session
            .execute(
                "INSERT INTO other.t VALUES ($1 % 100, 'the secret of row ' || $1)
                 ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                &[&row],
            )
            .await?;
        session.query("SELECT * FROM rag.search('others', 'secret', mode => 'text')", &[]).await?;
        let mine: i64 = session.value("SELECT count(*) FROM rag.collections").await?;
        ensure!(mine == 1, "{mine} collections are shown");
    }
    Ok(row)
}

/// A superuser looks at the attacker's collection, searches it and brings it up to date.
async fn administrate(server: &Server, database: &str, is_over: &Cell<bool>) -> Result<()> {
    let session = server.connect(database).await?;
    session.batch_execute("SET statement_timeout = '10s'").await?;
    while !is_over.get() {
        for statement in [
            "SELECT * FROM rag.collections",
            "SELECT * FROM rag.stat_collection",
            "SELECT * FROM rag.failed",
            "SELECT * FROM rag.search('c', 'the fox')",
            "SELECT * FROM rag.ask('c', 'What is the fox?')",
            "SELECT rag.refresh_collection('c')",
        ] {
            attempt(&session, statement).await?;
        }
    }
    Ok(())
}
