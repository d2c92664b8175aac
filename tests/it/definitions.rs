//! Changes of a source's definition, and their effect on the collection.

use crate::followed::{converged, create, current, embedded, make, same};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        renames_of_table_column_and_schema_are_followed,
        renamed_text_search_configurations_are_followed,
        a_dropped_content_column_is_a_clear_state,
        another_type_of_key_is_followed,
        other_values_of_a_key_are_followed,
        another_owner_is_followed,
        a_unique_index_is_enough_for_a_key,
        a_migration_is_switched_when_it_has_caught_up,
        a_migration_can_be_rolled_back,
        a_migration_that_makes_no_sense_is_refused,
        a_replaced_model_is_noticed,
        dropping_the_source_stops_nothing,
        a_materialised_view_is_followed_when_it_is_refreshed,
        a_foreign_table_is_refused,
    ]
}

async fn renames_of_table_column_and_schema_are_followed() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 5, "").await?;
    session
        .batch_execute(
            "ALTER TABLE t RENAME COLUMN body TO corpus; ALTER TABLE t RENAME COLUMN id TO number;
             CREATE SCHEMA elsewhere; ALTER TABLE t RENAME TO u; ALTER TABLE u SET SCHEMA elsewhere;
             ALTER SCHEMA elsewhere RENAME TO \"Else where\";
             INSERT INTO \"Else where\".u VALUES (6, 'after the renames');
             UPDATE \"Else where\".u SET corpus = 'changed after the renames' WHERE number = 1",
        )
        .await?;
    current(&session).await?;
    let texts: String = session
        .value("SELECT string_agg(content, ', ' ORDER BY key_1) FROM c_chunks WHERE key_1 IN (1, 6)")
        .await?;
    ensure!(texts == "changed after the renames, after the renames", "{texts}");
    let row = session.query_one("SELECT content, key::text FROM rag.collections", &[]).await?;
    ensure!(row.get::<_, String>(0) == "corpus" && row.get::<_, String>(1) == "{number}", "{row:?}");
    let found: i64 =
        session.value("SELECT count(*) FROM rag.search('c', 'after the renames', k => 2)").await?;
    ensure!(found == 2);
    Ok(())
}

async fn renamed_text_search_configurations_are_followed() -> Result<()> {
    let session = shared().await?.session().await?;
    let renames = [
        "ALTER TEXT SEARCH CONFIGURATION stems RENAME TO roots",
        "CREATE SCHEMA words; ALTER TEXT SEARCH CONFIGURATION roots SET SCHEMA words",
        "ALTER SCHEMA words RENAME TO \"Words of all\"",
        "ALTER TEXT SEARCH CONFIGURATION \"Words of all\".roots OWNER TO CURRENT_USER",
        "BEGIN; ALTER SCHEMA \"Words of all\" RENAME TO nowhere; ROLLBACK",
    ];
    session
        .batch_execute(
            "CREATE TEXT SEARCH CONFIGURATION stems (COPY = english);
             CREATE TABLE t (id int PRIMARY KEY, lang text, body text); INSERT INTO t VALUES (1, NULL, 'two houses')",
        )
        .await?;
    let kinds =
        [("manual", ""), ("background", ""), ("immediate", ""), ("rows", ", language_column => 'lang'")];
    for (name, more) in kinds {
        let sync = if more.is_empty() { name } else { "manual" };
        let create = format!(
            "SELECT rag.create_collection('{name}', 't', 'body', language => 'stems', sync => '{sync}'{more})"
        );
        session.batch_execute(&create).await?;
    }
    let wait = "SELECT rag.wait_until_current('background'), rag.wait_until_current('immediate')";
    session.batch_execute(wait).await?;
    for rename in renames {
        session.take_notices();
        session.batch_execute(rename).await?;
        let is_told =
            session.take_notices().iter().any(|notice| notice.message.contains("collection \"rows\""));
        ensure!(is_told != rename.contains("OWNER"), "{rename}");
        session.batch_execute("UPDATE t SET body = body || ' and houses'").await?;
        session.batch_execute(wait).await?;
        session
            .batch_execute(
                "SELECT rag.refresh_collection('manual'), rag.refresh_collection('rows', text => true)",
            )
            .await?;
        for (name, _) in kinds {
            let found = format!(
                "SELECT count(*) FROM rag.search('{name}', 'housing', mode => 'text', typos => false)"
            );
            ensure!(session.value::<i64>(&found).await? == 1, "{rename}: {name} finds nothing");
        }
    }
    let language: String =
        session.value("SELECT string_agg(DISTINCT language, ',') FROM rag.collection").await?;
    ensure!(language == "\"Words of all\".roots", "{language}");
    Ok(())
}

