//! Tools: who may stop them, whose rights they have, and where they work.

use anyhow::{Context, ensure};
use futures_util::future::join;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Server, run, shared};
use ragstone_tests::session::{Refusal, Session, refusal_in};
use ragstone_tests::wait;
use std::time::{Duration, Instant};
use tokio_postgres::error::SqlState;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_search_tool_finds_what_its_caller_may_read,
        a_call_is_refused_as_soon_as_execute_is_revoked,
        a_login_role_gains_nothing_by_a_tool,
        tools_come_through_dump_and_restore,
        tools_work_on_a_hot_standby,
        tools_work_in_latin1,
        a_tool_of_a_million_rows_gives_its_first;
        alone:
        a_cancelled_tool_ends_the_statement_within_200_ms,
        a_cancel_that_a_tool_catches_is_not_its_limit,
        terminate_ends_a_tool_within_200_ms,
        statement_timeout_ends_a_tool_whose_limit_is_the_same,
        who_cancels_when_the_limit_is_over_cancels_nothing_else,
    ]
}

/// What the end of a tool may take after it was cancelled, the client's own way included.
const LIMIT: Duration = Duration::from_millis(200);

const TOOLS: &str = "
    CREATE FUNCTION nap(seconds float8) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(seconds)';
    CREATE FUNCTION loop() RETURNS void LANGUAGE plpgsql AS 'BEGIN LOOP END LOOP; END';
    CREATE FUNCTION excuse() RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_sleep(60); RETURN 'slept'; EXCEPTION WHEN query_canceled THEN RETURN 'could not sleep'; END $$;
    SELECT rag.create_tool(f, description => 'Takes its time.', timeout_ms => 30000)
    FROM unnest('{nap(float8), loop(), excuse()}'::regprocedure[]) f";

async fn session_with_tools() -> Result<Session> {
    let session = shared().await?.session().await?;
    session.batch_execute(TOOLS).await?;
    Ok(session)
}

/// Runs `sql` and does `stop` as soon as it is at work; gives what came of it, and the time that it took to end after that.
async fn stopped(
    session: &Session,
    sql: &str,
    stop: impl AsyncFnOnce(i32) -> Result<()>,
) -> Result<(std::result::Result<Vec<String>, Refusal>, Duration)> {
    let watcher = shared().await?.connect("postgres").await?;
    let backend = session.backend().await?.0;
    let stopping = async {
        let active = "SELECT state = 'active' AND query = $2 FROM pg_stat_activity WHERE pid = $1";
        wait::until("the tool runs", async || {
            Ok(watcher.value_of::<bool>(active, &[&backend, &sql]).await?.then_some(()))
        })
        .await?;
        let called = Instant::now();
        stop(backend).await?;
        Result::Ok(called)
    };
    let running = async {
        let result = session.query(sql, &[]).await;
        (result, Instant::now())
    };
    let (called, (result, ended)) = join(stopping, running).await;
    let result = match result {
        Ok(rows) => Ok(rows.iter().map(|row| row.get(0)).collect()),
        Err(error) => Err(refusal_in(&error)?),
    };
    Ok((result, ended.duration_since(called?)))
}

/// The second signal of a cancel may come to the next statement: Postgres sends two.
async fn goes_on(session: &Session) -> Result<()> {
    wait::until("the session goes on", async || match session.execute("SELECT pg_sleep(0.05)", &[]).await {
        Ok(_) => Ok(Some(())),
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => Ok(None),
        Err(error) => Err(error.into()),
    })
    .await
}

async fn a_cancelled_tool_ends_the_statement_within_200_ms() -> Result<()> {
    let session = session_with_tools().await?;
    for call in ["rag.call_tool('nap', '{\"seconds\": 60}')", "rag.call_tool('loop')"] {
        let token = session.canceller();
        let sql = format!("SELECT content FROM {call}");
        let (result, time) = stopped(&session, &sql, async |_| token.cancel().await).await?;
        let refusal = result.err().context("the tool was not cancelled")?;
        refusal.expect("57014", "canceling statement due to user request", "")?;
        ensure!(time < LIMIT, "stopped after {time:?}");
        goes_on(&session).await?;
    }
    Ok(())
}

