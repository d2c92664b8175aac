//! Collections in another server, by dump and restore: they work at once, and nothing is embedded again.

use crate::capture::{away, back};
use crate::followed::{current, embedded, same};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::sample::texts;
use ragstone_tests::server::{Server, run, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::path::{Path, PathBuf};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        dump_and_restore_keeps_manual_collections,
        a_plain_dump_carries_what_follows_its_source,
        a_custom_dump_carries_what_follows_its_source,
        a_worker_that_runs_waits_for_the_end_of_a_restore,
        what_was_queued_is_done_after_a_restore,
        a_column_renamed_after_a_restore_is_followed,
        a_restored_migration_can_be_finished,
        every_kind_of_source_comes_through_a_restore,
        a_restore_without_triggers_is_ended_by_a_refresh,
    ]
}

/// Keys and scores found in each mode, as one text. Two of the modes embed the query.
pub async fn found(session: &Session) -> Result<String> {
    session
        .value(
            "SELECT string_agg(mode || source_key::text || round(score::numeric, 3), ' ' ORDER BY mode, rank)
             FROM unnest(ARRAY['hybrid', 'vector', 'text']) mode,
                  rag.search('c', 'passage 17 vacuum removes dead tuples', k => 5, mode => mode)",
        )
        .await
}

/// The table `t` with the collection `c` of 60 rows. A restore creates the table with several commands, after
/// which its columns have other attribute numbers.
pub async fn make(session: &Session, rows: usize, words: usize, sync: &str) -> Result<()> {
    session
        .batch_execute(
            "CREATE TABLE t (gone int, id int PRIMARY KEY, title text, spare int, body text, seen serial UNIQUE,
                             parent int REFERENCES t);
             ALTER TABLE t DROP COLUMN gone, DROP COLUMN spare",
        )
        .await?;
    let insert = "INSERT INTO t SELECT o, 'title', b FROM unnest($1::text[]) WITH ORDINALITY u(b, o)";
    session.execute(insert, &[&texts(rows, words)]).await?;
    let create = format!("SELECT rag.create_collection('c', 't', 'body', 'title', sync => '{sync}')");
    session.batch_execute(&create).await?;
    if sync == "manual" { Ok(()) } else { current(session).await }
}

pub async fn name(session: &Session) -> Result<String> {
    session.value("SELECT current_database()::text").await
}

/// The format of a dump.
#[derive(Clone, Copy)]
pub enum Format {
    Plain,
    Custom,
}

/// Dumps a session's database to a file that the users of both servers can read.
pub async fn dump(server: &Server, session: &Session, format: Format) -> Result<PathBuf> {
    let name = name(session).await?;
    let path = server.folder().join(format!("{name}.dump"));
    let format = match format {
        Format::Plain => "--format=plain",
        Format::Custom => "--format=custom",
    };
    run(server.client("pg_dump")?.args([format, "--dbname", &name, "--file"]).arg(&path))?;
    Ok(path)
}

/// Restores a dump into a new database, and fails on any error.
pub async fn restore(server: &Server, dump: &Path, format: Format) -> Result<Session> {
    let name = server.empty_database("").await?;
    match format {
        Format::Plain => {
            let options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &name, "-f"];
            run(server.client("psql")?.args(options).arg(dump))?
        }
        Format::Custom => {
            let options = ["--exit-on-error", "--jobs=4", "--dbname", &name];
            run(server.client("pg_restore")?.args(options).arg(dump))?
        }
    };
    server.connect(&name).await
}

