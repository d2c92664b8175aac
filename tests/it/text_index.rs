//! The text index: text mode returns the same as scoring every chunk, and a damaged page is an error of one
//! collection only.

use crate::generate::with;
use anyhow::ensure;
use futures_util::future::try_join;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::Reply;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use std::cell::Cell;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        text_mode_is_what_scoring_every_chunk_gives,
        a_filter_that_many_rows_meet_leaves_scores_and_order,
        deleted_chunks_are_not_found,
        many_segments_are_merged,
        segments_of_one_size_are_merged,
        few_segments_with_many_deleted_chunks_are_merged,
        a_damaged_page_is_an_error_of_its_collection,
        merges_that_are_ended_lose_nothing,
        a_writer_that_stays_open_is_seen_when_it_commits,
        chunk_numbers_may_be_of_any_size,
        a_chunk_may_have_a_million_words,
    ]
}

/// A table of 300 rows whose words are more frequent the lower their numbers are, and an immediate collection
/// of it: each statement adds a segment.
pub async fn make(session: &Session) -> Result<()> {
    make_with(session, "").await
}

/// As [`make`], with more arguments of the collection, each after a comma.
pub async fn make_with(session: &Session, more: &str) -> Result<()> {
    session
        .batch_execute(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, body text, kind int);
             CREATE FUNCTION some_words(n int) RETURNS text LANGUAGE sql AS $$
               SELECT string_agg('w' || floor(60 * power((hashint4extended(n * 64 + j, 7) & 1048575) / 1048576.0, 3))::int, ' ' ORDER BY j)
               FROM generate_series(1, 3 + n % 30) j $$;
             SELECT rag.create_collection('c', 't', 'body', metadata => '{{kind}}', language => 'simple', sync => 'immediate',
                                          word_parts => false, chunk_size => 250 {more})"
        ))
        .await?;
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    for begin in [1, 101, 201] {
        let insert = "INSERT INTO t SELECT i, some_words(i), i % 10 FROM generate_series";
        session.batch_execute(&format!("{insert}({begin}, {begin} + 99) i")).await?;
    }
    Ok(())
}

/// Compares 40 queries of one to nine words, without a filter and with a filter that few or most rows meet.
pub async fn compare(session: &Session) -> Result<()> {
    session
        .batch_execute(
            "DROP TABLE IF EXISTS pg_temp.held;
             CREATE TEMP TABLE held AS SELECT * FROM rag._postings('c') JOIN c_chunks USING (chunk_id);
             CREATE OR REPLACE FUNCTION pg_temp.scored(query text, k int, wanted_kind int) RETURNS TABLE (place bigint, chunk_id bigint, score float8)
             LANGUAGE sql AS $$
               WITH n AS (SELECT count(*)::float8 AS chunks, avg(words)::float8 AS average FROM c_chunks),
                    d AS (SELECT lexeme, count(*)::float8 AS docs FROM held WHERE lexeme = ANY (string_to_array(query, ' ')) GROUP BY lexeme),
                    s AS (SELECT h.chunk_id, sum(ln(1 + (chunks - docs + 0.5) / (docs + 0.5)) * frequency * 1.9
                                                 / (frequency + 0.9 * (0.6 + 0.4 * words / average))) AS score
                          FROM held h JOIN d USING (lexeme), n
                          WHERE (h.metadata->>'kind')::int = wanted_kind OR wanted_kind < 0
                          GROUP BY h.chunk_id)
               SELECT row_number() OVER (ORDER BY round(s.score::numeric, 9) DESC, s.chunk_id), s.chunk_id, s.score
               FROM s ORDER BY round(s.score::numeric, 9) DESC, s.chunk_id LIMIT k $$",
        )
        .await?;
    let differing = "
        SELECT count(*), count(*) FILTER (WHERE abs(c.scored - c.score) < 1e-9 AND c.place = c.rank AND c.expected = c.chunk_id)
        FROM generate_series(1, 40) i
        CROSS JOIN LATERAL (SELECT string_agg(DISTINCT 'w' || (i * j * 7) % 60, ' ') AS query, (ARRAY[1, 10, 400])[1 + i % 3] AS k,
                                   (ARRAY[-1, 3])[1 + i % 2] AS wanted_kind
                            FROM generate_series(1, 1 + i % 9) j) q
        CROSS JOIN LATERAL (SELECT place, rank, e.score, s.score AS scored, e.chunk_id AS expected, s.chunk_id
                            FROM pg_temp.scored(q.query, q.k, q.wanted_kind) e
                            FULL JOIN rag.search('c', q.query, q.k, 'text',
                                                 CASE WHEN q.wanted_kind < 0 THEN NULL ELSE jsonb_build_object('kind', q.wanted_kind) END) s
                              ON rank = place) c";
    let row = session.query_one(differing, &[]).await?;
    let (compared, equal): (i64, i64) = (row.get(0), row.get(1));
    ensure!(compared > 500 && equal == compared, "{equal} of {compared} places are as they should be");
    session.batch_execute("DROP TABLE held").await?;
    Ok(())
}

