//! A search reveals nothing about rows that the caller may not see, nor about the former contents of changed
//! rows.

use crate::followed::current;
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server, shared};
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        ranks_and_scores_are_the_same_without_hidden_rows,
        scores_that_hidden_rows_might_change_are_not_shown,
        few_visible_rows_are_ranked_as_if_they_were_all,
        visible_rows_without_text_hide_none_with_text,
        neither_notices_nor_numbers_tell_of_hidden_rows,
        text_of_before_a_change_is_not_shown,
        text_of_before_a_change_is_not_shown_under_other_settings,
        text_of_before_a_change_that_failed_is_not_shown,
        text_of_before_a_command_that_computes_values_anew_is_not_shown,
        text_of_before_a_refresh_of_a_view_is_not_shown,
    ]
}

/// A table of which a role `reader_of_DATABASE` can see its own rows, `own` of them, and not the `others`.
async fn make(session: &Session, own: usize, others: usize) -> Result<String> {
    let reader: String = session.value("SELECT 'reader_of_' || current_database()").await?;
    session
        .batch_execute(&format!(
            "CREATE ROLE {reader};
             CREATE TABLE t (id int PRIMARY KEY, tenant name, body text);
             INSERT INTO t SELECT i, CASE WHEN i <= {own} THEN '{reader}' ELSE 'somebody' END,
                                  'the code of door ' || i || repeat(' and of house ' || i, i % 7)
             FROM generate_series(1, {own} + {others}) i;
             GRANT SELECT ON t TO {reader};
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON t FOR SELECT USING (tenant = current_user);
             SELECT rag.create_collection('c', 't', 'body')"
        ))
        .await?;
    current(session).await?;
    Ok(reader)
}

