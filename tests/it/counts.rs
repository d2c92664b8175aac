//! `rag.count` and `rag.facets`: the numbers are those of a SELECT of the caller.

use crate::followed::current;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        facets_are_those_of_group_by,
        a_row_counts_that_a_search_for_words_finds,
        a_row_counts_that_reaches_the_similarity,
        a_row_that_waits_to_be_indexed_is_not_counted_for_a_query,
        what_cannot_be_counted_is_refused,
    ]
}

/// Rows about ships and trains, a third of which a role of the returned name may not see.
async fn make(session: &Session) -> Result<String> {
    let reader: String = session.value("SELECT 'reader_of_' || current_database()").await?;
    session
        .batch_execute(&format!(
            "CREATE TYPE mood AS ENUM ('low', 'high');
             CREATE TABLE t (id int PRIMARY KEY, body text, kind text, price numeric, at timestamptz, mood mood, tags text[],
                             attributes jsonb);
             INSERT INTO t SELECT i, CASE WHEN i % 2 = 0 THEN 'A ship lies in the harbour.' ELSE 'A train leaves the station.' END,
               (ARRAY['a', 'b', 'b', NULL])[1 + i % 4], (i % 3) / 2.0, timestamptz '2026-01-01 00:00+00' + make_interval(days => i % 2),
               (ARRAY['low', 'high'])[1 + i % 2]::mood, CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN '{{x,y,x}}' ELSE '{{y}}' END::text[],
               jsonb_build_object('color', (ARRAY['red', 'blue'])[1 + i % 2])
             FROM generate_series(1, 60) i;
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual', metadata => '{{kind,price,at,mood,tags,attributes}}');
             CREATE ROLE {reader}; GRANT SELECT ON t TO {reader};
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t TO {reader} USING (id % 3 > 0)"
        ))
        .await?;
    Ok(reader)
}

async fn facets_are_those_of_group_by() -> Result<()> {
    let session = shared().await?.session().await?;
    let reader = make(&session).await?;
    session.batch_execute("SET TimeZone = 'Asia/Tokyo'").await?;
    let grouped = |value: &str, condition: &str| {
        format!(
            "SELECT string_agg(concat_ws('=', value, rows), ' ' ORDER BY rows DESC, value) FROM (
               SELECT {value} AS value, count(*) AS rows FROM t WHERE {condition} GROUP BY 1) g"
        )
    };
    for role in ["NONE", &reader] {
        session.batch_execute(&format!("SET ROLE {role}")).await?;
        for (query, condition) in [("NULL", "true"), ("'ship'", "id % 2 = 0")] {
            for (column, value) in [
                ("kind", "to_jsonb(kind)"),
                ("price", "to_jsonb(price)"),
                ("at", "to_jsonb(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') || '+00:00')"),
                ("mood", "to_jsonb(mood::text)"),
                ("attributes.color", "attributes -> 'color'"),
            ] {
                let facets = format!(
                    "SELECT string_agg(concat_ws('=', value, rows), ' ' ORDER BY rows DESC, value)
                     FROM rag.facets('c', {query}, ARRAY['{column}'], '{{\"price\": {{\"$lt\": 1}}}}')"
                );
                let found: String = session.value(&facets).await?;
                let expected: String =
                    session.value(&grouped(value, &format!("{condition} AND price < 1"))).await?;
                ensure!(found == expected, "{column} of {query} as {role}: {found}, not {expected}");
            }
        }
        // A row counts once for each different element.
        let found: String = session
            .value("SELECT string_agg(concat_ws('=', value, rows), ' ' ORDER BY value) FROM rag.facets('c', columns => '{tags}')")
            .await?;
        let expected = if role == "NONE" { "\"x\"=20 \"y\"=40 20" } else { "\"x\"=20 \"y\"=40" };
        ensure!(found == expected, "{found} as {role}");
    }
    session.batch_execute("RESET ROLE").await?;
    let all: Vec<String> = session
        .value("SELECT array_agg(DISTINCT column_name ORDER BY column_name) FROM rag.facets('c', k => 1)")
        .await?;
    ensure!(all == ["at", "attributes", "kind", "mood", "price", "tags"], "{all:?}");
    let most: i64 = session
        .value(
            "SELECT max(n) FROM (SELECT count(*) AS n FROM rag.facets('c', k => 1) GROUP BY column_name) f",
        )
        .await?;
    ensure!(most == 1, "{most} values of a column");
    Ok(())
}

