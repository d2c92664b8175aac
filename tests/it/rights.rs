//! Which role's rights apply: those of the chunk table's owner for the candidates, those of the caller for
//! the rows.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        row_level_security_holds_and_results_are_topped_up,
        column_privileges_hold,
        no_privilege_on_the_source_is_refused,
        the_chunk_table_is_the_owners_alone,
        only_the_owner_makes_refreshes_and_drops,
        an_owners_check_on_the_chunk_table_gains_nothing,
        an_owners_check_cannot_reset_the_role,
        an_owners_functions_and_operators_are_not_called_by_name,
        the_public_may_call_what_views_and_searches_need,
        functions_in_a_query_see_no_hidden_rows_of_views,
        settings_that_name_files_are_not_for_users,
    ]
}

/// A server of its own (roles are cluster-wide) with the roles owner, reader and stranger, and owner's
/// collection `notes` of a table in which every fourth row belongs to the reader.
struct World {
    server: Server,
    database: String,
    admin: Session,
    owner: Session,
    reader: Session,
}

impl World {
    async fn new() -> Result<Self> {
        let server = Server::start().await?;
        let admin = server.session().await?;
        let database: String = admin.value("SELECT current_database()::text").await?;
        admin
            .batch_execute(
                "CREATE ROLE owner LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE stranger LOGIN;
                 CREATE SCHEMA app AUTHORIZATION owner; GRANT USAGE ON SCHEMA app TO PUBLIC;
                 CREATE TABLE app.notes (id int PRIMARY KEY, tenant name, title text, body text, secret text);
                 ALTER TABLE app.notes OWNER TO owner;
                 INSERT INTO app.notes
                   SELECT g, CASE WHEN g % 4 = 0 THEN 'reader' ELSE 'owner' END, 'note ' || g,
                          'the harbour of town ' || g || ' is closed in winter', 'secret ' || g
                   FROM generate_series(1, 200) g",
            )
            .await?;
        let owner = server.connect_as("owner", &database).await?;
        owner
            .batch_execute(
                "SELECT rag.create_collection('notes', 'app.notes', 'body', 'title', ARRAY['tenant'], sync => 'manual')",
            )
            .await?;
        let reader = server.connect_as("reader", &database).await?;
        Ok(Self { server, database, admin, owner, reader })
    }
}

/// The keys that all modes find.
async fn found(session: &Session, k: i32) -> Result<Vec<i32>> {
    let sql = "SELECT (source_key ->> 'id')::int FROM unnest(ARRAY['vector', 'text', 'hybrid']) mode,
               rag.search('notes', 'the harbour of town 7 in winter', k => $1, mode => mode)";
    Ok(session.query(sql, &[&k]).await?.iter().map(|row| row.get(0)).collect())
}

async fn row_level_security_holds_and_results_are_topped_up() -> Result<()> {
    let world = World::new().await?;
    world
        .owner
        .batch_execute(
            "ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY;
             CREATE POLICY own ON app.notes FOR SELECT USING (tenant = current_user);
             GRANT SELECT ON app.notes TO reader",
        )
        .await?;
    let keys = found(&world.reader, 20).await?;
    ensure!(keys.iter().all(|key| key % 4 == 0), "rows of another tenant: {keys:?}");
    ensure!(keys.len() == 60, "{} results, expected 20 in each of 3 modes", keys.len());
    // Policies do not apply to the owner of the table.
    ensure!(found(&world.owner, 20).await?.iter().any(|key| key % 4 != 0));
    Ok(())
}

async fn column_privileges_hold() -> Result<()> {
    let world = World::new().await?;
    world.owner.batch_execute("GRANT SELECT (id, tenant, title, body) ON app.notes TO reader").await?;
    ensure!(found(&world.reader, 5).await?.len() == 15, "the columns of a collection are enough");
    for column in ["id", "tenant", "title", "body"] {
        world.owner.batch_execute(&format!("REVOKE SELECT ({column}) ON app.notes FROM reader")).await?;
        let refusal = world.reader.refusal("SELECT * FROM rag.search('notes', 'harbour')").await?;
        ensure!(refusal.code == "42501", "without {column}: {refusal:?}");
        world.owner.batch_execute(&format!("GRANT SELECT ({column}) ON app.notes TO reader")).await?;
    }
    Ok(())
}

async fn no_privilege_on_the_source_is_refused() -> Result<()> {
    let world = World::new().await?;
    let refusal = world.reader.refusal("SELECT * FROM rag.search('notes', 'harbour')").await?;
    ensure!(refusal.code == "42501" && refusal.message.contains("notes"), "{refusal:?}");
    Ok(())
}

/// The chunk table's qualified name.
async fn chunk_table(world: &World) -> Result<String> {
    world
        .admin
        .value(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
             WHERE relkind = 'r' AND relnamespace = 'app'::regnamespace AND format_type(atttypid, atttypmod) LIKE '%halfvec%'",
        )
        .await
}