async fn a_cancel_that_a_tool_catches_is_not_its_limit() -> Result<()> {
    let session = session_with_tools().await?;
    let sql = "SELECT content FROM rag.call_tool('excuse')";
    let token = session.canceller();
    // As by hand: who catches a cancel goes on.
    let (result, time) = stopped(&session, sql, async |_| token.cancel().await).await?;
    // The second of the two signals may end the statement all the same.
    match result {
        Ok(content) => ensure!(content == ["\"could not sleep\""], "{content:?}"),
        Err(refusal) => ensure!(refusal.code == "57014", "{refusal:?}"),
    }
    ensure!(time < LIMIT, "stopped after {time:?}");
    goes_on(&session).await
}

async fn terminate_ends_a_tool_within_200_ms() -> Result<()> {
    let session = session_with_tools().await?;
    let admin = shared().await?.connect("postgres").await?;
    let sql = "SELECT content FROM rag.call_tool('nap', '{\"seconds\": 60}')";
    let (result, time) = stopped(&session, sql, async |backend| {
        admin.execute("SELECT pg_terminate_backend($1)", &[&backend]).await?;
        Ok(())
    })
    .await?;
    ensure!(result.is_err_and(|refusal| refusal.code == "57P01"));
    ensure!(time < LIMIT, "stopped after {time:?}");
    Ok(())
}

async fn statement_timeout_ends_a_tool_whose_limit_is_the_same() -> Result<()> {
    let session = session_with_tools().await?;
    session
        .batch_execute(
            "SELECT rag.create_tool('nap(float8)', 'short_nap', 'Sleeps.', timeout_ms => 60);
             SELECT rag.call_tool('nap', '{\"seconds\": 0}'); SET statement_timeout = 60",
        )
        .await?;
    for _ in 0..20 {
        let refusal =
            session.refusal("SELECT content FROM rag.call_tool('short_nap', '{\"seconds\": 60}')").await?;
        refusal.expect("57014", "canceling statement due to statement timeout", "")?;
    }
    // Where the limit ends first, the statement goes on to its own timeout.
    session.batch_execute("SET statement_timeout = 1000").await?;
    let content: String =
        session.value("SELECT content FROM rag.call_tool('short_nap', '{\"seconds\": 60}')").await?;
    ensure!(content == "error 57014: tool \"short_nap\" took longer than 60 ms", "{content}");
    session
        .refusal("SELECT c.content FROM rag.call_tool('short_nap', '{\"seconds\": 60}') c, pg_sleep(60)")
        .await?
        .expect("57014", "statement timeout", "")
}

/// A cancel and the limit at about the same moment: the statement ends or goes on, and no later one is cancelled by either.
async fn who_cancels_when_the_limit_is_over_cancels_nothing_else() -> Result<()> {
    let session = session_with_tools().await?;
    session
        .batch_execute("SELECT rag.create_tool('nap(float8)', 'short_nap', 'Sleeps.', timeout_ms => 40)")
        .await?;
    let sql = "SELECT content FROM rag.call_tool('short_nap', '{\"seconds\": 60}')";
    let (mut cancelled, mut observed) = (0, 0);
    for round in 0..60_u64 {
        let token = session.canceller();
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(25 + round % 30)).await;
            token.cancel().await
        };
        let (sent, result) = join(cancel, session.query(sql, &[])).await;
        sent?;
        match result {
            Ok(rows) => {
                let content: String = rows[0].get(0);
                ensure!(content.contains("took longer than 40 ms"), "{content}");
                observed += 1;
            }
            Err(error) => {
                refusal_in(&error)?.expect("57014", "due to user request", "")?;
                cancelled += 1;
            }
        }
        goes_on(&session).await?;
        let left: String = session.value("SHOW transaction_read_only").await?;
        ensure!(left == "off");
    }
    ensure!(cancelled > 0 && observed > 0, "{cancelled} cancelled, {observed} observed: no race");
    Ok(())
}

