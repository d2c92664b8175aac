//! The owner of a collection alters its chunk and terms tables: each statement that relies on them is
//! refused, and the server continues.

use crate::followed::{current, make};
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_column_of_another_type_is_refused_by_each_statement,
        what_is_attached_to_a_table_is_refused_by_each_statement,
        what_one_session_alters_is_seen_by_all_at_once,
        a_worker_says_which_table_was_altered_and_goes_on_when_it_is_mended,
    ]
}

/// Types to which a column is altered, each with a value of that type.
const TYPES: [(&str, &str); 6] = [
    ("bigint", "4096"),
    ("numeric", "4096"),
    ("text", "'x'"),
    ("bytea", r"'\x1000'"),
    ("small_text", "'x'"),
    ("pair", "ROW (1, 'x')"),
];

/// Statements that rely on both tables.
const STATEMENTS: [&str; 5] = [
    "SELECT * FROM rag.search('c', 'text', mode => 'text')",
    "SELECT * FROM rag.search('c', 'text', mode => 'vector')",
    "SELECT * FROM rag.search('c', 'text')",
    "SELECT * FROM rag.ask('c', 'Which text is it?')",
    "SELECT rag.refresh_collection('c')",
];

/// Drops the objects that prevent columns from being altered, as the owner could.
const STRIP: &str = "
    DO $$ DECLARE command text; BEGIN
      FOR command IN SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
                     FROM pg_constraint WHERE conrelid IN ('c_chunks'::regclass, 'c_terms'::regclass) AND contype = 'p'
      LOOP EXECUTE command; END LOOP;
      FOR command IN SELECT format('DROP INDEX %s', indexrelid::regclass)
                     FROM pg_index WHERE indrelid IN ('c_chunks'::regclass, 'c_terms'::regclass)
      LOOP EXECUTE command; END LOOP;
    END $$;
    ALTER TABLE c_chunks ALTER chunk_id DROP IDENTITY IF EXISTS";

async fn world() -> Result<(Server, Session)> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, 20, "").await?;
    session
        .batch_execute("CREATE DOMAIN small_text AS text; CREATE TYPE pair AS (number int, word text)")
        .await?;
    Ok((server, session))
}

async fn a_column_of_another_type_is_refused_by_each_statement() -> Result<()> {
    let (_server, session) = world().await?;
    let columns = session
        .query(
            "SELECT attrelid::regclass::text, attname::text, format_type(atttypid, NULL)
             FROM pg_attribute WHERE attrelid IN ('c_chunks'::regclass, 'c_terms'::regclass) AND attnum > 0",
            &[],
        )
        .await?;
    ensure!(columns.len() == 16, "{} columns", columns.len());
    let backend = session.backend().await?;
    for column in &columns {
        let (table, name, own): (String, String, String) = (column.get(0), column.get(1), column.get(2));
        for (kind, value) in TYPES.into_iter().filter(|(kind, _)| *kind != own) {
            let alter = format!("ALTER TABLE {table} ALTER {name} TYPE {kind} USING {value}::{kind}");
            session.batch_execute(&format!("BEGIN; {STRIP}; {alter}")).await.context(alter.clone())?;
            // A key column is read with its current type.
            let expected = (!name.starts_with("key_")).then_some("42804");
            refused(&session, expected).await.context(alter)?;
            session.batch_execute("SELECT rag.drop_collection('c')").await?;
            session.batch_execute("ROLLBACK").await?;
        }
    }
    ensure!(session.backend().await? == backend, "the session was lost");
    current(&session).await
}

async fn what_is_attached_to_a_table_is_refused_by_each_statement() -> Result<()> {
    let (_server, session) = world().await?;
    for attach in [
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER f BEFORE INSERT ON c_terms FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE RULE r AS ON INSERT TO c_terms DO ALSO NOTHING",
        "ALTER TABLE c_chunks ENABLE ROW LEVEL SECURITY",
        "CREATE TABLE child () INHERITS (c_terms)",
        "CREATE TABLE mine (chunk bigint REFERENCES c_chunks (chunk_id) ON DELETE CASCADE)",
        "ALTER TABLE c_chunks ADD mine text; ALTER TABLE c_chunks ALTER mine SET DEFAULT pg_sleep(60)::text",
        "ALTER TABLE c_terms ADD CHECK (pg_sleep(60) IS NOT NULL) NOT VALID",
        "CREATE FUNCTION slow(bytea) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
         CREATE INDEX ON c_terms ((slow(data)))",
        "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
         CREATE STATISTICS s ON (slow(seq)), words FROM c_chunks",
        "CREATE INDEX ON c_chunks ((content::small_text))",
        "ALTER TABLE c_chunks DROP heading; ALTER TABLE c_chunks ADD heading text GENERATED ALWAYS AS ('x') STORED",
    ] {
        session.batch_execute(&format!("BEGIN; {attach}")).await?;
        let expected = if attach.contains("GENERATED") { "42804" } else { "42809" };
        refused(&session, Some(expected)).await.context(attach)?;
        session.batch_execute("ROLLBACK").await?;
    }
    // An index that uses only PostgreSQL's own functions is allowed.
    session
        .batch_execute("CREATE INDEX ON c_chunks ((metadata ->> 'kind')) WHERE lower(heading) <> ''")
        .await?;
    session.batch_execute("BEGIN").await?;
    refused(&session, None).await?;
    session.batch_execute("COMMIT").await?;
    current(&session).await
}