async fn text_mode_is_what_scoring_every_chunk_gives() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    compare(&session).await?;
    session
        .batch_execute(
            "BEGIN; SAVEPOINT a; INSERT INTO t SELECT i, some_words(i), i % 10 FROM generate_series(301, 340) i; ROLLBACK TO a;
             INSERT INTO t SELECT i, some_words(i), i % 10 FROM generate_series(341, 345) i; COMMIT;
             BEGIN; INSERT INTO t SELECT i, some_words(i), i % 10 FROM generate_series(346, 350) i; ROLLBACK",
        )
        .await?;
    let rows: i64 = session.value("SELECT count(DISTINCT chunk_id) FROM rag._postings('c')").await?;
    ensure!(rows == 305, "{rows} chunks");
    compare(&session).await
}

async fn a_filter_that_many_rows_meet_leaves_scores_and_order() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    make_with(&session, ", model => 'stub/small'").await?;
    // A word that all rows outside the filter contain, and few rows inside it, with lower scores.
    for begin in [301, 3001, 6001, 9001] {
        session
            .batch_execute(&format!(
                "INSERT INTO t SELECT i, some_words(i % 100 * 30 + i % 7)
                                         || CASE WHEN i % 2 = 1 THEN ' other'
                                                 WHEN i % 2000 = 0 THEN repeat(' more', 30 + i / 2000) || ' other' ELSE '' END,
                                      CASE WHEN i % 2 = 0 THEN 3 ELSE 1 END
                 FROM generate_series({begin}, ({begin} / 3000 + 1) * 3000) i"
            ))
            .await?;
    }
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    compare(&session).await?;
    let found = |k: i32, more: &str| {
        format!(
            "SELECT string_agg(format('%s %s', chunk_id, round(score::numeric, 9)), ', ' ORDER BY rank)
             FROM rag.search('c', 'other', {k}, 'text'{more}"
        )
    };
    let expected: String = session.value(&found(10_000, ") WHERE metadata @> '{\"kind\": 3}'")).await?;
    ensure!(expected.split(", ").count() == 6, "{expected}");
    for k in [1, 6, 10, 5000] {
        let first: Vec<&str> = expected.split(", ").take(k as usize).collect();
        let found: String = session.value(&found(k, ", '{\"kind\": 3}')")).await?;
        ensure!(found == first.join(", "), "{k}: {found} instead of {expected}");
    }
    Ok(())
}

async fn deleted_chunks_are_not_found() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    session
        .batch_execute(
            "DELETE FROM t WHERE id % 3 = 0; UPDATE t SET body = 'changed ' || body WHERE id % 7 = 0",
        )
        .await?;
    let found = "SELECT array_agg((source_key->>'id')::int ORDER BY (source_key->>'id')::int)
                 FROM rag.search('c', 'w0 w1 w2', 400, 'text')";
    let expected = "SELECT array_agg(id ORDER BY id) FROM t WHERE body ~ '\\yw[012]\\y'";
    let (found, expected): (Vec<i32>, Vec<i32>) =
        (session.value(found).await?, session.value(expected).await?);
    ensure!(found == expected, "{found:?} instead of {expected:?}");
    let best: Vec<i32> = session
        .value("SELECT array_agg((source_key->>'id')::int) FROM rag.search('c', 'changed', 5, 'text')")
        .await?;
    ensure!(best.len() == 5 && best.iter().all(|id| id % 7 == 0 && id % 3 != 0), "{best:?}");
    Ok(())
}

