//! A hostile role uses tables, types and operators of its own in random ways, while other roles work and an
//! administrator uses its collection: none of its code runs with the rights of another role, other roles do
//! not notice, and the server continues.

use anyhow::{Context, ensure};
use futures_util::future::try_join3;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::chance::Chance;
use ragstone_tests::harness::time_of_attack;
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;
use std::cell::Cell;
use std::time::Instant;

use attacks::{ATTACKS, COLUMNS, STATES, TYPES};

mod attacks;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![a_hostile_owner_harms_no_other_role]
}

/// Statements of the attacker, which take a minute. `RAGSTONE_HOSTILITY` sets another duration in seconds.
const STATEMENTS: usize = 4000;

/// Number of statements per connection.
const STATEMENTS_PER_SESSION: usize = 20;

/// `mallory` and her heir with a schema, in which all that she makes notes as whom it runs; and two others with tables of their own:
/// `other` works all the time, and `quiet` does nothing.
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
    CREATE TABLE other.now (id int PRIMARY KEY, body text);
    SELECT rag.create_collection('others_now', 'other.now', 'body', sync => 'immediate');
    RESET ROLE;
    CREATE ROLE quiet LOGIN; CREATE SCHEMA quiet AUTHORIZATION quiet; SET ROLE quiet;
    CREATE TABLE quiet.t (id int PRIMARY KEY, body text);
    INSERT INTO quiet.t SELECT i, 'the secret number ' || i FROM generate_series(1, 50) i;
    SELECT rag.create_collection('quiet', 'quiet.t', 'body');
    RESET ROLE";

/// What others have that is the attacker's business in no way: relations, columns, triggers, policies, constraints, functions, operators, roles,
/// and the rows of the one who does nothing.
const OF_OTHERS: &str = "
    WITH spaces AS (SELECT oid FROM pg_namespace WHERE nspname IN ('quiet', 'other', 'public', 'rag')),
    relations AS (SELECT c.* FROM pg_class c JOIN spaces s ON s.oid = relnamespace WHERE NOT relispartition),
    things (thing) AS (
      SELECT format('%s %s %s %s %s %s %s %s', oid, relname, relkind, relowner, relacl, relrowsecurity, relforcerowsecurity, reltype)
      FROM relations WHERE relkind <> 'i'
      UNION ALL SELECT format('%s: %s %s %s', attrelid, attname, atttypid, attnotnull)
      FROM pg_attribute JOIN relations r ON r.oid = attrelid
      UNION ALL SELECT format('%s: trigger %s %s %s', tgrelid, tgname, tgfoid, tgenabled)
      FROM pg_trigger JOIN relations r ON r.oid = tgrelid
      UNION ALL SELECT format('%s: policy %s', polrelid, polname) FROM pg_policy JOIN relations r ON r.oid = polrelid
      UNION ALL SELECT format('%s: constraint %s %s', conrelid, conname, contype)
      FROM pg_constraint JOIN relations r ON r.oid = conrelid
      UNION ALL SELECT format('%s: %s', objoid, description) FROM pg_description JOIN relations r ON r.oid = objoid
      UNION ALL SELECT format('%s(%s) %s %s %s', proname, proargtypes, proowner, proacl, md5(prosrc))
      FROM pg_proc JOIN spaces s ON s.oid = pronamespace
      UNION ALL SELECT format('operator %s', o.oid) FROM pg_operator o JOIN spaces s ON s.oid = oprnamespace
      UNION ALL SELECT format('%s %s %s', rolname, rolsuper, rolcreaterole) FROM pg_roles
      UNION ALL SELECT format('%s of %s', member, roleid) FROM pg_auth_members
      UNION ALL SELECT format('%s %s %s %s %s', name, source, chunk_table, terms_table, model)
      FROM rag.collection WHERE name IN ('quiet', 'others', 'others_now')
      UNION ALL SELECT t::text FROM quiet.t
      UNION ALL SELECT c::text FROM quiet.quiet_chunks c
      UNION ALL SELECT t::text FROM quiet.quiet_terms t)
    SELECT array_agg(thing ORDER BY thing) FROM things";

/// What makes the attacker's collection, where it is missing.
const OWN_COLLECTION: [&str; 2] = [
    "CREATE TABLE mallory.t (id int PRIMARY KEY, body text, mood mallory.mood DEFAULT 'fine', spare text)",
    "SELECT rag.create_collection('c', 'mallory.t', 'body', metadata => '{mood}')",
];

async fn a_hostile_owner_harms_no_other_role() -> Result<()> {
    let seed = Chance::seed("RAGSTONE_HOSTILE_SEED");
    attack(&Chance::of(seed)).await.with_context(|| format!("RAGSTONE_HOSTILE_SEED={seed}"))
}