/// All values that a restore must preserve, as text, except those that the worker may already have changed:
/// it merges the words at any time.
async fn carried(session: &Session) -> Result<Vec<String>> {
    let statements = [
        "SELECT (to_jsonb(c) - '{refreshed_at}'::text[])::text FROM rag.collection c ORDER BY id",
        "SELECT format('%s %s', pg_get_triggerdef(oid), tgenabled) FROM pg_trigger
         WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text, tgname",
        "SELECT md5(c::text) FROM c_chunks c ORDER BY chunk_id",
        "SELECT format('%s %s %s', lexeme, chunk_id, frequency) FROM rag._postings('c') ORDER BY lexeme COLLATE \"C\", chunk_id",
        "SELECT format('%s %s', sequencename, last_value) FROM pg_sequences WHERE sequencename <> '_queue_id_seq'
         ORDER BY sequencename",
        "SELECT indexdef FROM pg_indexes WHERE tablename IN ('c_chunks', 'c_terms') ORDER BY indexdef",
    ];
    let mut all = Vec::new();
    for statement in statements {
        let rows = session.query(statement, &[]).await?;
        ensure!(!rows.is_empty(), "nothing from {statement}");
        all.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    Ok(all)
}

async fn dump_and_restore_keeps_manual_collections() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 60, 25, "manual").await?;
    let expected = found(&session).await?;
    let path = dump(&server, &session, Format::Plain).await?;
    let restored = restore(&server, &path, Format::Plain).await?;
    ensure!(found(&restored).await? == expected, "a restored collection finds something else");
    // It can still be written to: its configuration and its sequences were restored.
    restored.batch_execute("INSERT INTO t VALUES (999, '', 'a capybara sleeps beside the river')").await?;
    let row = restored.query_one("SELECT * FROM rag.refresh_collection('c')", &[]).await?;
    ensure!(row.get::<_, i64>("added") == 1 && row.get::<_, i64>("embedded") == 1, "{row:?}");
    let first: String =
        restored.value("SELECT source_key ->> 'id' FROM rag.search('c', 'capybara', k => 1)").await?;
    ensure!(first == "999");
    restored
        .batch_execute("CREATE TABLE u (LIKE t INCLUDING ALL); INSERT INTO u VALUES (1, '', 'one')")
        .await?;
    restored.batch_execute("SELECT rag.create_collection('d', 'u', 'body', sync => 'manual')").await?;
    Ok(())
}

async fn a_plain_dump_carries_what_follows_its_source() -> Result<()> {
    carries(Format::Plain).await
}

async fn a_custom_dump_carries_what_follows_its_source() -> Result<()> {
    carries(Format::Custom).await
}

async fn carries(format: Format) -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 60, 25, "background").await?;
    let (expected, results) = (carried(&session).await?, found(&session).await?);
    let queued = "SELECT last_value FROM rag._queue_id_seq";
    let numbers: i64 = session.value(queued).await?;
    let path = dump(&server, &session, format).await?;
    let target = Server::start().await?;
    let restored = restore(&target, &path, format).await?;
    // The queue continues from there: a restore ends with an entry that requests a comparison of all rows.
    ensure!(restored.value::<i64>(queued).await? > numbers);
    let actual = carried(&restored).await?;
    for (actual, expected) in actual.iter().zip(&expected) {
        ensure!(actual == expected, "restored {actual}\nexpected {expected}");
    }
    ensure!(found(&restored).await? == results, "a restored collection finds something else");
    let texts = embedded(&restored).await?;
    ensure!(texts == 2, "{texts} texts were embedded for two queries");
    follows(&restored).await
}

/// Fails unless changes are followed, and only changed rows are embedded.
pub async fn follows(session: &Session) -> Result<()> {
    let before = embedded(session).await?;
    session
        .batch_execute(
            "INSERT INTO t VALUES (999, '', 'a capybara sleeps beside the river');
             UPDATE t SET id = 1000 WHERE id = 2; DELETE FROM t WHERE id = 3",
        )
        .await?;
    current(session).await?;
    same(session).await?;
    let after = embedded(session).await?;
    ensure!(after == before + 2, "{} texts were embedded for two rows", after - before);
    let first: String =
        session.value("SELECT source_key ->> 'id' FROM rag.search('c', 'capybara', k => 1)").await?;
    ensure!(first == "999");
    Ok(())
}

/// Lines of a dump's table of contents about the collection's own tables, or about all other objects.
fn contents(list: &str, own: bool) -> String {
    let is_own = |line: &&str| line.contains(" c_chunks") || line.contains(" c_terms");
    list.lines().filter(|line| is_own(line) == own).map(|line| line.to_owned() + "\n").collect()
}