async fn many_segments_are_merged() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    for id in 301..320 {
        session.batch_execute(&format!("INSERT INTO t VALUES ({id}, some_words({id}), {id} % 10)")).await?;
    }
    let segments = "SELECT count(*) FROM c_terms WHERE page = 0";
    ragstone_tests::wait::until("small segments are merged", async || {
        session.batch_execute("UPDATE t SET body = body || ' more' WHERE id = 1").await?;
        session.batch_execute("SELECT rag.wait_until_current('c')").await?;
        Ok((session.value::<i64>(segments).await? <= 10).then_some(()))
    })
    .await?;
    let rows: i64 = session.value("SELECT count(DISTINCT chunk_id) FROM rag._postings('c')").await?;
    ensure!(rows == 319, "{rows} chunks");
    Ok(())
}

async fn segments_of_one_size_are_merged() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    make_with(&session, ", model => 'stub/small'").await?;
    for place in 1..=20 {
        let insert = "INSERT INTO t SELECT i, some_words(i), i % 10 FROM generate_series";
        session.batch_execute(&format!("{insert}({place} * 300 + 1, {place} * 300 + 300) i")).await?;
    }
    let segments = "SELECT count(*) FROM c_terms WHERE page = 0";
    ragstone_tests::wait::until("segments of one size are merged", async || {
        // A worker without work exits if another database needs its slot, and a search starts it again.
        session.query("SELECT rank FROM rag.search('c', 'w1', mode => 'text')", &[]).await?;
        Ok((session.value::<i64>(segments).await? < 8).then_some(()))
    })
    .await?;
    let rows: i64 = session.value("SELECT count(DISTINCT chunk_id) FROM rag._postings('c')").await?;
    ensure!(rows == 300 + 20 * 300, "{rows} chunks");
    Ok(())
}

async fn few_segments_with_many_deleted_chunks_are_merged() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    session.batch_execute("DELETE FROM t WHERE id > 40").await?;
    let segments = "SELECT count(*) FROM c_terms WHERE page = 0";
    ragstone_tests::wait::until("deleted chunks are left out", async || {
        // A worker without work exits if another database needs its slot, and a search starts it again.
        session.query("SELECT rank FROM rag.search('c', 'w1', mode => 'text')", &[]).await?;
        Ok((session.value::<i64>(segments).await? == 1).then_some(()))
    })
    .await?;
    let rows: i64 = session.value("SELECT count(DISTINCT chunk_id) FROM rag._postings('c')").await?;
    ensure!(rows == 40, "{rows} chunks");
    Ok(())
}

async fn a_damaged_page_is_an_error_of_its_collection() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    session
        .batch_execute(
            "SELECT rag.create_collection('other', 't', 'body', sync => 'manual', word_parts => false)",
        )
        .await?;
    let search = "SELECT count(*) FROM rag.search('c', 'w1 w2', mode => 'text')";
    for damage in [
        "UPDATE c_terms SET data = 'x'",
        "UPDATE c_terms SET data = substr(data, 1, length(data) / 2)",
        "UPDATE c_terms SET data = decode(repeat('ff', length(data)), 'hex')",
    ] {
        session.batch_execute(&format!("BEGIN; {damage}")).await?;
        let refusal = session.refusal(search).await?;
        refusal.expect("XX001", "of the text index is damaged in page", "")?;
        ensure!(refusal.detail.contains("collection \"c\""), "{refusal:?}");
        session.batch_execute("ROLLBACK").await?;
    }
    let found: i64 =
        session.value("SELECT count(*) FROM rag.search('other', 'w1 w2', mode => 'text')").await?;
    ensure!(found == 10);
    Ok(())
}

/// Number of workers that are terminated while writers write.
const ENDED_WORKERS: usize = 30;

