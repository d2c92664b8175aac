//! `rag.evaluate`: the measures are those of the ranks that `rag.search` gives the caller.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        measures_are_those_of_the_ranks,
        variants_are_compared_with_the_defaults,
        keys_may_have_any_form,
        odd_questions_are_counted_and_said,
        what_cannot_be_evaluated_is_refused,
        results_and_rows_are_those_of_the_role,
        an_evaluation_in_a_read_only_transaction_is_not_kept,
    ]
}

/// Rows about ships and trains, and judged questions about them.
async fn make(session: &Session) -> Result<()> {
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text);
             INSERT INTO t VALUES (1, 'A ship lies in the harbour.'), (2, 'The train leaves the station.'),
               (3, 'Ships and trains carry freight.'), (4, 'The harbour freezes in winter.'),
               (5, 'A lighthouse guides every ship into the harbour at night.'), (6, 'Bread is baked at night.');
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual');
             CREATE TABLE judged (question text, key int, grade int);
             INSERT INTO judged VALUES ('ship in the harbour', 1, 3), ('ship in the harbour', 5, 2), ('ship in the harbour', 4, 1),
               ('train station', 2, 2), ('train station', 3, 1), ('train station', 6, 0),
               ('who bakes bread', 6, 1), ('lighthouse', 5, 1), ('freight', 3, 1), ('winter night', 4, 1), ('winter night', 6, -1)",
        )
        .await?;
    Ok(())
}

/// Mean nDCG, recall, MRR, MAP and hit rate at 3 of a mode, from the ranks of `rag.search`. The formulas are those of
/// trec_eval.
const FROM_RANKS: &str = "
    WITH question AS (SELECT DISTINCT question FROM judged),
    hit AS (SELECT q.question, s.rank, greatest(coalesce(j.grade, 0), 0)::float8 AS grade FROM question q
            CROSS JOIN LATERAL rag.search('c', q.question, k => 3, mode => $1, per_source => true) s
            LEFT JOIN judged j ON j.question = q.question AND j.key = (s.source_key ->> 'id')::int),
    ideal AS (SELECT question, grade, row_number() OVER (PARTITION BY question ORDER BY grade DESC) AS rank,
                     count(*) OVER (PARTITION BY question) AS relevant FROM judged WHERE grade > 0),
    scored AS (
      SELECT q.question,
        coalesce((SELECT sum(h.grade / log(2, h.rank + 1)::float8) FROM hit h WHERE h.question = q.question), 0)
          / (SELECT sum(i.grade / log(2, i.rank + 1)::float8) FROM ideal i WHERE i.question = q.question AND i.rank <= 3) AS ndcg,
        (SELECT count(*) FROM hit h WHERE h.question = q.question AND h.grade > 0)::float8
          / (SELECT max(relevant) FROM ideal i WHERE i.question = q.question) AS recall,
        coalesce((SELECT 1.0 / min(h.rank) FROM hit h WHERE h.question = q.question AND h.grade > 0), 0)::float8 AS mrr,
        coalesce((SELECT sum(p.share) FROM (
          SELECT row_number() OVER (ORDER BY h.rank)::float8 / h.rank AS share
          FROM hit h WHERE h.question = q.question AND h.grade > 0) p), 0)
          / (SELECT max(relevant) FROM ideal i WHERE i.question = q.question) AS map,
        (EXISTS (SELECT FROM hit h WHERE h.question = q.question AND h.grade > 0))::int::float8 AS hit
      FROM question q)
    SELECT ARRAY[avg(ndcg), avg(recall), avg(mrr), avg(map), avg(hit)] FROM scored";

