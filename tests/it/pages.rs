//! Pages of results, the least similarity, and the places of passages in their rows.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use std::collections::HashSet;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        pages_repeat_and_skip_nothing,
        pages_of_visible_rows_repeat_and_skip_nothing,
        pages_of_single_rows_repeat_and_skip_nothing,
        a_page_beyond_the_last_result_is_empty,
        results_do_not_depend_on_their_number,
        hits_below_the_least_similarity_are_left_out,
        similarity_is_the_cosine_in_every_mode,
        passages_are_found_in_their_rows_by_their_places,
        pages_that_are_too_far_are_refused,
    ]
}

const MODES: [&str; 3] = ["hybrid", "vector", "text"];

/// 400 rows that all contain some of the words of the queries, so that the index of vectors is approximate.
async fn collection(session: &Session) -> Result<()> {
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, tenant name, body text);
             INSERT INTO t SELECT i, CASE WHEN i % 2 = 0 THEN 'reader' ELSE 'other' END,
               'pump ' || i || ' of house ' || i * 7 % 90 || repeat(' and of the pump ' || i % 11, i % 5)
             FROM generate_series(1, 400) i;
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual')",
        )
        .await?;
    Ok(())
}

/// Numbers and ranks of the chunks of one page.
async fn page(session: &Session, mode: &str, k: i32, offset: i32, more: &str) -> Result<Vec<(i64, i32)>> {
    let sql = format!(
        "SELECT chunk_id, rank FROM rag.search('c', 'pump of house 17', k => $1, mode => $2, page_offset => $3{more})
         ORDER BY rank"
    );
    let rows = session.query(&sql, &[&k, &mode, &offset]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Checks that the pages of each mode are parts of one list of `all` results.
async fn check_pages(session: &Session, all: usize, more: &str) -> Result<()> {
    for mode in MODES {
        let whole = page(session, mode, 1000, 0, more).await?;
        ensure!(whole.len() == all, "{mode}: {} results", whole.len());
        let distinct: HashSet<i64> = whole.iter().map(|(chunk, _)| *chunk).collect();
        ensure!(distinct.len() == all, "{mode}: some results occur twice");
        ensure!(whole.iter().map(|(_, rank)| *rank).eq(1..=all as i32), "{mode}: ranks are not in sequence");
        for size in [7, 60] {
            let mut paged = Vec::new();
            while paged.len() < all {
                let found = page(session, mode, size, paged.len() as i32, more).await?;
                ensure!(!found.is_empty(), "{mode}: only {} results in pages of {size}", paged.len());
                paged.extend(found);
            }
            ensure!(paged == whole, "{mode}: pages of {size} differ from the whole list");
        }
    }
    Ok(())
}

async fn pages_repeat_and_skip_nothing() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session).await?;
    check_pages(&session, 400, "").await?;
    check_pages(&session, 400, ", depth => 20").await
}

async fn pages_of_visible_rows_repeat_and_skip_nothing() -> Result<()> {
    let session = shared().await?.session().await?;
    let reader: String = session.value("SELECT 'pages_of_' || current_database()").await?;
    collection(&session).await?;
    session
        .batch_execute(&format!(
            "CREATE ROLE {reader}; GRANT SELECT ON t TO {reader};
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON t USING (tenant = 'reader');
             ANALYZE t; SET ROLE {reader}"
        ))
        .await?;
    check_pages(&session, 200, "").await?;
    session.batch_execute("RESET ROLE").await?;
    Ok(())
}

async fn pages_of_single_rows_repeat_and_skip_nothing() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text);
             INSERT INTO t SELECT i, repeat(E'The pump of house ' || i || E' stands still.\n\n', 1 + i % 9)
             FROM generate_series(1, 60) i;
             SELECT rag.create_collection('c', 't', 'body', chunk_size => 16, sync => 'manual')",
        )
        .await?;
    check_pages(&session, 60, ", per_source => true").await
}

async fn a_page_beyond_the_last_result_is_empty() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session).await?;
    for mode in MODES {
        ensure!(page(&session, mode, 10, 400, "").await?.is_empty(), "{mode}");
        ensure!(page(&session, mode, 10, 395, "").await?.len() == 5, "{mode}");
    }
    Ok(())
}

async fn results_do_not_depend_on_their_number() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session).await?;
    for mode in MODES {
        for more in ["", ", fusion => 'rrf'", ", depth => 30"] {
            let most = page(&session, mode, 400, 0, more).await?;
            for k in [1, 10, 49, 51, 100, 150] {
                let fewer = page(&session, mode, k, 0, more).await?;
                ensure!(fewer == most[..k as usize], "{mode}{more}: the first {k} are others among 400");
            }
        }
    }
    Ok(())
}