async fn a_worker_that_runs_waits_for_the_end_of_a_restore() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, 60, 25, "background").await?;
    away(&server, &session).await?;
    session.batch_execute("UPDATE t SET body = 'changed before the dump' WHERE id = 1").await?;
    let path = dump(&server, &session, Format::Custom).await?;
    let target = Server::start().await?;
    let name = target.empty_database("").await?;
    let pg_restore = |options: &[&str]| -> Result<String> {
        let mut command = target.client("pg_restore")?;
        run(command.args(["--exit-on-error", "--dbname", &name]).args(options).arg(&path))
    };
    let restored = target.connect(&name).await?;
    pg_restore(&["--section=pre-data"])?;
    restored
        .batch_execute("CREATE TABLE u (id int PRIMARY KEY, body text); INSERT INTO u VALUES (1, 'another')")
        .await?;
    let list = run(target.client("pg_restore")?.arg("--list").arg(&path))?;
    let (first, rest) = (target.folder().join("first"), target.folder().join("rest"));
    std::fs::write(&first, contents(&list, false))?;
    std::fs::write(&rest, contents(&list, true))?;
    let later = ["--section=data", "--section=post-data", "--use-list"];
    pg_restore(&[&later[..], &[&first.display().to_string()]].concat())?;
    // A worker runs, and does nothing with a collection that is only partly restored.
    restored.batch_execute("SELECT rag.create_collection('d', 'u', 'body')").await?;
    ensure!(restored.value::<bool>("SELECT rag.wait_until_current('d', '60s')").await?);
    ensure!(!restored.value::<bool>("SELECT rag.wait_until_current('c', '1s')").await?);
    let state: String = restored.value("SELECT state FROM rag.collections WHERE name = 'c'").await?;
    ensure!(state == "restoring", "{state}");
    ensure!(restored.value::<i64>("SELECT count(*) FROM c_chunks").await? == 0);
    ensure!(restored.value::<i64>("SELECT count(*) FROM rag._queue WHERE key = '{1}'").await? == 1);
    pg_restore(&[&later[..], &[&rest.display().to_string()]].concat())?;
    current(&restored).await?;
    same(&restored).await?;
    ensure!(embedded(&restored).await? == 2, "more than the changed row and the other table was embedded");
    follows(&restored).await
}

/// The number of transactions that fill some pages of the transaction status data.
const OLDER: &str = "CREATE TABLE numbers (number xid8);
    DO $$ BEGIN
      FOR i IN 1..10000 LOOP
        BEGIN
          INSERT INTO numbers VALUES (pg_current_xact_id());
        EXCEPTION WHEN others THEN
          RAISE;
        END;
      END LOOP;
    END $$";

async fn what_was_queued_is_done_after_a_restore() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    make(&session, 20, 25, "background").await?;
    session.batch_execute(OLDER).await?;
    away(&server, &session).await?;
    session
        .batch_execute(
            "UPDATE t SET body = 'changed before the dump' WHERE id = 1; DELETE FROM t WHERE id = 2;
             INSERT INTO t VALUES (100, '', 'added before the dump')",
        )
        .await?;
    let path = dump(&server, &session, Format::Plain).await?;
    back(&server, &session).await?;
    let target = Server::start().await?;
    let restored = restore(&target, &path, Format::Plain).await?;
    current(&restored).await?;
    same(&restored).await?;
    ensure!(embedded(&restored).await? == 2, "more than the changed rows was embedded");
    Ok(())
}

async fn a_column_renamed_after_a_restore_is_followed() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 20, 25, "background").await?;
    let number = "SELECT attnum FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'body'";
    let before: i16 = session.value(number).await?;
    let path = dump(&server, &session, Format::Plain).await?;
    let target = Server::start().await?;
    let restored = restore(&target, &path, Format::Plain).await?;
    ensure!(restored.value::<i16>(number).await? != before, "the restored column has its old number");
    restored
        .batch_execute(
            "ALTER TABLE t RENAME COLUMN body TO corpus; ALTER TABLE t RENAME COLUMN id TO number;
             INSERT INTO t VALUES (999, '', 'a capybara sleeps beside the river')",
        )
        .await?;
    current(&restored).await?;
    let columns = "SELECT format('%s %s %s', key, title, content) FROM rag.collections";
    let columns: String = restored.value(columns).await?;
    ensure!(columns == "{number} title corpus", "{columns}");
    ensure!(embedded(&restored).await? == 1, "more than the new row was embedded");
    let row =
        restored.query_one("SELECT source_key::text FROM rag.search('c', 'capybara', k => 1)", &[]).await?;
    ensure!(row.get::<_, &str>(0) == "{\"number\": 999}", "{row:?}");
    Ok(())
}