async fn a_search_tool_finds_what_its_caller_may_read() -> Result<()> {
    let server = Server::start().await?;
    let admin = server.session().await?;
    let database: String = admin.value("SELECT current_database()::text").await?;
    admin
        .batch_execute(
            "CREATE ROLE reader LOGIN;
             CREATE TABLE notes (id int PRIMARY KEY, tenant name, body text);
             INSERT INTO notes SELECT g, CASE WHEN g % 4 = 0 THEN 'reader' ELSE 'owner' END,
                                      'the harbour of town ' || g || ' is closed in winter' FROM generate_series(1, 40) g;
             SELECT rag.create_collection('notes', 'notes', 'body', metadata => '{tenant}', sync => 'manual');
             SELECT rag.create_search_tool('notes', 'search', k => 20)",
        )
        .await?;
    let reader = server.connect_as("reader", &database).await?;
    let call = "SELECT content FROM rag.call_tool('search', '{\"query\": \"harbour in winter\"}')";
    reader.refusal(call).await?.expect("42501", "permission denied for the source", "SELECT")?;
    ensure!(!reader.value::<bool>("SELECT usable FROM rag.tools").await?);
    reader.refusal("SELECT rag.create_search_tool('notes', 'mine')").await?.expect(
        "42501",
        "permission denied",
        "SELECT",
    )?;
    admin.batch_execute("GRANT SELECT (id, tenant) ON notes TO reader").await?;
    reader.refusal(call).await?.expect("42501", "permission denied for the source", "SELECT")?;
    admin
        .batch_execute(
            "GRANT SELECT (body) ON notes TO reader; ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
             CREATE POLICY own ON notes FOR SELECT USING (tenant = current_user)",
        )
        .await?;
    let own = "SELECT rows, (SELECT bool_and(row -> 'metadata' ->> 'tenant' = 'reader') FROM json_array_elements(content::json) row)
               FROM rag.call_tool('search', '{\"query\": \"harbour in winter\"}')";
    let row = reader.query_one(own, &[]).await?;
    ensure!(row.get::<_, i64>(0) == 10 && row.get::<_, bool>(1), "others' rows, or not all of one's own");
    // A filter cannot ask for more.
    let rows: i64 = reader
        .value("SELECT rows FROM rag.call_tool('search', '{\"query\": \"harbour\", \"filter\": {\"tenant\": \"owner\"}}')")
        .await?;
    ensure!(rows == 0);
    Ok(())
}