async fn attack(chance: &Chance) -> Result<()> {
    let server = Server::start().await?;
    let database = server.database().await?;
    let admin = server.connect(&database).await?;
    admin.batch_execute(WORLD).await?;
    for collection in ["others", "others_now", "quiet"] {
        converge(&admin, collection).await?;
    }
    let started: String = admin.value("SELECT pg_postmaster_start_time()::text").await?;
    let before: Vec<String> = admin.value(OF_OTHERS).await?;
    let is_over = Cell::new(false);
    let (done, rows, ()) = try_join3(
        async {
            let done = attacks(&server, &database, chance).await;
            is_over.set(true);
            done
        },
        work(&server, &database, &is_over),
        administrate(&server, &database, &is_over),
    )
    .await?;
    println!("{done} statements of the attacker, {rows} rows of another role");
    let now: String = admin.value("SELECT pg_postmaster_start_time()::text").await?;
    ensure!(now == started, "the server was restarted");
    let crash = server.log()?.lines().find(|line| line.contains("terminated by signal")).map(str::to_owned);
    ensure!(crash.is_none(), "a process has crashed: {crash:?}");
    nothing_is_changed(&admin, &before).await?;
    for (collection, table) in [("others", "t"), ("others_now", "now")] {
        converge(&admin, collection).await?;
        let same: bool = admin
            .value(&format!(
                "SELECT NOT EXISTS (SELECT id, body FROM other.{table} EXCEPT SELECT key_1, content FROM other.{collection}_chunks)
                    AND NOT EXISTS (SELECT key_1, content FROM other.{collection}_chunks EXCEPT SELECT id, body FROM other.{table})"
            ))
            .await?;
        ensure!(same && rows > 0, "{collection} is not what its table is");
    }
    Ok(())
}

async fn converge(admin: &Session, collection: &str) -> Result<()> {
    let current: bool =
        admin.value(&format!("SELECT rag.wait_until_current('{collection}', '120s')")).await?;
    ensure!(current, "{collection} does not converge");
    Ok(())
}

/// Checks that no other role ran the attacker's code, that the attacker saw nothing, and that the objects of other roles are unchanged.
async fn nothing_is_changed(admin: &Session, before: &[String]) -> Result<()> {
    let strangers: String = admin
        .value("SELECT coalesce(string_agg(DISTINCT who, ', '), '') FROM ran WHERE who NOT IN ('mallory', 'heir')")
        .await?;
    ensure!(strangers.is_empty(), "code of the attacker's ran as {strangers}");
    let leaked: String = admin
        .value("SELECT coalesce(string_agg(DISTINCT what, ', '), '') FROM leaked WHERE what ~ 'other|quiet|secret'")
        .await?;
    ensure!(leaked.is_empty(), "the attacker was told {leaked}");
    let after: Vec<String> = admin.value(OF_OTHERS).await?;
    let only = |those: &[String], others: &[String]| -> Vec<String> {
        those.iter().filter(|thing| others.binary_search(thing).is_err()).cloned().collect()
    };
    let mut before = before.to_vec();
    let mut after = after;
    before.sort();
    after.sort();
    let (gone, new) = (only(&before, &after), only(&after, &before));
    ensure!(gone.is_empty() && new.is_empty(), "objects of other roles: gone {gone:?}, new {new:?}");
    Ok(())
}

/// Runs the attacks, each of which may succeed or fail, but not as a fault of ours. Returns how many.
async fn attacks(server: &Server, database: &str, chance: &Chance) -> Result<usize> {
    let end = time_of_attack().map(|time| Instant::now() + time);
    let goes_on = |done| end.map_or(done < STATEMENTS, |end| Instant::now() < end);
    let mut session = server.connect_as("mallory", database).await?;
    let mut done = 0;
    while goes_on(done) {
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
            .replace("{column}", chance.pick::<&str>(COLUMNS))
            .replace("{type}", chance.pick::<&str>(TYPES))
            .replace("{state}", chance.pick::<&str>(STATES))
            .replace("{n}", &chance.below(200).to_string());
        attempt(&session, &attack).await?;
        session
            .batch_execute("ROLLBACK; RESET ROLE; SET statement_timeout = '10s'; RESET lock_timeout")
            .await
            .with_context(|| attack.clone())?;
        done += 1;
    }
    Ok(done)
}

/// Runs statements that may be refused, but not with an internal error or by the end of the session.
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

/// Writes to the other role's table and searches. Returns the number of rows written.
async fn work(server: &Server, database: &str, is_over: &Cell<bool>) -> Result<i32> {
    let session = server.connect_as("other", database).await?;
    let mut row = 0;
    while !is_over.get() {
        row += 1;
        for table in ["t", "now"] {
            let write = format!(
                "INSERT INTO other.{table} VALUES ($1 % 100, 'the secret of row ' || $1)
                 ON CONFLICT (id) DO UPDATE SET body = excluded.body"
            );
            session.execute(&write, &[&row]).await?;
        }
        session.query("SELECT * FROM rag.search('others', 'secret', mode => 'text')", &[]).await?;
        let mine: i64 = session.value("SELECT count(*) FROM rag.collections").await?;
        ensure!(mine == 2, "{mine} collections are shown");
    }
    Ok(row)
}

/// A superuser views the attacker's collection, searches it and refreshes it.
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