async fn a_restored_migration_can_be_finished() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 20, 100, "background").await?;
    session.batch_execute("SELECT rag.alter_collection('c', chunk_size => 40)").await?;
    let state = "SELECT coalesce(min(state), 'none') FROM rag.migrations";
    wait::until("the migration has caught up", async || {
        Ok((session.value::<String>(state).await? == "switched").then_some(()))
    })
    .await?;
    current(&session).await?;
    let results = found(&session).await?;
    let path = dump(&server, &session, Format::Plain).await?;
    let target = Server::start().await?;
    let restored = restore(&target, &path, Format::Plain).await?;
    ensure!(restored.value::<String>(state).await? == "switched");
    restored.batch_execute("SELECT rag.finish_migration('c')").await?;
    current(&restored).await?;
    ensure!(found(&restored).await? == results);
    ensure!(embedded(&restored).await? == 2, "more than the queries was embedded");
    Ok(())
}

/// Sources that a dump creates with other commands than an ordinary table with a primary key.
const KINDS: &str = "
    CREATE TABLE parted (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
    CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
    CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (100);
    INSERT INTO parted SELECT i, 'row ' || i || ' of a partition' FROM generate_series(1, 20) i;
    CREATE TABLE indexed (id int NOT NULL, body text);
    CREATE UNIQUE INDEX ON indexed (id);
    INSERT INTO indexed VALUES (1, 'a row with an index');
    CREATE MATERIALIZED VIEW digest AS SELECT id, upper(body) AS body FROM parted;
    CREATE UNIQUE INDEX ON digest (id);
    CREATE TABLE broken (id int PRIMARY KEY, body text);
    INSERT INTO broken VALUES (1, 'a row that loses its column');
    SELECT rag.create_collection(name::name, name::regclass, 'body') FROM unnest('{parted,indexed,digest,broken}'::text[]) name;
    SELECT rag.create_collection('at once', 'indexed', 'body', sync => 'immediate')";

const STATES: &str =
    "SELECT string_agg(format('%s: %s', name, state), ', ' ORDER BY name) FROM rag.collections";

async fn every_kind_of_source_comes_through_a_restore() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    session.batch_execute(KINDS).await?;
    let all = "SELECT bool_and(rag.wait_until_current(name::name, '60s')) FROM rag.collections WHERE state <> 'failed'";
    ensure!(session.value::<bool>(all).await?);
    session.batch_execute("ALTER TABLE broken DROP COLUMN body").await?;
    let states: String = session.value(STATES).await?;
    ensure!(
        states == "at once: current, broken: failed, digest: current, indexed: current, parted: current",
        "{states}"
    );
    let path = dump(&server, &session, Format::Custom).await?;
    let target = Server::start().await?;
    let restored = restore(&target, &path, Format::Custom).await?;
    ensure!(restored.value::<bool>(all).await?);
    let after: String = restored.value(STATES).await?;
    ensure!(after == states, "{after}");
    ensure!(embedded(&restored).await? == 0, "something was embedded");
    restored
        .batch_execute(
            "INSERT INTO parted_high VALUES (50, 'a capybara'); INSERT INTO indexed VALUES (2, 'a capybara');
             REFRESH MATERIALIZED VIEW digest; ALTER TABLE broken ADD COLUMN body text DEFAULT 'a capybara'",
        )
        .await?;
    ensure!(restored.value::<bool>(all).await?);
    let found: i64 = restored
        .value(
            "SELECT count(*) FROM rag.collections c, rag.search(c.name, 'capybara', k => 1, mode => 'text') s
             WHERE lower(s.content) = 'a capybara'",
        )
        .await?;
    ensure!(found == 5, "found in {found} collections");
    Ok(())
}

async fn a_restore_without_triggers_is_ended_by_a_refresh() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 20, 25, "background").await?;
    let path = dump(&server, &session, Format::Custom).await?;
    let target = Server::start().await?;
    let name = target.empty_database("").await?;
    let list = run(target.client("pg_restore")?.arg("--list").arg(&path))?;
    let chosen = target.folder().join("chosen");
    let lines: Vec<_> = list.lines().filter(|line| !line.contains(" TRIGGER ")).collect();
    std::fs::write(&chosen, lines.join("\n"))?;
    let mut command = target.client("pg_restore")?;
    run(command.args(["--exit-on-error", "--dbname", &name, "--use-list"]).arg(&chosen).arg(&path))?;
    let restored = target.connect(&name).await?;
    ensure!(restored.value::<String>(STATES).await? == "c: restoring");
    let row = restored.query_one("SELECT * FROM rag.refresh_collection('c')", &[]).await?;
    ensure!(row.get::<_, i64>("unchanged") == 20, "{row:?}");
    wait::until("the collection is current", async || {
        Ok((restored.value::<String>(STATES).await? == "c: current").then_some(()))
    })
    .await?;
    follows(&restored).await
}