async fn the_chunk_table_is_the_owners_alone() -> Result<()> {
    let world = World::new().await?;
    let table = chunk_table(&world).await?;
    world.owner.batch_execute("GRANT SELECT ON app.notes TO reader").await?;
    for statement in ["SELECT * FROM", "DELETE FROM", "TRUNCATE"] {
        let refusal = world.reader.refusal(&format!("{statement} {table}")).await?;
        ensure!(refusal.code == "42501", "{statement}: {refusal:?}");
    }
    let owner: String = world
        .admin
        .value(&format!("SELECT relowner::regrole::text FROM pg_class WHERE oid = '{table}'::regclass"))
        .await?;
    ensure!(owner == "owner", "the chunk table belongs to {owner}");
    Ok(())
}

async fn only_the_owner_makes_refreshes_and_drops() -> Result<()> {
    let world = World::new().await?;
    world.owner.batch_execute("GRANT SELECT ON app.notes TO reader").await?;
    for call in [
        "rag.create_collection('mine', 'app.notes', 'body', sync => 'manual')",
        "rag.refresh_collection('notes')",
        "rag.drop_collection('notes')",
    ] {
        let refusal = world.reader.refusal(&format!("SELECT {call}")).await?;
        ensure!(refusal.code == "42501", "{call}: {refusal:?}");
    }
    world
        .owner
        .batch_execute("SELECT rag.refresh_collection('notes'); SELECT rag.drop_collection('notes')")
        .await?;
    Ok(())
}

/// Adds a check of the owner to the chunk table, and lets the superuser refresh the collection.
async fn refresh_with_check(body: &str) -> Result<(World, Option<String>)> {
    let world = World::new().await?;
    let table = chunk_table(&world).await?;
    world
        .owner
        .batch_execute(&format!(
            "CREATE TABLE app.log (who name);
             CREATE FUNCTION app.exploit() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN {body} RETURN true; END $$;
             ALTER TABLE {table} ADD CHECK (app.exploit()) NOT VALID;
             INSERT INTO app.notes VALUES (1000, 'owner', 'new', 'a new note', NULL)"
        ))
        .await?;
    let refreshed = world.admin.query("SELECT * FROM rag.refresh_collection('notes')", &[]).await;
    let code = refreshed.err().and_then(|error| error.code().map(|code| code.code().to_owned()));
    ensure!(!is_superuser(&world).await?, "the owner has become superuser");
    Ok((world, code))
}

async fn is_superuser(world: &World) -> Result<bool> {
    world.admin.value("SELECT rolsuper FROM pg_roles WHERE rolname = 'owner'").await
}

async fn an_owners_check_on_the_chunk_table_gains_nothing() -> Result<()> {
    let (world, code) = refresh_with_check("INSERT INTO app.log VALUES (current_user);").await?;
    ensure!(code.is_none(), "the refresh failed with {code:?}");
    let users: Vec<String> =
        world.owner.query("SELECT who::text FROM app.log", &[]).await?.iter().map(|row| row.get(0)).collect();
    ensure!(users == ["owner"], "the check ran as {users:?}");
    let (_, code) = refresh_with_check("EXECUTE 'ALTER ROLE owner SUPERUSER';").await?;
    ensure!(code.as_deref() == Some("42501"), "{code:?}");
    Ok(())
}

async fn an_owners_check_cannot_reset_the_role() -> Result<()> {
    for statement in
        ["RESET ROLE", "SET ROLE postgres", "SET SESSION AUTHORIZATION DEFAULT", "SET LOCAL role = none"]
    {
        let body = format!("EXECUTE '{statement}'; EXECUTE 'ALTER ROLE owner SUPERUSER';");
        let (_, code) = refresh_with_check(&body).await?;
        ensure!(code.as_deref() == Some("42501"), "{statement}: {code:?}");
    }
    Ok(())
}

/// Functions and operators that match built-in names better must not be found, whatever the search path of
/// the calling superuser.
async fn an_owners_functions_and_operators_are_not_called_by_name() -> Result<()> {
    let world = World::new().await?;
    world
        .owner
        .batch_execute(
            "CREATE FUNCTION app.exploit() RETURNS void LANGUAGE plpgsql AS
               $$ BEGIN EXECUTE 'ALTER ROLE owner SUPERUSER'; END $$;
             CREATE FUNCTION app.equals(int, int) RETURNS bool LANGUAGE sql AS 'SELECT app.exploit(); SELECT true';
             CREATE FUNCTION app.equals(text, text) RETURNS bool LANGUAGE sql AS 'SELECT app.exploit(); SELECT true';
             CREATE OPERATOR app.= (FUNCTION = app.equals, LEFTARG = int, RIGHTARG = int);
             CREATE OPERATOR app.= (FUNCTION = app.equals, LEFTARG = text, RIGHTARG = text);
             CREATE FUNCTION app.to_tsvector(regconfig, text) RETURNS tsvector LANGUAGE sql AS
               'SELECT app.exploit(); SELECT pg_catalog.to_tsvector($1, $2)';
             CREATE FUNCTION app.md5(text) RETURNS text LANGUAGE sql AS 'SELECT app.exploit(); SELECT pg_catalog.md5($1)';
             CREATE FUNCTION app.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT app.exploit(); SELECT 1';
             INSERT INTO app.notes VALUES (1000, 'owner', 'new', 'a new note', NULL)",
        )
        .await?;
    world.admin.batch_execute("SET search_path = app, pg_catalog, public").await?;
    world.admin.batch_execute("SELECT * FROM rag.refresh_collection('notes')").await?;
    world
        .admin
        .batch_execute("SELECT * FROM rag.search('notes', 'harbour', filter => '{\"tenant\": \"reader\"}')")
        .await?;
    ensure!(!is_superuser(&world).await?, "the owner has become superuser");
    Ok(())
}

