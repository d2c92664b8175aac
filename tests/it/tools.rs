//! Tools: who may stop them, whose rights they have, and where they work.

use crate::tool_limits::TOOLS;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Server, run, shared};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_search_tool_finds_what_its_caller_may_read,
        a_call_is_refused_as_soon_as_execute_is_revoked,
        a_login_role_gains_nothing_by_a_tool,
        tools_come_through_dump_and_restore,
        tools_work_on_a_hot_standby,
        what_does_not_write_leaves_nothing,
        tools_work_in_latin1,
        a_tool_of_a_million_rows_gives_its_first,
        functions_of_the_same_name_are_not_called_instead,
    ]
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
    // A filter cannot widen the result.
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
    // Another function with the same signature becomes the tool, with its own rights.
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

/// Before PostgreSQL 16 a read-only transaction may change large objects, and in all versions it may notify,
/// listen and fill temporary tables.
async fn what_does_not_write_leaves_nothing() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TEMPORARY TABLE kept (number int);
             CREATE FUNCTION spread() RETURNS text LANGUAGE plpgsql AS $$
             BEGIN
               INSERT INTO kept VALUES (1);
               PERFORM pg_notify('spread', 'told');
               EXECUTE 'LISTEN others';
               BEGIN PERFORM lo_create(4711); EXCEPTION WHEN read_only_sql_transaction THEN NULL; END;
               RETURN 'spread';
             END $$;
             SELECT rag.create_tool('spread()', description => 'Leaves what it can.');
             SELECT rag.create_tool('spread()', 'spread_and_write', 'Leaves what it can.', writes => true);
             LISTEN spread",
        )
        .await?;
    let left = "SELECT concat_ws(' ', (SELECT count(*) FROM kept),
                         (SELECT count(*) FROM pg_largeobject_metadata WHERE oid = 4711),
                         (SELECT string_agg(c, ',' ORDER BY c) FROM pg_listening_channels() c))";
    let content = session.value::<String>("SELECT content FROM rag.call_tool('spread')").await?;
    ensure!(content == "\"spread\"", "{content}");
    ensure!(session.value::<String>(left).await? == "0 0 spread");
    ensure!(session.take_notifications().is_empty());
    session.batch_execute("SELECT content FROM rag.call_tool('spread_and_write')").await?;
    ensure!(session.value::<String>(left).await? == "1 1 others,spread");
    ensure!(session.take_notifications().len() == 1);
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
    // The text has fewer bytes in the database's encoding than in the client's.
    let content: String = session.value_of(call, &[&"ü", &200]).await?;
    ensure!(content.ends_with("ü\n(cut: the first row alone has 202 bytes)"), "{content}");
    // A character that the encoding lacks causes an observation.
    let sql = "SELECT content FROM rag.call_tool('echo', '{\"word\": \"\\u20ac\"}'::jsonb)";
    let refused = session.value::<String>(sql).await;
    ensure!(refused.is_err() || refused.is_ok_and(|content| content.contains("error 22P05")));
    Ok(())
}

/// PL/pgSQL computes all of its rows before it returns the first one; beyond `work_mem` they are written to
/// disk.
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

async fn functions_of_the_same_name_are_not_called_instead() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE SCHEMA tools;
             CREATE FUNCTION tools.look(a int, b bigint DEFAULT 2, c text[] DEFAULT '{x,y}', d varchar DEFAULT NULL) RETURNS text
               LANGUAGE sql AS 'SELECT concat_ws('','', a, b, c, coalesce(d, ''none''))';
             SELECT rag.create_tool('tools.look(int, bigint, text[], varchar)', description => 'Looks.')",
        )
        .await?;
    let calls = [
        (r#"{"a": 1}"#, "1,2,{x,y},none"),
        (r#"{"a": 1, "c": ["z"]}"#, "1,2,{z},none"),
        (r#"{"d": "given", "a": 1, "b": null}"#, "1,2,{x,y},given"),
    ];
    for beside in [
        "SELECT",
        "CREATE FUNCTION tools.look(a int) RETURNS text LANGUAGE sql AS 'SELECT ''another''::text'",
        "CREATE FUNCTION tools.look(a int, b int DEFAULT 3) RETURNS text LANGUAGE sql AS 'SELECT ''another''::text'",
        "CREATE FUNCTION tools.look(a int, b bigint, c text[], d text DEFAULT '') RETURNS text LANGUAGE sql AS 'SELECT ''another''::text'",
        "CREATE FUNCTION tools.look(a int, b bigint, c text[], d varchar, e int DEFAULT 1) RETURNS text LANGUAGE sql AS 'SELECT ''another''::text'",
        "CREATE FUNCTION tools.look(VARIADIC a int[]) RETURNS text LANGUAGE sql AS 'SELECT ''another''::text'",
        "CREATE FUNCTION tools.look(b bigint, a int, c text[], d varchar) RETURNS text LANGUAGE sql AS 'SELECT ''another''::text'",
    ] {
        session.batch_execute(beside).await?;
        for (arguments, expected) in calls {
            let found: String = session
                .value_of(
                    "SELECT content::json #>> '{}' FROM rag.call_tool('look', $1::text::jsonb)",
                    &[&arguments],
                )
                .await?;
            ensure!(found == expected, "{arguments} gave {found} beside {beside}");
        }
    }
    Ok(())
}
