//! Changes by writers, and their effect on the collection.

use crate::followed::{converged, current, embedded, make, same};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        inserts_updates_and_deletes_are_followed,
        a_delete_removes_chunks_in_its_own_transaction,
        a_truncate_removes_chunks_in_its_own_transaction,
        copy_merge_and_upsert_are_followed,
        an_update_of_an_unwatched_column_notes_nothing,
        what_is_rolled_back_is_not_followed,
        a_before_trigger_decides_what_is_indexed,
        keys_of_many_types_come_back,
        what_no_trigger_sees_is_found_by_a_comparison,
        replica_sessions_are_followed,
        a_truncation_by_replication_is_followed,
        a_prepared_transaction_is_followed,
        a_repeatable_read_delete_leaves_no_orphan,
        an_immediate_collection_is_current_inside_the_transaction,
        an_immediate_write_does_not_fail_without_an_engine,
        a_capture_that_fails_does_not_break_the_write,
        no_role_queues_changes_for_a_collection_of_another,
        a_detached_partition_notes_nothing_more,
        unchanged_text_is_never_embedded_again,
    ]
}

async fn inserts_updates_and_deletes_are_followed() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 50, "").await?;
    same(&session).await?;
    session
        .batch_execute(
            "INSERT INTO t SELECT i, 'added ' || i FROM generate_series(51, 80) i;
             UPDATE t SET body = 'changed ' || id WHERE id % 3 = 0;
             DELETE FROM t WHERE id % 5 = 0;
             UPDATE t SET id = id + 1000 WHERE id % 7 = 0;
             UPDATE t SET body = NULL WHERE id % 11 = 0;
             UPDATE t SET id = id - 1 WHERE id BETWEEN 1000 AND 1020",
        )
        .await?;
    converged(&session).await
}

async fn a_delete_removes_chunks_in_its_own_transaction() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 20, "").await?;
    let count = "SELECT count(*) FROM c_chunks";
    session.batch_execute("BEGIN; DELETE FROM t WHERE id <= 5").await?;
    ensure!(session.value::<i64>(count).await? == 15);
    session.batch_execute("ROLLBACK").await?;
    ensure!(session.value::<i64>(count).await? == 20);
    let words = "SELECT (SELECT count(DISTINCT chunk_id) FROM rag._postings('c')), count(*) FROM c_chunks";
    session.batch_execute("DELETE FROM t WHERE id <= 5").await?;
    let row = session.query_one(words, &[]).await?;
    ensure!(row.get::<_, i64>(0) == 15 && row.get::<_, i64>(1) == 15, "{row:?}");
    converged(&session).await
}

async fn a_truncate_removes_chunks_in_its_own_transaction() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 20, "").await?;
    session.batch_execute("BEGIN; TRUNCATE t").await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM c_chunks").await? == 0);
    session.batch_execute("INSERT INTO t VALUES (7, 'after the truncation'); COMMIT").await?;
    converged(&session).await
}

async fn copy_merge_and_upsert_are_followed() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 10, "").await?;
    ragstone_tests::copy::copy_rows(
        &session,
        "t (id, body)",
        (11..40).map(|id| vec![id.to_string(), format!("copied {id}")]),
    )
    .await?;
    session
        .batch_execute(
            "INSERT INTO t VALUES (5, 'upserted'), (100, 'inserted') ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        )
        .await?;
    session
        .batch_execute(
            "MERGE INTO t USING (VALUES (6), (7), (200)) v (id) ON t.id = v.id
             WHEN MATCHED AND t.id = 6 THEN UPDATE SET body = 'merged'
             WHEN MATCHED THEN DELETE
             WHEN NOT MATCHED THEN INSERT (id, body) VALUES (v.id, 'merged in')",
        )
        .await?;
    converged(&session).await
}

async fn an_update_of_an_unwatched_column_notes_nothing() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 20, "").await?;
    session.batch_execute("BEGIN; UPDATE t SET seen = seen + 1, body = body").await?;
    let noted: i64 = session.value("SELECT count(*) FROM rag._queue").await?;
    session.batch_execute("COMMIT").await?;
    ensure!(noted == 0, "{noted} rows were noted");
    Ok(())
}

async fn what_is_rolled_back_is_not_followed() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 20, "").await?;
    session
        .batch_execute(
            "BEGIN; INSERT INTO t VALUES (100, 'never'); ROLLBACK;
             BEGIN; INSERT INTO t VALUES (101, 'kept'); SAVEPOINT s; INSERT INTO t VALUES (102, 'never');
             DELETE FROM t WHERE id = 1; ROLLBACK TO s; COMMIT",
        )
        .await?;
    converged(&session).await
}