async fn a_call_is_refused_as_soon_as_execute_is_revoked() -> Result<()> {
    let server = Server::start().await?;
    let admin = server.session().await?;
    let database: String = admin.value("SELECT current_database()::text").await?;
    admin
        .batch_execute(
            "CREATE ROLE agent LOGIN;
             CREATE FUNCTION add(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a + b';
             SELECT rag.create_tool('add(int, int)', description => 'Adds.')",
        )
        .await?;
    let agent = server.connect_as("agent", &database).await?;
    let call = "SELECT content FROM rag.call_tool('add', '{\"a\": 1, \"b\": 2}')";
    ensure!(agent.value::<String>(call).await? == "3");
    admin.batch_execute("REVOKE EXECUTE ON FUNCTION add FROM PUBLIC").await?;
    agent.refusal(call).await?.expect("42501", "permission denied for function", "")?;
    admin.batch_execute("GRANT EXECUTE ON FUNCTION add TO agent").await?;
    ensure!(agent.value::<String>(call).await? == "3");
    // Another function of the same signature is the tool, with its own rights.
    admin
        .batch_execute(
            "DROP FUNCTION add; CREATE FUNCTION add(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a - b'",
        )
        .await?;
    ensure!(agent.value::<String>(call).await? == "-1");
    admin.batch_execute("REVOKE EXECUTE ON FUNCTION add FROM PUBLIC").await?;
    agent.refusal(call).await?.expect("42501", "permission denied for function", "")
}

async fn a_login_role_gains_nothing_by_a_tool() -> Result<()> {
    let server = Server::start().await?;
    let admin = server.session().await?;
    let database: String = admin.value("SELECT current_database()::text").await?;
    admin
        .batch_execute(
            "CREATE ROLE agent LOGIN;
             CREATE FUNCTION attack(how text) RETURNS text LANGUAGE plpgsql AS $$
             BEGIN EXECUTE how; ALTER ROLE agent SUPERUSER; RETURN 'done'; END $$;
             CREATE TABLE secrets (secret text);
             INSERT INTO secrets VALUES ('x');
             SELECT rag.create_tool('attack(text)', 'attack', 'Attacks.', writes => true),
                    rag.create_tool('attack(text)', 'read', 'Attacks.')",
        )
        .await?;
    let agent = server.connect_as("agent", &database).await?;
    for how in [
        "RESET ROLE",
        "RESET SESSION AUTHORIZATION",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "SELECT * FROM secrets",
        "UPDATE rag._tool SET owner = 'agent'",
        "SELECT 1",
    ] {
        for tool in ["attack", "read"] {
            let sql = "SELECT sqlstate FROM rag.call_tool($2, jsonb_build_object('how', $1::text))";
            let sqlstate: Option<String> = agent.value_of(sql, &[&how, &tool]).await?;
            let expected = if tool == "read" { ["42501", "25006"] } else { ["42501"; 2] };
            let refused = sqlstate.as_deref().is_some_and(|code| expected.contains(&code));
            ensure!(refused, "{tool}: {how}: {sqlstate:?}");
        }
    }
    ensure!(!admin.value::<bool>("SELECT rolsuper FROM pg_roles WHERE rolname = 'agent'").await?);
    Ok(())
}

async fn tools_come_through_dump_and_restore() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    session
        .batch_execute(
            "CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('sad', 'happy');
             CREATE FUNCTION app.feel(mood app.mood, often int DEFAULT 2) RETURNS text LANGUAGE sql
               AS $$ SELECT repeat(mood::text, often) $$;
             COMMENT ON FUNCTION app.feel IS 'Feels.';
             CREATE TABLE notes (id int PRIMARY KEY, body text);
             INSERT INTO notes VALUES (1, 'the harbour is closed in winter');
             SELECT rag.create_collection('notes', 'notes', 'body', sync => 'manual');
             SELECT rag.create_tool('app.feel(app.mood, int)', requires_approval => true),
                    rag.create_search_tool('notes', description => 'Finds notes.')",
        )
        .await?;
    let all = "SELECT string_agg(t::text, ' ' ORDER BY name) FROM rag.tools t";
    let before: String = session.value(all).await?;
    let name: String = session.value("SELECT current_database()::text").await?;
    let dump = server.folder().join(format!("{name}.dump"));
    run(server.client("pg_dump")?.args(["--dbname", &name, "--file"]).arg(&dump))?;
    let restored = server.empty_database("").await?;
    let options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &restored, "-f"];
    run(server.client("psql")?.args(options).arg(&dump))?;
    let restored = server.connect(&restored).await?;
    ensure!(restored.value::<String>(all).await? == before);
    let felt: String =
        restored.value("SELECT content FROM rag.call_tool('feel', '{\"mood\": \"sad\"}')").await?;
    ensure!(felt == "\"sadsad\"", "{felt}");
    let rows: i64 =
        restored.value("SELECT rows FROM rag.call_tool('search_notes', '{\"query\": \"harbour\"}')").await?;
    ensure!(rows == 1);
    Ok(())
}