async fn measures_are_those_of_the_ranks() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    session
        .batch_execute(
            "CREATE TABLE e AS SELECT * FROM rag.evaluate('c', 'judged', 3,
               '{\"vector\": {\"mode\": \"vector\"}, \"text\": {\"mode\": \"text\"}}')",
        )
        .await?;
    for (variant, mode) in [("default", "hybrid"), ("vector", "vector"), ("text", "text")] {
        let expected: Vec<f64> = session.value_of(FROM_RANKS, &[&mode]).await?;
        let sql = "SELECT ARRAY[ndcg, recall, mrr, map, hit_rate] FROM e WHERE variant = $1";
        let found: Vec<f64> = session.value_of(sql, &[&variant]).await?;
        let same = found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-9);
        ensure!(same, "{variant}: {found:?}, expected {expected:?}");
    }
    let fine: bool = session
        .value("SELECT bool_and(questions = 6 AND p50_ms > 0 AND p95_ms >= p50_ms AND no_answer_rate BETWEEN 0 AND 1) FROM e")
        .await?;
    ensure!(fine, "numbers of questions and times");
    let kept: bool = session
        .value(
            "SELECT count(*) = 3 AND bool_and(e.ndcg = v.ndcg AND v.k = 3 AND v.collection = 'c'
               AND v.questions_table = '\"public\".\"judged\"' AND v.settings ? 'model' AND v.finished_at >= v.started_at)
             FROM e JOIN rag.evaluations v USING (variant)",
        )
        .await?;
    ensure!(kept, "rag.evaluations does not have the results");
    let means: bool = session
        .value(
            "SELECT count(*) = 3 AND bool_and(abs(d.ndcg - v.ndcg) < 1e-9 AND d.questions = 6)
             FROM rag.evaluations v JOIN (SELECT variant, avg(ndcg) AS ndcg, count(*) AS questions
               FROM rag.evaluation_detail GROUP BY variant) d USING (variant)",
        )
        .await?;
    ensure!(means, "rag.evaluation_detail does not have each question");
    let ranks: bool = session
        .value(
            "SELECT bool_and(r ->> 'rank' IS NOT DISTINCT FROM (SELECT s.rank::text
               FROM rag.search('c', d.question, k => 3, mode => 'text', per_source => true) s WHERE s.source_key = r -> 'key'))
             FROM rag.evaluation_detail d, jsonb_array_elements(d.relevant) r WHERE d.variant = 'text'",
        )
        .await?;
    ensure!(ranks, "the ranks are not those of rag.search");
    Ok(())
}

async fn variants_are_compared_with_the_defaults() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    let sql = "SELECT string_agg(concat_ws(' ', variant, ci_low, ci_high), ', ' ORDER BY o)
               FROM rag.evaluate('c', 'judged', 5, $1::text::jsonb) WITH ORDINALITY
               e (variant, questions, ndcg, recall, mrr, map, hit_rate, no_answer_rate, p50_ms, p95_ms, ci_low, ci_high, o)";
    for (variants, expected) in [
        ("null", "default"),
        ("{}", "default"),
        (r#"{"same": {}, "again": {"mode": "hybrid", "typos": null}}"#, "default, again 0 0, same 0 0"),
        (r#"{"default": {"mode": "text"}, "a": {"mode": "text", "depth": 50}}"#, "default, a 0 0"),
    ] {
        let found: String = session.value_of(sql, &[&variants]).await?;
        ensure!(found == expected, "{variants}: {found}");
    }
    let worse: bool = session
        .value(
            "SELECT ndcg = 0 AND no_answer_rate = 1 AND ci_high < 0 AND ci_low <= ci_high
             FROM rag.evaluate('c', 'judged', variants => '{\"none\": {\"min_similarity\": 1}}') WHERE variant = 'none'",
        )
        .await?;
    ensure!(worse, "a variant that finds nothing");
    let options: String =
        session.value("SELECT options::text FROM rag.evaluations WHERE variant = 'none'").await?;
    ensure!(options == "{\"min_similarity\": 1}", "{options}");
    Ok(())
}

async fn keys_may_have_any_form() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    session
        .batch_execute(
            "CREATE DOMAIN code AS text CHECK (VALUE <> '');
             CREATE TABLE pairs (at timestamptz, code code, tags int[], body text, PRIMARY KEY (at, code, tags));
             INSERT INTO pairs VALUES ('2026-01-01 12:00+00', 'x', '{1,2}', 'A ship lies in the harbour.'),
               ('2026-01-02 12:00+00', 'y', '{}', 'The train leaves the station.');
             SELECT rag.create_collection('pairs', 'pairs', 'body', sync => 'manual');
             SET TimeZone = 'Asia/Tokyo'",
        )
        .await?;
    for (collection, questions) in [
        ("c", "SELECT 'ship' AS question, 1::bigint AS key"),
        ("c", "SELECT 'ship'::varchar AS question, ' 1'::text AS key, 2::numeric AS grade"),
        ("c", "SELECT 'ship' AS question, '{\"id\": 1}'::jsonb AS key, NULL::int AS grade"),
        ("c", "SELECT 'ship' AS question, '{\"id\": \"1\"}'::json AS key, 0.5::float4 AS grade"),
        ("c", "SELECT 'ship' AS question, '1'::jsonb AS key"),
        (
            "pairs",
            "SELECT 'ship' AS question, '{\"at\": \"2026-01-01 21:00\", \"code\": \"x\", \"tags\": [1, 2]}'::jsonb AS key",
        ),
        (
            "pairs",
            "SELECT 'ship' AS question, jsonb_build_object('at', at, 'code', code, 'tags', tags) AS key FROM pairs WHERE code = 'x'",
        ),
        (
            "pairs",
            "SELECT 'ship' AS question, source_key AS key FROM rag.search('pairs', 'ship', k => 1, mode => 'text')",
        ),
    ] {
        session.batch_execute(&format!("CREATE VIEW q AS {questions}")).await?;
        let sql =
            "SELECT hit_rate FROM rag.evaluate($1, 'q', variants => '{\"default\": {\"mode\": \"text\"}}')";
        let hit: f64 = session.value_of(sql, &[&collection]).await?;
        ensure!(hit == 1.0, "{questions}: {hit}, {:?}", session.take_notices());
        session.batch_execute("DROP VIEW q").await?;
    }
    Ok(())
}