async fn a_dropped_content_column_is_a_clear_state() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 5, "").await?;
    session.batch_execute("ALTER TABLE t DROP COLUMN body; INSERT INTO t VALUES (6, 'a title')").await?;
    ensure!(session.take_notices().is_empty(), "a write complains");
    let row = session.query_one("SELECT state, reason FROM rag.collections", &[]).await?;
    ensure!(row.get::<_, String>(0) == "failed");
    ensure!(
        row.get::<_, String>(1)
            .contains("column \"body\" of the source of collection \"c\" no longer exists"),
        "{row:?}"
    );
    let refusal = session.refusal("SELECT rag.wait_until_current('c', '10s')").await?;
    refusal.expect("55000", "cannot follow its source", "")?;
    session.batch_execute("ALTER TABLE t ADD COLUMN body text DEFAULT 'is back'").await?;
    converged(&session).await
}

async fn another_type_of_key_is_followed() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, 5, "").await?;
    let before = embedded(&session).await?;
    session
        .batch_execute(
            "ALTER TABLE t ALTER COLUMN id TYPE bigint; INSERT INTO t VALUES (30000000000, 'large')",
        )
        .await?;
    converged(&session).await?;
    session
        .batch_execute("ALTER TABLE t ALTER COLUMN id TYPE text; INSERT INTO t VALUES ('a word', 'text')")
        .await?;
    converged(&session).await?;
    let after = embedded(&session).await?;
    ensure!(after == before + 2, "{} texts were embedded for two rows", after - before);
    Ok(())
}

/// Key values of the former type cannot be cast to the new one, or belong to other rows after the cast.
async fn other_values_of_a_key_are_followed() -> Result<()> {
    let server = shared().await?;
    for (key, fresh) in [
        ("uuid USING ('0000000000000000000000000000000' || id)::uuid", "gen_random_uuid()"),
        ("date USING date '2026-01-01' + id", "'2026-03-01'"),
        ("bigint USING 3 - id", "7"),
    ] {
        let session = server.session().await?;
        make(&session, 2, "").await?;
        session
            .batch_execute(&format!(
                "ALTER TABLE t ALTER id TYPE {key}; INSERT INTO t VALUES ({fresh}, 'text of a new row')"
            ))
            .await?;
        converged(&session).await?;
        let failed: i64 = session.value("SELECT count(*) FROM rag.failed").await?;
        let found: i64 =
            session.value("SELECT count(*) FROM rag.search('c', 'text', mode => 'text')").await?;
        ensure!(failed == 0 && found == 3, "{key}: {failed} failed, {found} found");
    }
    Ok(())
}

async fn another_owner_is_followed() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 5, "").await?;
    session
        .batch_execute(
            "CREATE ROLE heir_of_t; GRANT CREATE ON SCHEMA public TO heir_of_t; ALTER TABLE t OWNER TO heir_of_t;
             INSERT INTO t VALUES (6, 'his'); SET ROLE heir_of_t; SELECT rag.refresh_collection('c'); RESET ROLE",
        )
        .await?;
    converged(&session).await?;
    let owners: String = session
        .value(
            "SELECT string_agg(DISTINCT relowner::regrole::text, ' ') FROM pg_class
             WHERE relname IN ('t', 'c_chunks', 'c_terms', 'c_chunks_chunk_id_seq')",
        )
        .await?;
    ensure!(owners == "heir_of_t", "{owners}");
    Ok(())
}