async fn a_before_trigger_decides_what_is_indexed() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 5, "").await?;
    session
        .batch_execute(
            "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN NEW.body := upper(NEW.body); RETURN NEW; END $$;
             CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION shout();
             INSERT INTO t VALUES (6, 'quiet'); UPDATE t SET seen = 1 WHERE id = 1",
        )
        .await?;
    converged(&session).await?;
    let text: String = session.value("SELECT content FROM c_chunks WHERE key_1 = 1").await?;
    ensure!(text == "TEXT NUMBER 1", "{text}");
    Ok(())
}

async fn keys_of_many_types_come_back() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kolkata'; SET bytea_output = 'escape';
             SET extra_float_digits = -3; SET IntervalStyle = 'sql_standard';
             CREATE TABLE k (a timestamptz, b date, c bytea, d float8, e uuid, f interval, g text, body text,
                             PRIMARY KEY (a, b, c, d, e, f, g));
             SELECT rag.create_collection('c', 'k', 'body');
             INSERT INTO k SELECT now() + i * interval '1 day 3 hours', current_date + i, decode(md5(i::text), 'hex'),
               1.0 / i, md5(i::text)::uuid, i * interval '1 month 2 days', E'it''s, {\"' || i || E'\\\\', 'row ' || i
             FROM generate_series(1, 30) i",
        )
        .await?;
    current(&session).await?;
    let missing: i64 = session
        .value(
            "SELECT count(*) FROM k LEFT JOIN c_chunks c
               ON (a, b, c.key_3, d, e, f, g) = (key_1, key_2, k.c, key_4, key_5, key_6, key_7)
             WHERE content IS DISTINCT FROM body",
        )
        .await?;
    ensure!(missing == 0, "{missing} rows are missing");
    Ok(())
}

async fn what_no_trigger_sees_is_found_by_a_comparison() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 20, "").await?;
    session
        .batch_execute(
            "ALTER TABLE t DISABLE TRIGGER USER;
             INSERT INTO t VALUES (100, 'unseen'); UPDATE t SET body = 'unseen too' WHERE id = 3;
             DELETE FROM t WHERE id = 4;
             ALTER TABLE t ENABLE TRIGGER USER",
        )
        .await?;
    converged(&session).await
}

async fn replica_sessions_are_followed() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 20, "").await?;
    session
        .batch_execute(
            "SET session_replication_role = replica;
             INSERT INTO t VALUES (100, 'applied'); UPDATE t SET body = 'applied too' WHERE id = 3;
             UPDATE t SET id = 200 WHERE id = 5; DELETE FROM t WHERE id = 4;
             RESET session_replication_role",
        )
        .await?;
    converged(&session).await
}

async fn a_truncation_by_replication_is_followed() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 20, "").await?;
    session
        .batch_execute("SET session_replication_role = replica; TRUNCATE t; RESET session_replication_role")
        .await?;
    converged(&session).await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM c_chunks").await? == 0, "chunks are left");
    Ok(())
}

async fn a_prepared_transaction_is_followed() -> Result<()> {
    let server = Server::start_with(Options::default().set("max_prepared_transactions", "5")).await?;
    let session = server.session().await?;
    make(&session, 5, "").await?;
    session.batch_execute("BEGIN; INSERT INTO t VALUES (6, 'prepared'); PREPARE TRANSACTION 'p'").await?;
    current(&session).await?;
    session.batch_execute("COMMIT PREPARED 'p'").await?;
    converged(&session).await
}

async fn a_repeatable_read_delete_leaves_no_orphan() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 5, "").await?;
    let other = server.connect_beside(&session).await?;
    // The chunks of row 6 are committed after the snapshot was taken with which the row is deleted.
    session.batch_execute("INSERT INTO t VALUES (6, 'soon gone')").await?;
    other.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM t").await?;
    current(&session).await?;
    other.batch_execute("DELETE FROM t WHERE id = 6; COMMIT").await?;
    converged(&session).await
}

async fn an_immediate_collection_is_current_inside_the_transaction() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 10, ", sync => 'immediate'").await?;
    session
        .batch_execute(
            "BEGIN; INSERT INTO t VALUES (11, 'a capybara by the river'); UPDATE t SET body = 'changed' WHERE id = 3;
             DELETE FROM t WHERE id = 4",
        )
        .await?;
    same(&session).await?;
    let first: String =
        session.value("SELECT source_key ->> 'id' FROM rag.search('c', 'capybara', k => 1)").await?;
    ensure!(first == "11");
    session.batch_execute("ROLLBACK").await?;
    same(&session).await
}