async fn tools_work_on_a_hot_standby() -> Result<()> {
    let primary = Server::start().await?;
    let writer = primary.session().await?;
    writer.batch_execute(TOOLS).await?;
    writer
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text);
             INSERT INTO notes VALUES (1, 'the harbour is closed in winter');
             CREATE FUNCTION write(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO notes VALUES (n) RETURNING id';
             SELECT rag.create_tool('write(int)', description => 'Writes.', writes => true);
             SELECT rag.create_tool('nap(float8)', 'short_nap', 'Sleeps.', timeout_ms => 40);
             SELECT rag.create_collection('notes', 'notes', 'body', sync => 'manual');
             SELECT rag.create_search_tool('notes')",
        )
        .await?;
    let database: String = writer.value("SELECT current_database()::text").await?;
    let standby = Server::standby_of(&primary).await?;
    let reader = standby.connect(&database).await?;
    let content = async |call: &str| {
        reader.value::<String>(&format!("SELECT content FROM rag.call_tool({call})")).await
    };
    ensure!(content("'nap', '{\"seconds\": 0}'").await? == "done");
    let slow = content("'short_nap', '{\"seconds\": 60}'").await?;
    ensure!(slow.contains("took longer than 40 ms"), "{slow}");
    let found = content("'search_notes', '{\"query\": \"harbour\"}'").await?;
    ensure!(found.contains("closed in winter"), "{found}");
    let written = content("'write', '{\"n\": 2}'").await?;
    ensure!(written.contains("25006"), "{written}");
    Ok(())
}

async fn tools_work_in_latin1() -> Result<()> {
    let server = shared().await?;
    let name = server.empty_database("ENCODING 'LATIN1' LOCALE 'C'").await?;
    let session = server.connect(&name).await?;
    session
        .batch_execute(
            "CREATE EXTENSION ragstone CASCADE;
             CREATE FUNCTION echo(word text, often int DEFAULT 1) RETURNS SETOF text LANGUAGE sql
               AS $$ SELECT repeat(word, often) $$;
             SELECT rag.create_tool('echo(text, int)', description => 'Sagt es zurück.', max_bytes => 300)",
        )
        .await?;
    let call =
        "SELECT content FROM rag.call_tool('echo', jsonb_build_object('word', $1::text, 'often', $2::int))";
    let content: String = session.value_of(call, &[&"Grüße", &2]).await?;
    ensure!(content == "[\"GrüßeGrüße\"]", "{content}");
    // Fewer bytes in the database than where they are shown.
    let content: String = session.value_of(call, &[&"ü", &200]).await?;
    ensure!(content.ends_with("ü\n(cut: the first row alone has 202 bytes)"), "{content}");
    // What the encoding has not is an observation.
    let sql = "SELECT content FROM rag.call_tool('echo', '{\"word\": \"\\u20ac\"}'::jsonb)";
    let refused = session.value::<String>(sql).await;
    ensure!(refused.is_err() || refused.is_ok_and(|content| content.contains("error 22P05")));
    Ok(())
}

/// PL/pgSQL makes all of its rows before it gives the first; they go to disk over work_mem, and no further.
async fn a_tool_of_a_million_rows_gives_its_first() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE FUNCTION many() RETURNS TABLE (n int, text text) LANGUAGE plpgsql AS
             $$ BEGIN FOR n, text IN SELECT g, 'row ' || g FROM generate_series(1, 1000000) g LOOP RETURN NEXT; END LOOP; END $$;
             SELECT rag.create_tool('many()', description => 'Gives many rows.', timeout_ms => 60000)",
        )
        .await?;
    let row = session.query_one("SELECT content, rows, truncated FROM rag.call_tool('many')", &[]).await?;
    let content: String = row.get(0);
    ensure!(row.get::<_, i64>(1) == 100 && row.get::<_, bool>(2));
    ensure!(content.starts_with("[{\"n\":1,\"text\":\"row 1\"},"), "{content}");
    ensure!(content.ends_with("\n(cut: the first 100 rows; there are more)"), "{content}");
    Ok(())
}