/// Everything that the reader can see, one line for each hit, in several kinds of search.
async fn shown(session: &Session, reader: &str) -> Result<Vec<String>> {
    session.batch_execute(&format!("SET ROLE {reader}")).await?;
    let mut shown = Vec::new();
    for more in
        ["fusion => 'rrf'", "mode => 'vector'", "mode => 'vector', k => 40", "fusion => 'rrf', k => 40"]
    {
        let sql = format!(
            "SELECT concat_ws(' ', '{}', rank, score, source_key, vector_rank, text_rank)
             FROM rag.search('c', 'code of door 4711', {more})",
            more.replace('\'', "")
        );
        let rows = session.query(&sql, &[]).await?;
        ensure!(!rows.is_empty(), "nothing is found");
        shown.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    session.batch_execute("RESET ROLE").await?;
    Ok(shown)
}

async fn ranks_and_scores_are_the_same_without_hidden_rows() -> Result<()> {
    let session = shared().await?.session().await?;
    let reader = make(&session, 60, 0).await?;
    let expected = shown(&session, &reader).await?;
    // The words that the attacker searches for occur in rows that the attacker may not see.
    session
        .batch_execute(
            "INSERT INTO t SELECT i, 'somebody', 'the code of door 4711 is ' || i FROM generate_series(1000, 1100) i",
        )
        .await?;
    current(&session).await?;
    let found = shown(&session, &reader).await?;
    ensure!(found == expected, "{found:?} instead of {expected:?}");
    let owner: i64 = session
        .value("SELECT count(*) FROM rag.search('c', 'code of door 4711') WHERE content LIKE '%4711%'")
        .await?;
    ensure!(owner == 10, "a role that may see the rows is shown {owner}");
    Ok(())
}

/// Numbers of rows, and of scores and ranks that are not NULL, of a search by the reader.
async fn told(session: &Session, reader: &str, more: &str) -> Result<(i64, i64)> {
    session.batch_execute(&format!("SET ROLE {reader}")).await?;
    let told = "SELECT count(*), count(score) + count(vector_rank) + count(text_rank) FROM rag.search";
    let row = session.query_one(&format!("{told}('c', 'code of door 7', {more})"), &[]).await?;
    session.batch_execute("RESET ROLE").await?;
    Ok((row.get(0), row.get(1)))
}

async fn scores_that_hidden_rows_might_change_are_not_shown() -> Result<()> {
    let session = shared().await?.session().await?;
    let reader = make(&session, 5, 2000).await?;
    // Checking the policy for every row takes too long.
    session
        .batch_execute(
            "CREATE FUNCTION is_own(tenant name) RETURNS bool STABLE COST 1000000 LANGUAGE plpgsql
               AS 'BEGIN RETURN tenant = current_user; END';
             ALTER POLICY own ON t USING (is_own(tenant))",
        )
        .await?;
    for k in [1, 2] {
        let shown = told(&session, &reader, &format!("mode => 'text', k => {k}")).await?;
        ensure!(shown == (k, 0), "{shown:?} of {k}");
        let shown = told(&session, "postgres", &format!("mode => 'text', k => {k}")).await?;
        ensure!(shown == (k, 2 * k), "{shown:?} of {k}");
    }
    let shown = told(&session, "postgres", "k => 5, scores => false").await?;
    ensure!(shown == (5, 0), "{shown:?}");
    Ok(())
}

async fn few_visible_rows_are_ranked_as_if_they_were_all() -> Result<()> {
    let session = shared().await?.session().await?;
    let reader = make(&session, 5, 2000).await?;
    session
        .batch_execute(&format!(
            "CREATE TABLE alone AS SELECT * FROM t WHERE id <= 5; ALTER TABLE alone ADD PRIMARY KEY (id);
             GRANT SELECT ON alone TO {reader}; SELECT rag.create_collection('d', 'alone', 'body', sync => 'manual')"
        ))
        .await?;
    for (mode, columns) in [
        ("vector", "source_key, vector_rank, round(score::numeric, 4)"),
        ("text", "source_key, text_rank"),
        ("hybrid", "source_key, vector_rank, text_rank, score IS NOT NULL"),
    ] {
        session.batch_execute(&format!("SET ROLE {reader}")).await?;
        let all = |collection| {
            format!(
                "SELECT array_agg(f::text ORDER BY f) FROM (SELECT {columns} FROM rag.search('{collection}', \
                 'code of house 3', mode => '{mode}')) f"
            )
        };
        let found: Vec<String> = session.value(&all("c")).await?;
        let expected: Vec<String> = session.value(&all("d")).await?;
        session.batch_execute("RESET ROLE").await?;
        ensure!(found.len() == 5 && found == expected, "{mode}: {found:?} instead of {expected:?}");
    }
    Ok(())
}

async fn visible_rows_without_text_hide_none_with_text() -> Result<()> {
    let session = shared().await?.session().await?;
    let reader = make(&session, 0, 300).await?;
    session
        .batch_execute(&format!(
            "INSERT INTO t (id, tenant) SELECT i, '{reader}' FROM generate_series(10001, 16000) i;
             INSERT INTO t SELECT i, '{reader}', repeat('somewhere ', 20) || 'the code of door ' || i FROM generate_series(20001, 20040) i;
             CREATE INDEX ON t (tenant); ANALYZE t"
        ))
        .await?;
    current(&session).await?;
    session.batch_execute(&format!("SET ROLE {reader}")).await?;
    for mode in ["text", "vector", "hybrid"] {
        let found: i64 = session
            .value(&format!(
                "SELECT count(*) FROM rag.search('c', 'code of door', k => 20, mode => '{mode}')"
            ))
            .await?;
        ensure!(found == 20, "{mode}: {found}");
    }
    Ok(())
}

const FOUND: &str = "SELECT coalesce(string_agg(content, '; ' ORDER BY source_key), '') FROM rag.search('c', 'secret', mode => 'text')";

async fn text_of_before_a_change_is_not_shown() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (name text, number int, body text, PRIMARY KEY (name, number));
             INSERT INTO t VALUES ('a', 1, 'the secret is 4711'), ('b', 1, 'another secret');
             SELECT rag.create_collection('c', 't', 'body')",
        )
        .await?;
    current(&session).await?;
    let engine = server.engine(&session).await?;
    engine.signal(Signal::SIGSTOP);
    session.batch_execute("UPDATE t SET body = 'the secret is out' WHERE name = 'a'").await?;
    let found: String = session.value(FOUND).await?;
    ensure!(found == "another secret", "{found}");
    engine.signal(Signal::SIGCONT);
    current(&session).await?;
    let found: String = session.value(FOUND).await?;
    ensure!(found == "the secret is out; another secret", "{found}");
    Ok(())
}

async fn text_of_before_a_change_that_failed_is_not_shown() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.sync_max_attempts", "1")).await?;
    let session = server.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text);
             INSERT INTO t VALUES (1, 'the secret is 4711'), (2, 'another secret');
             SELECT rag.create_collection('c', 't', 'body')",
        )
        .await?;
    current(&session).await?;
    session
        .batch_execute(
            "ALTER TABLE c_chunks ADD CHECK (content NOT LIKE '%out') NOT VALID;
             UPDATE t SET body = 'the secret is out' WHERE id = 1",
        )
        .await?;
    current(&session).await?;
    let failed: i64 = session.value("SELECT count(*) FROM rag.failed").await?;
    ensure!(failed == 1, "{failed} rows have failed");
    let found: String = session.value(FOUND).await.context("a search")?;
    ensure!(found == "another secret", "{found}");
    Ok(())
}