/// Functions in a view run with the rights of the role that reads the view, those of a search with the rights
/// of the collection's owner, and the role that restores a dump creates triggers. Therefore any role may
/// execute these few internal functions. They neither show nor change anything that belongs to a role.
const OPEN: &str = "_capture,_check_budget,_current_owner,_error_pattern,_follow_ddl,_follow_drops,_follow_names,_follow_rewrites,_histogram,_histogram_add,_histogram_merge,_histogram_sum,_is_built_in,_job_waits_for,_otlp,_quantile,_redactions_changed,_reports,_role_of,_semconv_url,_span_attributes,_span_id,_span_messages,_span_name,_spans,_stat_engine,_stat_log,_table_bytes,_text,_tools,_unix_nano,_version";

async fn the_public_may_call_what_views_and_searches_need() -> Result<()> {
    let world = World::new().await?;
    let open: String = world
        .admin
        .value(
            "SELECT coalesce(string_agg(proname, ',' ORDER BY proname), '') FROM pg_proc p
             WHERE pronamespace = 'rag'::regnamespace AND proname LIKE '\\_%'
               AND has_function_privilege('stranger', p.oid, 'EXECUTE')",
        )
        .await?;
    ensure!(open == OPEN, "PUBLIC may execute {open}");
    let stranger = world.server.connect_as("stranger", &world.database).await?;
    for view in ["stat_engine", "status()", "models()", "collections", "tools"] {
        stranger.batch_execute(&format!("SELECT * FROM rag.{view}")).await?;
    }
    let seen: i64 = stranger.value("SELECT count(*) FROM rag.collections").await?;
    ensure!(seen == 0, "a stranger sees the collections of tables that he may not read");
    Ok(())
}

/// A function in a reader's query sees no row that the reader may not see, however low its declared cost is.
async fn functions_in_a_query_see_no_hidden_rows_of_views() -> Result<()> {
    let world = World::new().await?;
    world
        .admin
        .batch_execute(
            "CREATE TABLE app.seen (view text, line text); GRANT ALL ON app.seen TO PUBLIC;
             CREATE FUNCTION app.look(name text, line text) RETURNS boolean VOLATILE COST 0.000001 LANGUAGE plpgsql AS
               'BEGIN INSERT INTO app.seen VALUES (name, line); RETURN true; END';
             INSERT INTO rag._failure (collection, key, attempts, sqlstate, message)
               SELECT id, '{key of a stranger}', 1, '22000', 'a secret' FROM rag.collection",
        )
        .await?;
    let views: Vec<String> = world
        .admin
        .value(
            "SELECT array_agg(relname::text) FROM pg_class
             WHERE relnamespace = 'rag'::regnamespace AND relkind = 'v' AND has_table_privilege('stranger', oid, 'SELECT')",
        )
        .await?;
    ensure!(views.len() > 20, "{views:?}");
    let stranger = world.server.connect_as("stranger", &world.database).await?;
    for view in views {
        let look = format!("SELECT count(*) FROM rag.{view} v WHERE app.look('{view}', v::text)");
        let counted: i64 = stranger.value(&look).await?;
        let seen = format!("SELECT count(*) FROM app.seen WHERE view = '{view}'");
        let seen: i64 = world.admin.value(&seen).await?;
        ensure!(counted == seen, "rag.{view} has {counted} rows for a stranger, whose function saw {seen}");
    }
    Ok(())
}

async fn settings_that_name_files_are_not_for_users() -> Result<()> {
    let world = World::new().await?;
    world.reader.batch_execute("LOAD 'ragstone'").await.ok();
    world.reader.execute("SELECT rag.embed('a')", &[]).await?;
    for name in ["engine_path", "models_path", "onnxruntime_path", "openvino_path", "socket_directory"] {
        let refusal = world.reader.refusal(&format!("SET rag.{name} = '/tmp'")).await?;
        ensure!(["55P02", "42501"].contains(&refusal.code.as_str()), "{name}: {refusal:?}");
        let shown = world.reader.refusal(&format!("SHOW rag.{name}")).await?;
        ensure!(shown.code == "42501", "{name} is shown to anybody");
    }
    Ok(())
}