/// Sessions that have found the tables unaltered do not check them again until they change.
async fn what_one_session_alters_is_seen_by_all_at_once() -> Result<()> {
    let (server, session) = world().await?;
    let other = server.connect_beside(&session).await?;
    let search = "SELECT count(*) FROM rag.search('c', 'text', mode => 'text')";
    for (alter, undo, code) in [
        (
            "ALTER TABLE c_chunks ALTER heading TYPE bigint USING 4096",
            "ALTER TABLE c_chunks ALTER heading TYPE text USING NULL",
            "42804",
        ),
        ("CREATE RULE r AS ON INSERT TO c_terms DO ALSO NOTHING", "DROP RULE r ON c_terms", "42809"),
        ("CREATE TABLE child () INHERITS (c_chunks)", "DROP TABLE child", "42809"),
        (
            "ALTER TABLE c_terms ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE c_terms DISABLE ROW LEVEL SECURITY",
            "42809",
        ),
    ] {
        for _ in 0..2 {
            ensure!(other.value::<i64>(search).await? > 0);
        }
        session.batch_execute(alter).await.context(alter)?;
        let refusal = other.refusal(search).await?;
        ensure!(refusal.code == code, "{alter}: {refusal:?}");
        session.batch_execute(undo).await.context(undo)?;
    }
    ensure!(other.value::<i64>(search).await? > 0);
    Ok(())
}

/// Fails unless each statement is refused, with this SQLSTATE if one is given.
async fn refused(session: &Session, sqlstate: Option<&str>) -> Result<()> {
    for statement in STATEMENTS {
        session.batch_execute("SAVEPOINT statement").await?;
        let refusal = match sqlstate {
            Some(_) => Some(session.refusal(statement).await?),
            None => session.refusal(statement).await.ok(),
        };
        session.batch_execute("ROLLBACK TO statement").await?;
        let Some(refusal) = refusal else { continue };
        ensure!(sqlstate.is_none_or(|code| refusal.code == code), "{statement}: {refusal:?}");
        ensure!(refusal.code != "XX000", "{statement}: {refusal:?}");
    }
    if sqlstate.is_some() {
        let state: String = session.value("SELECT state FROM rag.collections WHERE name = 'c'").await?;
        ensure!(state == "failed", "{state}");
    }
    Ok(())
}

async fn a_worker_says_which_table_was_altered_and_goes_on_when_it_is_mended() -> Result<()> {
    let (_server, session) = world().await?;
    let started: String = session.value("SELECT pg_postmaster_start_time()::text").await?;
    session
        .batch_execute(
            "ALTER TABLE c_chunks ALTER heading TYPE bigint USING 4096;
             INSERT INTO t VALUES (1000, 'after the change')",
        )
        .await?;
    let refusal = session.refusal("SELECT rag.wait_until_current('c', '60s')").await?;
    ensure!(refusal.code == "42804", "{refusal:?}");
    let error: String = session.value("SELECT reason FROM rag.collections WHERE name = 'c'").await?;
    ensure!(error.contains("column \"heading\" of table c_chunks"), "{error}");
    session.batch_execute("ALTER TABLE c_chunks ALTER heading TYPE text USING NULL").await?;
    session.batch_execute("SELECT rag.refresh_collection('c')").await?;
    session.batch_execute("INSERT INTO t VALUES (1001, 'after the mend')").await?;
    current(&session).await?;
    let now: String = session.value("SELECT pg_postmaster_start_time()::text").await?;
    ensure!(now == started, "the server was restarted");
    Ok(())
}