async fn a_unique_index_is_enough_for_a_key() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int NOT NULL UNIQUE, body text, title text); INSERT INTO t VALUES (1, 'one')",
        )
        .await?;
    create(&session, "").await?;
    session.batch_execute("INSERT INTO t VALUES (2, 'two'); UPDATE t SET id = 3 WHERE id = 1").await?;
    converged(&session).await
}

const LONG: &str =
    "INSERT INTO t SELECT i, string_agg(format('sentence %s of document %s says something.', s, i), ' ')
                    FROM generate_series(1, 20) i, generate_series(1, 20) s GROUP BY i";

async fn long(session: &Session) -> Result<()> {
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text, title text)").await?;
    session.batch_execute(LONG).await?;
    create(session, "").await
}

async fn state(session: &Session) -> Result<Option<String>> {
    let row = session.query_opt("SELECT state FROM rag.migrations WHERE collection = 'c'", &[]).await?;
    Ok(row.map(|row| row.get(0)))
}

async fn switched(session: &Session) -> Result<()> {
    wait::until("the migration has caught up", async || {
        Ok((state(session).await?.as_deref() == Some("switched")).then_some(()))
    })
    .await
}

async fn a_migration_is_switched_when_it_has_caught_up() -> Result<()> {
    let session = shared().await?.session().await?;
    long(&session).await?;
    let chunks = "SELECT chunks FROM rag.collections WHERE name = 'c'";
    let before: i64 = session.value(chunks).await?;
    session.batch_execute("SELECT rag.alter_collection('c', chunk_size => 40)").await?;
    // The collection is searched and kept current during the migration.
    session.batch_execute("INSERT INTO t VALUES (100, 'written during the migration')").await?;
    let found: i64 = session.value("SELECT count(*) FROM rag.search('c', 'document 7', k => 3)").await?;
    ensure!(found == 3);
    let done: bool = session.value("SELECT rag.wait_for_migration('c')").await?;
    ensure!(done && state(&session).await?.as_deref() == Some("switched"));
    current(&session).await?;
    let after: i64 = session.value(chunks).await?;
    ensure!(after > before, "{before} chunks before, {after} after");
    let row = session
        .query_one("SELECT overlap, new_chunk_size FROM rag.migrations WHERE collection = 'c'", &[])
        .await?;
    let overlap: Option<f64> = row.get(0);
    ensure!(overlap.is_some_and(|overlap| overlap > 0.3 && overlap <= 1.0), "overlap {overlap:?}");
    ensure!(row.get::<_, Option<i32>>(1) == Some(40));
    let first: String = session
        .value("SELECT source_key ->> 'id' FROM rag.search('c', 'written during the migration', k => 1)")
        .await?;
    ensure!(first == "100");
    session.batch_execute("SELECT rag.finish_migration('c')").await?;
    ensure!(state(&session).await?.is_none());
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.collection").await? == 1);
    session.batch_execute("INSERT INTO t VALUES (101, 'written after the migration')").await?;
    current(&session).await?;
    let first: String = session
        .value("SELECT source_key ->> 'id' FROM rag.search('c', 'written after the migration', k => 1)")
        .await?;
    ensure!(first == "101");
    Ok(())
}

async fn a_migration_can_be_rolled_back() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 10, "").await?;
    session.batch_execute("SELECT rag.alter_collection('c', chunk_size => 40)").await?;
    switched(&session).await?;
    session.batch_execute("INSERT INTO t VALUES (11, 'written between')").await?;
    current(&session).await?;
    // The predecessor was kept current as well.
    wait::until("the old one is current", async || {
        let behind: i64 = session.value("SELECT count(*) FROM rag._queue").await?;
        Ok((behind == 0).then_some(()))
    })
    .await?;
    session.batch_execute("SELECT rag.rollback_migration('c')").await?;
    ensure!(state(&session).await?.is_none());
    same(&session).await?;
    session
        .batch_execute(
            "SELECT rag.alter_collection('c', chunk_size => 30); SELECT rag.rollback_migration('c')",
        )
        .await?;
    converged(&session).await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.collection").await? == 1);
    ensure!(
        session.value::<i64>("SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass").await? == 5
    );
    Ok(())
}