async fn odd_questions_are_counted_and_said() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    session
        .batch_execute(
            "CREATE TABLE odd (question text, key text, grade int);
             INSERT INTO odd VALUES ('ship', '1', 1), ('ship', '99', 1), ('ship', 'no number', 1), ('ship', '1', 3), ('ship', ' 1', 2),
               ('bread', '6', -1), ('winter', NULL, NULL)",
        )
        .await?;
    session.take_notices();
    let sql = "SELECT concat_ws(' ', questions, recall, mrr, round(ndcg::numeric, 4), no_answer_rate)
               FROM rag.evaluate('c', 'odd', variants => '{\"default\": {\"mode\": \"text\"}}')";
    let found: String = session.value(sql).await?;
    // 1 / 3 of the relevant rows, of which one has the grade 3: 3 / (3 + 1 / log2(3) + 1 / 2).
    ensure!(found == "3 0.3333333333333333 1 0.7262 0", "{found}");
    let notices: Vec<String> = session
        .take_notices()
        .into_iter()
        .map(|notice| format!("{} {}", notice.message, notice.detail))
        .collect();
    for expected in
        ["2 of 5 keys in the table of questions belong to no row", "2 of 3 questions have no relevant row"]
    {
        ensure!(notices.iter().any(|notice| notice.contains(expected)), "no {expected}: {notices:?}");
    }
    let relevant: String =
        session.value("SELECT relevant::text FROM rag.evaluation_detail WHERE question = 'ship'").await?;
    ensure!(relevant.starts_with(r#"[{"key": {"id": 1}, "rank": 1, "grade": 3.0}"#), "{relevant}");
    // Without any relevant row there are no means, but there are times.
    session.batch_execute("DELETE FROM odd WHERE question = 'ship'").await?;
    let nothing: bool = session
        .value("SELECT ndcg IS NULL AND hit_rate IS NULL AND ci_low IS NULL AND p50_ms > 0 AND questions = 2 FROM rag.evaluate('c', 'odd')")
        .await?;
    ensure!(nothing, "questions without relevant rows");
    Ok(())
}

async fn what_cannot_be_evaluated_is_refused() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    session
        .batch_execute(
            "CREATE TABLE pairs (a int, b int, body text, PRIMARY KEY (a, b));
             SELECT rag.create_collection('pairs', 'pairs', 'body', sync => 'manual');
             CREATE VIEW no_question AS SELECT key FROM judged; CREATE VIEW no_key AS SELECT question FROM judged;
             CREATE VIEW texts AS SELECT question, key, 'high' AS grade FROM judged;
             CREATE VIEW infinite AS SELECT question, key, 'Infinity'::float8 AS grade FROM judged;
             CREATE VIEW nulls AS SELECT NULL::text AS question, key FROM judged;
             CREATE VIEW nothing AS SELECT * FROM judged WHERE false;
             CREATE VIEW others AS SELECT question, '{\"no\": 1}'::jsonb AS key FROM judged;
             CREATE SEQUENCE question_ids",
        )
        .await?;
    for (call, code, message, hint) in [
        ("'none', 'judged'", "42704", "\"none\"", "rag.collections"),
        ("NULL, 'judged'", "22004", "collection", ""),
        ("'c', NULL", "22004", "questions", ""),
        ("'c', 'judged', 0", "22023", "k must be from 1 to 1000, not 0", ""),
        ("'c', 99999999::oid", "42P01", "table of questions with OID 99999999", ""),
        ("'c', 'no_question'", "42703", "\"question\"", "columns question, key"),
        ("'c', 'no_key'", "42703", "\"key\"", "columns question, key"),
        ("'c', 'question_ids'", "42703", "\"question\"", "columns question, key"),
        ("'c', 'texts'", "42804", "\"grade\"", "integer"),
        ("'c', 'infinite'", "22023", "a grade in", "integer"),
        ("'c', 'nulls'", "22004", "a question in", ""),
        ("'c', 'nothing'", "22023", "has no row", "columns question, key"),
        ("'c', 'others'", "22023", "has other columns", "source_key"),
        ("'pairs', 'judged'", "22023", "is not an object", "source_key"),
        ("'c', 'judged', 10, '[]'", "22023", "variants must be a JSON object, not an array", "variant"),
        ("'c', 'judged', 10, '{\"a\": 1}'", "22023", "variant \"a\" must be a JSON object", ""),
        ("'c', 'judged', 10, '{\"a\": {\"mod\": 1}}'", "22023", "\"mod\" of variant \"a\"", "\"mode\""),
        ("'c', 'judged', 10, '{\"a\": {\"per_source\": true}}'", "22023", "\"per_source\"", "always true"),
        ("'c', 'judged', 10, '{\"a\": {\"k\": 5}}'", "22023", "\"k\" of variant \"a\"", ""),
        ("'c', 'judged', 10, '{\"a\": {\"mode\": 1}}'", "22023", "must be a string, not 1", ""),
        ("'c', 'judged', 10, '{\"a\": {\"mode\": \"x\"}}'", "22023", "unknown mode \"x\"", "hybrid"),
        ("'c', 'judged', 10, '{\"a\": {\"vector_weight\": 2}}'", "22023", "vector_weight", ""),
        ("'c', 'judged', 10, '{\"a\": {\"depth\": 1.5}}'", "22023", "must be an integer", ""),
        ("'c', 'judged', 10, '{\"a\": {\"collection\": \"none\"}}'", "42704", "\"none\"", ""),
    ] {
        session.refusal(&format!("SELECT * FROM rag.evaluate({call})")).await?.expect(code, message, hint)?;
    }
    session.refusal("SELECT rag.delete_evaluation(4711)").await?.expect(
        "42704",
        "evaluation 4711",
        "rag.evaluations",
    )?;
    session.refusal("SELECT rag.delete_evaluation(NULL)").await?.expect("22004", "evaluation", "")?;
    let kept: i64 = session.value("SELECT count(*) FROM rag.evaluations").await?;
    ensure!(kept == 0, "{kept} results of refused evaluations");
    Ok(())
}