async fn merges_that_are_ended_lose_nothing() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    let writer = shared().await?.connect_beside(&session).await?;
    let is_over = Cell::new(false);
    let write = async {
        let mut id = 1000;
        while !is_over.get() {
            id += 1;
            writer
                .batch_execute(&format!(
                    "INSERT INTO t VALUES ({id}, some_words({id}), {id} % 10);
                     DELETE FROM t WHERE id = {id} - 40; UPDATE t SET body = some_words({id} + 7) WHERE id = {id} - 3"
                ))
                .await?;
        }
        Result::Ok(())
    };
    let end = async {
        let terminate = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
                         WHERE backend_type = 'ragstone worker' AND datname = current_database()";
        let mut ended = 0;
        while ended < ENDED_WORKERS {
            // A search starts a worker if there is none.
            session.query("SELECT rank FROM rag.search('c', 'w1', mode => 'text')", &[]).await?;
            ended += usize::try_from(session.value::<i64>(terminate).await?)?;
        }
        is_over.set(true);
        Result::Ok(())
    };
    try_join(write, end).await?;
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    // Deleted chunks count for scores until they are merged away; a refresh leaves this to a worker that is
    // merging at that moment.
    ragstone_tests::wait::until("searches are as all chunks are scored", async || {
        session.batch_execute("SELECT rag.refresh_collection('c')").await?;
        Ok(compare(&session).await.ok())
    })
    .await
}

async fn a_writer_that_stays_open_is_seen_when_it_commits() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    let writer = shared().await?.connect_beside(&session).await?;
    writer
        .batch_execute(
            "BEGIN; INSERT INTO t SELECT i, some_words(i), i % 10 FROM generate_series(2000, 2020) i",
        )
        .await?;
    for id in 301..330 {
        session.batch_execute(&format!("INSERT INTO t VALUES ({id}, some_words({id}), {id} % 10)")).await?;
    }
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    let segments = "SELECT count(*) FROM c_terms WHERE page = 0";
    ragstone_tests::wait::until("segments beside an open one are merged", async || {
        // A worker without work exits if another database needs its slot, and a search starts it again.
        session.query("SELECT rank FROM rag.search('c', 'w1', mode => 'text')", &[]).await?;
        Ok((session.value::<i64>(segments).await? <= 10).then_some(()))
    })
    .await?;
    compare(&session).await?;
    writer.batch_execute("COMMIT").await?;
    let rows: i64 = session.value("SELECT count(DISTINCT chunk_id) FROM rag._postings('c')").await?;
    ensure!(rows == 300 + 29 + 21, "{rows} chunks");
    Ok(())
}

async fn chunk_numbers_may_be_of_any_size() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    let last = i64::MAX - 120;
    session
        .batch_execute(&format!(
            "SELECT setval(pg_get_serial_sequence('c_chunks', 'chunk_id'), {last});
             INSERT INTO t SELECT i, some_words(i), i % 10 FROM generate_series(400, 440) i;
             SELECT rag.refresh_collection('c', text => true)"
        ))
        .await?;
    ensure!(session.value::<i64>("SELECT max(chunk_id) FROM c_chunks").await? > last);
    compare(&session).await?;
    let many = "INSERT INTO t SELECT i, some_words(i), i % 10 FROM generate_series(500, 800) i";
    session.batch_execute(many).await?;
    let failed = "SELECT count(*) FROM rag.failed WHERE sqlstate = '2200H'";
    ragstone_tests::wait::until("rows without a number are listed as failed", async || {
        Ok((session.value::<i64>(failed).await? > 0).then_some(()))
    })
    .await?;
    Ok(())
}

async fn a_chunk_may_have_a_million_words() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "SET rag.overlong_input = 'ignore';
             CREATE TABLE t (id int PRIMARY KEY, body text);
             INSERT INTO t SELECT 1, string_agg('x' || i, ' ') FROM generate_series(1, 1000000) i;
             INSERT INTO t SELECT 2, repeat('y', 10000) || ' short x77';
             SELECT rag.create_collection('c', 't', 'body', chunk_size => 100000000, sync => 'manual', language => 'simple')",
        )
        .await?;
    for (query, row) in [("x1", 1), ("x1000000", 1), ("short", 2), ("x77", 2)] {
        let found: i32 = session
            .value_of(
                "SELECT (source_key->>'id')::int FROM rag.search('c', $1, mode => 'text') WHERE rank = 1",
                &[&query],
            )
            .await?;
        ensure!(found == row, "{query} finds {found}");
    }
    ensure!(session.value::<i32>("SELECT words FROM c_chunks WHERE key_1 = 1").await? == 1_000_000);
    Ok(())
}