async fn a_migration_that_makes_no_sense_is_refused() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 3, "").await?;
    let refusal = session.refusal("SELECT rag.finish_migration('c')").await?;
    refusal.expect("55000", "is in no migration", "rag.alter_collection")?;
    session.refusal("SELECT rag.alter_collection('none', chunk_size => 9)").await?.expect(
        "42704",
        "does not exist",
        "",
    )?;
    session.refusal("SELECT rag.alter_collection('c')").await?.expect(
        "22023",
        "no change is given",
        "chunk_size",
    )?;
    let refusal = session.refusal("SELECT rag.alter_collection('c', model => 'no-such-model')").await?;
    refusal.expect("42704", "no-such-model", "")?;
    session.batch_execute("BEGIN; SELECT rag.alter_collection('c', chunk_size => 40)").await?;
    let refusal = session.refusal("SELECT rag.alter_collection('c', chunk_size => 50)").await?;
    refusal.expect("55006", "is in a migration", "rag.rollback_migration")?;
    session.batch_execute("ROLLBACK").await?;
    let refusal = session.refusal("SELECT rag.wait_for_migration('c')").await?;
    refusal.expect("55000", "is in no migration", "rag.alter_collection")?;
    // Its own transaction would never see the new version.
    session.batch_execute("BEGIN; SELECT rag.alter_collection('c', chunk_size => 40)").await?;
    let refusal = session.refusal("SELECT rag.wait_for_migration('c')").await?;
    refusal.expect("55000", "waits for changes of the current transaction", "COMMIT")?;
    session.batch_execute("ROLLBACK").await?;
    session.batch_execute("CREATE TABLE m (id int PRIMARY KEY, body text)").await?;
    session.batch_execute("SELECT rag.create_collection('m', 'm', 'body', sync => 'manual')").await?;
    session.refusal("SELECT rag.alter_collection('m', chunk_size => 40)").await?.expect(
        "55000",
        "is manual",
        "",
    )?;
    session.refusal("SELECT rag.create_collection('x', 'm', 'body', sync => 'never')").await?.expect(
        "22023",
        "unknown sync \"never\"",
        "background",
    )
}

async fn a_replaced_model_is_noticed() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 3, "").await?;
    session.batch_execute("UPDATE rag.collection SET fingerprint = 'another'").await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'of another model')").await?;
    wait::until("the collection says what is wrong", async || {
        let error: Option<String> = session.value("SELECT reason FROM rag.collections").await?;
        Ok(error.filter(|error| error.contains("is not the model with which collection \"c\" was created")))
    })
    .await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 0, "a row was charged");
    session.batch_execute("SELECT * FROM rag.refresh_collection('c')").await?;
    converged(&session).await
}

async fn dropping_the_source_stops_nothing() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 3, "").await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'too late'); DROP TABLE t").await?;
    wait::until("nothing is queued", async || {
        let queued: i64 = session.value("SELECT count(*) FROM rag._queue").await?;
        Ok((queued == 0).then_some(()))
    })
    .await?;
    session.batch_execute("SELECT rag.drop_collection('c')").await?;
    make(&session, 3, "").await?;
    same(&session).await
}

async fn a_materialised_view_is_followed_when_it_is_refreshed() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE base (id int, body text); INSERT INTO base VALUES (1, 'one'), (2, 'two');
             CREATE MATERIALIZED VIEW t AS SELECT id, body, ''::text AS title FROM base;
             CREATE UNIQUE INDEX ON t (id)",
        )
        .await?;
    create(&session, "").await?;
    same(&session).await?;
    session
        .batch_execute(
            "DELETE FROM base WHERE id = 1; INSERT INTO base VALUES (3, 'three'); REFRESH MATERIALIZED VIEW t",
        )
        .await?;
    converged(&session).await
}

async fn a_foreign_table_is_refused() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE FOREIGN DATA WRAPPER none; CREATE SERVER elsewhere FOREIGN DATA WRAPPER none;
             CREATE FOREIGN TABLE f (id int, body text) SERVER elsewhere",
        )
        .await?;
    let refusal = session.refusal("SELECT rag.create_collection('f', 'f', 'body', key => '{id}')").await?;
    refusal.expect("0A000", "changes of foreign table \"f\" cannot be followed", "sync => 'manual'")
}