async fn results_and_rows_are_those_of_the_role() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    let reader: String = session.value("SELECT 'judge_of_' || current_database()").await?;
    session
        .batch_execute(&format!(
            "CREATE ROLE {reader}; GRANT SELECT ON t TO {reader};
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t TO {reader} USING (id <> 1);
             SET ROLE {reader}"
        ))
        .await?;
    let evaluate = "SELECT concat_ws(' ', questions, recall) FROM rag.evaluate('c', 'judged',
                    variants => '{\"default\": {\"mode\": \"text\"}}')";
    session.refusal(evaluate).await?.expect("42501", "judged", "")?;
    session
        .batch_execute(&format!(
            "RESET ROLE; GRANT SELECT ON judged TO {reader}; ALTER TABLE judged ENABLE ROW LEVEL SECURITY;
             CREATE POLICY p ON judged TO {reader} USING (question = 'ship in the harbour' AND key IN (1, 5)); SET ROLE {reader}"
        ))
        .await?;
    session.take_notices();
    let of_reader: String = session.value(evaluate).await?;
    ensure!(of_reader == "1 0.5", "{of_reader}");
    let notices = session.take_notices();
    ensure!(notices.iter().any(|notice| notice.message.starts_with("1 of 2 keys")), "{notices:?}");
    let owned = "SELECT count(*) FROM rag.evaluations WHERE owner = current_user";
    ensure!(session.value::<i64>(owned).await? == 1, "the reader's evaluation is not listed");
    // A superuser sees all of them, and another role none.
    session.batch_execute(&format!("RESET ROLE; CREATE ROLE {reader}_2; SET ROLE {reader}_2")).await?;
    let seen: Vec<i64> = session
        .value("SELECT ARRAY[(SELECT count(*) FROM rag.evaluations), (SELECT count(*) FROM rag.evaluation_detail)]")
        .await?;
    ensure!(seen == [0, 0], "another role sees {seen:?}");
    session.refusal("SELECT rag.delete_evaluation(1)").await?.expect("42704", "evaluation 1", "")?;
    session.refusal("SELECT * FROM rag._evaluation_detail").await?.expect(
        "42501",
        "_evaluation_detail",
        "",
    )?;
    session.batch_execute(&format!("SET ROLE {reader}; SELECT rag.delete_evaluation(1); RESET ROLE")).await?;
    let left: i64 = session.value("SELECT count(*) FROM rag._evaluation_detail").await?;
    ensure!(left == 0, "{left} details of a deleted evaluation");
    Ok(())
}

async fn an_evaluation_in_a_read_only_transaction_is_not_kept() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    session.batch_execute("BEGIN READ ONLY").await?;
    session.take_notices();
    let questions: i32 = session.value("SELECT questions FROM rag.evaluate('c', 'judged')").await?;
    ensure!(questions == 6, "{questions} questions");
    let notices = session.take_notices();
    ensure!(notices.iter().any(|notice| notice.message.contains("not kept")), "{notices:?}");
    session.batch_execute("COMMIT").await?;
    let kept: i64 = session.value("SELECT count(*) FROM rag.evaluations").await?;
    ensure!(kept == 0, "{kept} kept");
    Ok(())
}