async fn hits_below_the_least_similarity_are_left_out() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session).await?;
    session.batch_execute("INSERT INTO t VALUES (1000, 'other', 'A sandwich with a pump of cheese')").await?;
    session.batch_execute("SELECT rag.refresh_collection('c')").await?;
    for mode in MODES {
        // The threshold is in the middle of the similarities, so that both sides have hits. The index of vectors
        // may miss some.
        let sql = "WITH hits AS (SELECT * FROM rag.search('c', 'sandwich or pump', k => 1000, mode => $1, min_similarity => -1)),
                        least AS (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY similarity) AS similarity FROM hits),
                        counted AS (SELECT count(*) FILTER (WHERE h.similarity >= l.similarity) AS similar,
                                           count(*) FILTER (WHERE h.similarity < l.similarity) AS others
                                    FROM hits h, least l),
                        found AS (SELECT count(*), min(s.similarity) AS least FROM least l,
                                  rag.search('c', 'sandwich or pump', k => 1000, mode => $1, min_similarity => l.similarity) s)
                   SELECT f.least >= l.similarity AND f.count BETWEEN 0.95 * c.similar AND c.similar AND c.others > 100
                   FROM found f, least l, counted c";
        ensure!(session.value_of::<bool>(sql, &[&mode]).await?, "{mode}");
        let none =
            "SELECT count(*) FROM rag.search('c', 'sandwich or pump', mode => $1, min_similarity => 1)";
        ensure!(
            session.value_of::<i64>(none, &[&mode]).await? == 0,
            "{mode}: something is equal to the query"
        );
    }
    Ok(())
}

async fn similarity_is_the_cosine_in_every_mode() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session).await?;
    for (mode, more) in [("hybrid", ""), ("vector", ""), ("text", ", min_similarity => -1")] {
        let sql = format!(
            "SELECT count(*) FILTER (WHERE abs(s.similarity - (1 - (c.embedding::vector <=> rag.embed('pump of house 17', kind => 'query')))) < 0.001)
             FROM rag.search('c', 'pump of house 17', mode => '{mode}', k => 150{more}) s JOIN c_chunks c USING (chunk_id)"
        );
        let right: i64 = session.value(&sql).await?;
        ensure!(right == 150, "{mode}: {right} of 150 are right");
    }
    // Text mode needs no model, and scores => false leaves similarities out as well.
    for more in ["mode => 'text'", "scores => false", "scores => false, min_similarity => 0"] {
        let sql =
            format!("SELECT count(*) > 0 AND count(similarity) = 0 FROM rag.search('c', 'pump', {more})");
        ensure!(session.value::<bool>(&sql).await?, "{more}");
    }
    Ok(())
}

async fn passages_are_found_in_their_rows_by_their_places() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text);
             INSERT INTO t SELECT i, E'\\n  Über die Pumpe ' || i || E'\\n\\n' ||
               repeat(E'Größe und Länge der Pumpe. Sie läuft — immer.\\n\\n', 20) FROM generate_series(1, 3) i;
             SELECT rag.create_collection('c', 't', 'body', chunk_size => 40, chunk_overlap => 10, sync => 'manual')",
        )
        .await?;
    let found = session
        .query_one(
            "SELECT count(*), count(*) FILTER (WHERE s.content = substr(t.body, s.start_at, s.end_at - s.start_at + 1)),
                    count(DISTINCT (t.id, s.seq)), min(s.seq), count(*) FILTER (WHERE s.seq = 2)
             FROM rag.search('c', 'Pumpe', k => 1000) s JOIN t ON t.id = (s.source_key->>'id')::int",
            &[],
        )
        .await?;
    let [all, right, distinct, second] = [0_usize, 1, 2, 4].map(|column| found.get::<_, i64>(column));
    ensure!(all > 10 && right == all && distinct == all, "{right} of {all}, {distinct} distinct");
    ensure!(found.get::<_, i32>(3) == 1 && second == 3, "rows begin with {}", found.get::<_, i32>(3));
    Ok(())
}

async fn pages_that_are_too_far_are_refused() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session).await?;
    let hint = "Restrict the search with filter or min_similarity";
    for (arguments, message, hint) in [
        ("k => 10, page_offset => 991", "k + page_offset must be at most 1000, not 1001", hint),
        ("k => 9, page_offset => 2147483647", "k + page_offset must be at most 1000, not 2147483656", hint),
        ("page_offset => -1", "page_offset must not be negative, and is -1", ""),
        ("depth => 19", "depth must be from 20 to 1000 chunks, not 19", ""),
        ("depth => 1001", "depth must be from 20 to 1000 chunks, not 1001", ""),
        ("min_similarity => 1.1", "min_similarity must be from -1 to 1, not 1.1", ""),
        ("min_similarity => 'NaN'", "min_similarity must be from -1 to 1, not NaN", ""),
    ] {
        let refusal = session.refusal(&format!("SELECT * FROM rag.search('c', 'pump', {arguments})")).await?;
        refusal.expect("22023", message, hint)?;
    }
    ensure!(page(&session, "text", 9, 991, "").await?.is_empty(), "there are 400");
    Ok(())
}