async fn a_row_counts_that_a_search_for_words_finds() -> Result<()> {
    let session = shared().await?.session().await?;
    let reader = make(&session).await?;
    for role in ["NONE", &reader] {
        session.batch_execute(&format!("SET ROLE {role}")).await?;
        for query in ["ship", "train station", "ship or train", "shipp", "nothing of it", "", "the"] {
            let sql = "SELECT rag.count('c', $1, f) = s.rows AND (s.rows > 0) = (rag.count('c', $1) > 0)
                       FROM (VALUES ('{\"kind\": {\"$exists\": true}}'::jsonb)) v (f),
                            LATERAL (SELECT count(*) AS rows FROM rag.search('c', $1, k => 100, mode => 'text', filter => f, per_source => true)) s";
            ensure!(session.value_of::<bool>(sql, &[&query]).await?, "{query:?} as {role}");
        }
    }
    Ok(())
}

async fn a_row_counts_that_reaches_the_similarity() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    let counts: Vec<i64> = session
        .value(
            "SELECT ARRAY[rag.count('c', 'railway'), rag.count('c', 'railway', min_similarity => 0.3),
                          rag.count('c', 'railway', min_similarity => 1), rag.count('c', 'railway', min_similarity => -1)]",
        )
        .await?;
    ensure!(counts == [0, 30, 0, 60], "{counts:?}");
    Ok(())
}

async fn a_row_that_waits_to_be_indexed_is_not_counted_for_a_query() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text, kind text);
             INSERT INTO t SELECT i, 'a ship', 'x' FROM generate_series(1, 5) i;
             SELECT rag.create_collection('c', 't', 'body', metadata => '{kind}')",
        )
        .await?;
    current(&session).await?;
    session
        .batch_execute(
            "BEGIN; UPDATE t SET body = 'a train' WHERE id = 1; UPDATE t SET kind = 'y' WHERE id = 2",
        )
        .await?;
    let counts: Vec<i64> =
        session.value("SELECT ARRAY[rag.count('c', 'ship'), rag.count('c'), rag.count('c', filter => '{\"kind\": \"y\"}')]").await?;
    ensure!(counts == [3, 5, 1], "{counts:?}");
    session.batch_execute("ROLLBACK").await?;
    Ok(())
}

async fn what_cannot_be_counted_is_refused() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    for (call, code, message, hint) in [
        ("rag.count('none')", "42704", "\"none\"", "rag.collections"),
        ("rag.count(NULL)", "22004", "collection", ""),
        ("rag.count('c', min_similarity => 0.5)", "22023", "min_similarity without a query", "query"),
        ("rag.count('c', 'x', min_similarity => 2)", "22023", "from -1 to 1", ""),
        ("rag.facets('c', columns => '{knd}')", "42703", "\"knd\"", "\"kind\""),
        ("rag.facets('c', columns => '{NULL}')", "22004", "columns", ""),
        ("rag.facets('c', k => 0)", "22023", "k must be", ""),
    ] {
        session.refusal(&format!("SELECT * FROM {call}")).await?.expect(code, message, hint)?;
    }
    let stranger: String = session.value("SELECT 'stranger_of_' || current_database()").await?;
    session.batch_execute(&format!("CREATE ROLE {stranger}; SET ROLE {stranger}")).await?;
    for call in ["rag.count('c')", "rag.facets('c')"] {
        session.refusal(&format!("SELECT * FROM {call}")).await?.expect("42501", "t", "")?;
    }
    Ok(())
}