async fn an_immediate_write_does_not_fail_without_an_engine() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, 5, ", sync => 'immediate'").await?;
    away(&server, &session).await?;
    session.batch_execute("SET rag.request_timeout = '200ms'; INSERT INTO t VALUES (6, 'later')").await?;
    let notices = session.take_notices();
    ensure!(notices.iter().any(|notice| notice.message.contains("will be updated later")), "{notices:?}");
    back(&server, &session).await?;
    converged(&session).await
}

/// Makes the engine unavailable.
pub async fn away(server: &Server, session: &Session) -> Result<()> {
    session.batch_execute("ALTER SYSTEM SET rag.engine_path = '/nowhere/ragstone-engine'").await?;
    session.batch_execute("SELECT pg_reload_conf()").await?;
    wait::until("the engine has gone", async || Ok(server.engines().is_empty().then_some(()))).await
}

/// Makes the engine available again.
pub async fn back(server: &Server, session: &Session) -> Result<()> {
    session.batch_execute("ALTER SYSTEM RESET rag.engine_path").await?;
    session.batch_execute("SELECT pg_reload_conf(); RESET rag.request_timeout").await?;
    server.engine(session).await.map(|_| ())
}

async fn a_capture_that_fails_does_not_break_the_write() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 5, "").await?;
    session
        .batch_execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN IF NEW.key IS NOT NULL THEN RAISE 'no'; END IF; RETURN NEW; END $$;
             BEGIN;
             CREATE TRIGGER refuse BEFORE INSERT ON rag._queue FOR EACH ROW EXECUTE FUNCTION refuse();
             INSERT INTO t VALUES (6, 'written all the same');
             DROP TRIGGER refuse ON rag._queue;
             COMMIT",
        )
        .await?;
    let notices = session.take_notices();
    ensure!(notices.iter().any(|notice| notice.message.contains("could not queue a change")), "{notices:?}");
    converged(&session).await
}

async fn no_role_queues_changes_for_a_collection_of_another() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 5, "").await?;
    session
        .batch_execute("CREATE ROLE stranger_of_c LOGIN; GRANT CREATE ON SCHEMA public TO stranger_of_c")
        .await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    let stranger = server.connect_as("stranger_of_c", &database).await?;
    stranger
        .batch_execute(
            "CREATE TABLE mine (id int PRIMARY KEY, body text);
             INSERT INTO mine VALUES (1, 'mine');
             CREATE TRIGGER harm AFTER DELETE ON mine REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT
               EXECUTE FUNCTION rag._capture('1', '1', 'id', 'body');
             DELETE FROM mine",
        )
        .await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM c_chunks").await? == 5);
    stranger.refusal("SELECT * FROM rag._queue").await?.expect("42501", "permission denied", "")?;
    stranger.refusal("SELECT rag.retry_failed('c')").await?.expect("42501", "must be owner", "")?;
    stranger.refusal("SELECT rag.alter_collection('c', chunk_size => 5)").await?.expect(
        "42501",
        "must be owner",
        "",
    )
}

/// Also in a session that has noted changes of the partition.
async fn a_detached_partition_notes_nothing_more() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
             CREATE TABLE part PARTITION OF t FOR VALUES FROM (0) TO (100);
             SELECT rag.create_collection('c', 't', 'body')",
        )
        .await?;
    current(&session).await?;
    session
        .batch_execute(
            "BEGIN;
             INSERT INTO part VALUES (1, 'noted');
             ALTER TABLE t DETACH PARTITION part;
             CREATE TRIGGER harm AFTER INSERT ON part REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
               EXECUTE FUNCTION rag._capture('1', '1', 'id', 'body');
             INSERT INTO part VALUES (2, 'not noted')",
        )
        .await?;
    let noted: Option<String> =
        session.value("SELECT string_agg(key::text, ' ') FROM rag._queue WHERE key IS NOT NULL").await?;
    ensure!(noted.as_deref() == Some("{1}"), "{noted:?}");
    session.batch_execute("ROLLBACK").await?;
    Ok(())
}

async fn unchanged_text_is_never_embedded_again() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, 30, "").await?;
    let before = embedded(&session).await?;
    ensure!(before == 30, "{before} texts for 30 rows");
    // The same text moves to another row and back, and then only metadata changes.
    session
        .batch_execute(
            "INSERT INTO t SELECT id + 100, body, title FROM t;
             UPDATE t SET title = title WHERE id = 1",
        )
        .await?;
    converged(&session).await?;
    let after = embedded(&session).await?;
    ensure!(after == before, "{} texts were embedded again", after - before);
    Ok(())
}