/// Keys are queued as text, and the text of most types depends on settings.
async fn text_of_before_a_change_is_not_shown_under_other_settings() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (at timestamptz, day date, span interval, raw bytea, share float8, price money, body text,
                             PRIMARY KEY (at, day, span, raw, share, price));
             INSERT INTO t VALUES ('2024-05-06 07:08:09+00', '2024-05-06', '1 day 2 hours', '\\x00ff', 0.1, 5, 'the secret is 4711');
             SELECT rag.create_collection('c', 't', 'body')",
        )
        .await?;
    current(&session).await?;
    session.batch_execute("SET DateStyle = 'SQL'; SET TimeZone = 'America/New_York'").await?;
    let engine = server.engine(&session).await?;
    engine.signal(Signal::SIGSTOP);
    session.batch_execute("UPDATE t SET body = 'the secret is out'").await?;
    for setting in [
        "DateStyle = 'German'",
        "TimeZone = 'Asia/Kolkata'",
        "IntervalStyle = 'iso_8601'",
        "bytea_output = 'escape'",
        "extra_float_digits = -5",
        "lc_monetary = 'C.UTF-8'",
    ] {
        session.batch_execute(&format!("SET {setting}")).await?;
        let found: String = session.value(FOUND).await?;
        ensure!(found.is_empty(), "{setting}: {found}");
    }
    engine.signal(Signal::SIGCONT);
    current(&session).await?;
    let found: String = session.value(FOUND).await?;
    ensure!(found == "the secret is out", "{found}");
    Ok(())
}

/// Within the command's own transaction no worker can have updated the collection.
async fn text_of_before_a_command_that_computes_values_anew_is_not_shown() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text, spare int) PARTITION BY RANGE (id);
             CREATE TABLE first PARTITION OF t FOR VALUES FROM (1) TO (3); CREATE TABLE rest PARTITION OF t DEFAULT;
             INSERT INTO t VALUES (1, 'the secret is 4711'), (2, 'another secret'), (3, 'the last secret');
             SELECT rag.create_collection('c', 't', 'body')",
        )
        .await?;
    current(&session).await?;
    for (command, then) in [
        ("ALTER spare TYPE bigint", "the secret is 4711; another secret; the last secret"),
        ("ALTER body TYPE varchar USING replace(body, '4711', 'out')", "another secret; the last secret"),
        (
            "ALTER body TYPE text USING CASE id WHEN 2 THEN ' ' ELSE body END",
            "the secret is out; the last secret",
        ),
        ("ADD title text GENERATED ALWAYS AS ('a title') STORED", "the secret is out; the last secret"),
    ] {
        session.batch_execute(&format!("BEGIN; ALTER TABLE t {command}")).await.context(command)?;
        let found: String = session.value(FOUND).await.context(command)?;
        ensure!(found == then, "{command}: {found}");
        session.batch_execute("COMMIT").await?;
        let notices = session.take_notices();
        ensure!(notices.is_empty(), "{command}: {notices:?}");
        current(&session).await.context(command)?;
    }
    Ok(())
}

async fn text_of_before_a_refresh_of_a_view_is_not_shown() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text);
             INSERT INTO t VALUES (1, 'the secret is 4711'), (2, 'another secret'), (3, 'the last secret');
             CREATE MATERIALIZED VIEW v AS TABLE t; CREATE UNIQUE INDEX ON v (id);
             SELECT rag.create_collection('c', 'v', 'body', key => '{id}')",
        )
        .await?;
    current(&session).await?;
    for kind in ["", "CONCURRENTLY"] {
        session
            .batch_execute(&format!(
                "UPDATE t SET body = body || '.' WHERE id = 1; BEGIN; REFRESH MATERIALIZED VIEW {kind} v"
            ))
            .await?;
        let found: String = session.value(FOUND).await?;
        ensure!(found == "another secret; the last secret", "{kind}: {found}");
        session.batch_execute("COMMIT").await?;
        current(&session).await?;
    }
    let found: String = session.value(FOUND).await?;
    ensure!(found == "the secret is 4711..; another secret; the last secret", "{found}");
    Ok(())
}

/// Words of hidden rows decide whether a query has more known words than are looked up.
async fn neither_notices_nor_numbers_tell_of_hidden_rows() -> Result<()> {
    let session = shared().await?.session().await?;
    let reader = make(&session, 3, 3).await?;
    session
        .batch_execute(&format!(
            "INSERT INTO t SELECT 100, '{reader}', string_agg('known' || i, ' ') FROM generate_series(1, 64) i;
             INSERT INTO t VALUES (101, 'somebody', 'secret')"
        ))
        .await?;
    current(&session).await?;
    let search = |word: &str| {
        format!(
            "SELECT count(*) FROM rag.search('c', (SELECT string_agg('known' || i, ' ') FROM generate_series(1, 64) i) || ' {word}',
                                             mode => 'text')"
        )
    };
    session.take_notices();
    session.query(&search("secret"), &[]).await?;
    ensure!(session.take_notices().len() == 1, "a role that sees all rows gets no notice");
    session.batch_execute(&format!("SET ROLE {reader}")).await?;
    session.query(&search("secret"), &[]).await?;
    let notices = session.take_notices();
    ensure!(notices.is_empty(), "{notices:?}");
    for numbers in [
        "SELECT num_nulls(source_rows, chunks) FROM rag.collections",
        "SELECT num_nulls(rows, chunks, failed) - 1 FROM rag.stat_collection",
    ] {
        let hidden: i32 = session.value(numbers).await?;
        ensure!(hidden == 2, "{numbers}: {hidden}");
    }
    Ok(())
}
