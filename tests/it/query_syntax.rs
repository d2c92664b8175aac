//! Queries with operators, and misspelt words.

use crate::generate::with;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::Reply;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        operators_say_what_hits_have,
        compound_tokens_begin_as_they_are_typed,
        operators_hold_in_every_mode,
        operators_and_filters_hold_together,
        operators_hold_among_many_chunks,
        hidden_rows_stay_hidden_from_operators,
        a_phrase_that_few_visible_rows_lack_is_given_up,
        a_word_that_no_row_has_stands_for_those_spelt_alike,
        operators_are_read_in_a_database_that_is_not_in_utf8,
        nothing_that_is_typed_is_an_error,
    ]
}

const TEXTS: [&str; 9] = [
    "A base backup copies all files of the running server.",
    "The backup of a base, as it is called in the army, comes last.",
    "Vacuuming removes dead rows; a vacuumed table shrinks.",
    "Archive the log: archiving is continuous.",
    "A replica follows its primary, replication is by streaming.",
    "To be, or not to be: that is the question.",
    "The café serves Crème brûlée (with sugar).",
    "数据库系统的概念",
    "Point-in-time recovery goes back to a point in time.",
];

async fn collection(session: &Session, arguments: &str) -> Result<()> {
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, title text, body text, kind int)").await?;
    let insert =
        "INSERT INTO t SELECT n, 'Note ' || n, b, n % 2 FROM unnest($1::text[]) WITH ORDINALITY u (b, n)";
    session.execute(insert, &[&TEXTS.as_slice()]).await?;
    let create = format!(
        "SELECT rag.create_collection('c', 't', 'body', 'title', '{{kind}}', sync => 'manual'{arguments})"
    );
    session.batch_execute(&create).await?;
    Ok(())
}

/// The rows that a query with operators finds, by number.
async fn found(session: &Session, query: &str, mode: &str) -> Result<Vec<i64>> {
    let sql =
        "SELECT coalesce(array_agg((source_key->>'id')::bigint ORDER BY (source_key->>'id')::bigint), '{}')
               FROM rag.search('c', $1, mode => $2, syntax => 'web')";
    session.value_of(sql, &[&query, &mode]).await
}

async fn finds(session: &Session, queries: &[(&str, &[i64])], mode: &str) -> Result<()> {
    for (query, expected) in queries {
        let rows = found(session, query, mode).await?;
        ensure!(rows == *expected, "{query} finds {rows:?} in mode {mode} and not {expected:?}");
    }
    Ok(())
}

async fn operators_say_what_hits_have() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session, "").await?;
    finds(
        &session,
        &[
            ("base backup", &[1, 2]),
            ("\"base backup\"", &[1]),
            ("“Base\n BACKUP”", &[1]),
            ("\"backup base\"~1", &[1]),
            ("\"backup base\"~2", &[1, 2]),
            ("backup -army", &[1]),
            ("backup -armies", &[1]),
            ("backup -\"base backup\"", &[2]),
            ("backup -the", &[]),
            ("vacuum*", &[3]),
            ("archiv*", &[4]),
            ("repl*", &[5]),
            ("replikation~", &[5]),
            ("serber~", &[1]),
            ("army OR question", &[2, 6]),
            ("\"base backup\" OR army", &[1, 2]),
            ("\"no such words\" OR questi* OR sugar", &[6, 7]),
            ("backup army OR question", &[2, 6]),
            ("files the OR army", &[1, 2]),
            ("question \"to be or not to be\"", &[6]),
            ("question \"be to or not\"", &[]),
            ("\"crème brûlée with\"", &[7]),
            ("\"数据库\"", &[8]),
            ("概念 -数据库", &[]),
            ("\"point-in-time\"", &[9]),
            ("\"point in time recovery\"", &[9]),
            ("\"note 5\" replica", &[5]),
            ("replica \"5 a\"", &[]),
            ("replica*", &[5]),
            ("running* OR army", &[1, 2]),
            ("概念 \"库\"", &[8]),
            ("概念 -库", &[]),
            ("-backup", &[]),
            ("\"vacuum\"", &[]),
        ],
        "text",
    )
    .await?;
    session.batch_execute("SELECT rag.drop_collection('c'); DROP TABLE t").await?;
    collection(&session, ", ignore_accents => true").await?;
    finds(&session, &[("\"creme brulee\"", &[7]), ("cafe sugar -CREME", &[])], "text").await?;
    let refused = "SELECT * FROM rag.search('c', 'a', syntax => 'lucene')";
    session.refusal(refused).await?.expect("22023", "unknown syntax \"lucene\"", "'plain' or 'web'")
}

async fn compound_tokens_begin_as_they_are_typed() -> Result<()> {
    let session = shared().await?.session().await?;
    let texts = [
        "The gasket AB-1234-XK is out of stock.",
        "There were 12 cases of type AB.",
        "A pump_controller starts it.",
        "A pump feeds the conveyor belt.",
        "Call getUserById(7) first.",
        "A bus will get us there.",
        "Edit pump_controller.py for that.",
    ];
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text)").await?;
    let insert = "INSERT INTO t SELECT n, b FROM unnest($1::text[]) WITH ORDINALITY u (b, n)";
    session.execute(insert, &[&texts.as_slice()]).await?;
    session.batch_execute("SELECT rag.create_collection('c', 't', 'body', sync => 'manual')").await?;
    let queries: [(&str, &[i64]); 11] = [
        ("AB-12*", &[1]),
        ("ab12*", &[1]),
        ("AB-1234-XK*", &[1]),
        ("pump_con*", &[3, 7]),
        ("pump_controller*", &[3, 7]),
        ("pump*", &[3, 4, 7]),
        ("pump_*", &[3, 4, 7]),
        ("getUs*", &[5]),
        ("get*", &[5, 6]),
        ("pump -pump_con*", &[4]),
        ("stock OR pump_con*", &[1, 3, 7]),
    ];
    finds(&session, &queries, "text").await
}

async fn operators_hold_in_every_mode() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session, "").await?;
    for mode in ["text", "vector", "hybrid"] {
        let queries: [(&str, &[i64]); 4] = [
            ("\"base backup\"", &[1]),
            ("copies \"base backup\" OR question", &[1, 6]),
            ("\"no such words\"", &[]),
            ("-backup", &[]),
        ];
        finds(&session, &queries, mode).await?;
    }
    // The vector ranking contains all other rows.
    for mode in ["vector", "hybrid"] {
        let queries: [(&str, &[i64]); 2] = [
            ("backup -army", &[1, 3, 4, 5, 6, 7, 8, 9]),
            ("backup -\"base backup\"", &[2, 3, 4, 5, 6, 7, 8, 9]),
        ];
        finds(&session, &queries, mode).await?;
    }
    let scores = "SELECT count(score) FROM rag.search('c', 'backup -\"to be\"', syntax => 'web')";
    ensure!(session.value::<i64>(scores).await? == 8, "scores are not shown");
    Ok(())
}

async fn operators_and_filters_hold_together() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session, "").await?;
    for mode in ["text", "vector", "hybrid"] {
        let sql = "SELECT coalesce(array_agg((source_key->>'id')::bigint ORDER BY 1), '{}') FROM
                   rag.search('c', 'backup OR question -army', mode => $1, syntax => 'web', filter => '{\"kind\": 0}')";
        let rows: Vec<i64> = session.value_of(sql, &[&mode]).await?;
        ensure!(rows == [6], "{mode} finds {rows:?}");
    }
    Ok(())
}

/// More chunks than are compared with a query one by one.
const MANY: i64 = 12_000;

async fn operators_hold_among_many_chunks() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    session
        .batch_execute(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, body text);
             INSERT INTO t SELECT n, CASE WHEN n % 2 = 0 THEN 'even ' ELSE 'odd ' END || 'number ' || n ||
                 CASE WHEN n % 1000 = 0 THEN ' round and even' ELSE '' END FROM generate_series(1, {MANY}) n;
             SELECT rag.create_collection('c', 't', 'body', model => 'stub/small', sync => 'manual', word_parts => false)"
        ))
        .await?;
    for (query, rows) in [
        ("number -odd", "id % 2 = 0"),
        ("number even OR none", "id % 2 = 0"),
        ("number \"round and even\"", "id % 1000 = 0"),
        ("number -\"round and even\" even OR none", "id % 2 = 0 AND id % 1000 > 0"),
        ("number even OR none -12*", "id % 2 = 0 AND id::text NOT LIKE '12%'"),
    ] {
        let count = format!("SELECT least(count(*), 10000) FROM t WHERE {rows}");
        let expected: i64 = session.value(&count).await?;
        for mode in ["text", "vector", "hybrid"] {
            let sql = format!(
                "SELECT count(*), count(*) FILTER (WHERE {rows}) FROM rag.search('c', $1, 10000, $2, syntax => 'web')
                 JOIN t ON t.id = (source_key->>'id')::int"
            );
            let row = session.query_one(&sql, &[&query, &mode]).await?;
            let (found, meant): (i64, i64) = (row.get(0), row.get(1));
            ensure!(
                found == meant && found == expected,
                "{mode}, {query}: {found} rows, {meant} of {expected} that are meant"
            );
        }
    }
    Ok(())
}

async fn hidden_rows_stay_hidden_from_operators() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session, "").await?;
    let role = format!("reader_{}", session.value::<String>("SELECT current_database()").await?);
    session
        .batch_execute(&format!(
            "CREATE ROLE {role}; GRANT SELECT ON t TO {role}; ALTER TABLE t ENABLE ROW LEVEL SECURITY;
             CREATE POLICY odd ON t FOR SELECT USING (kind = 1); SET ROLE {role}"
        ))
        .await?;
    for mode in ["text", "vector", "hybrid"] {
        let queries: [(&str, &[i64]); 4] = [
            ("\"base backup\" OR army", &[1]),
            ("army OR question", &[]),
            ("\"as it is called\"", &[]),
            ("\"point in time\" -army", &[9]),
        ];
        finds(&session, &queries, mode).await?;
    }
    finds(&session, &[("backup -army", &[1, 3, 5, 7, 9])], "hybrid").await?;
    // A correction would reveal whether a hidden row contains a word.
    let corrected = "SELECT count(*) FROM rag.search('c', 'vacuming', mode => 'text')";
    ensure!(session.value::<i64>(corrected).await? == 0, "a word is corrected");
    session.batch_execute(&format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")).await?;
    Ok(())
}

async fn a_phrase_that_few_visible_rows_lack_is_given_up() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    let role = format!("few_{}", session.value::<String>("SELECT current_database()").await?);
    session
        .batch_execute(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, body text, own boolean);
             INSERT INTO t SELECT n, 'the backup of base ' || n, n % 10 = 0 FROM generate_series(1, 1000) n;
             INSERT INTO t VALUES (2000, 'a base backup', true);
             SELECT rag.create_collection('c', 't', 'body', model => 'stub/small', sync => 'manual');
             CREATE INDEX ON t (own); ANALYZE t;
             CREATE ROLE {role}; GRANT SELECT ON t TO {role}; GRANT USAGE ON FOREIGN SERVER stub TO {role};
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON t FOR SELECT USING (own); SET ROLE {role}"
        ))
        .await?;
    for mode in ["text", "vector", "hybrid"] {
        finds(
            &session,
            &[("\"backup base\"", &[]), ("\"base backup\"", &[2000]), ("backup -\"of base\"", &[2000])],
            mode,
        )
        .await?;
    }
    session.batch_execute(&format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")).await?;
    Ok(())
}

async fn a_word_that_no_row_has_stands_for_those_spelt_alike() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session, "").await?;
    let sql = "SELECT coalesce(array_agg((source_key->>'id')::bigint ORDER BY rank), '{}')
               FROM rag.search('c', $1, mode => 'text', typos => $2)";
    for (query, typos, expected) in [
        ("vacuming", true, vec![3]),
        ("vacuming", false, vec![]),
        ("the replikation!", true, vec![5]),
        ("brulee", true, vec![]),
        ("brûlés", true, vec![7]),
        // A word that some row contains is not corrected; neither are codes and short words.
        ("base army", true, vec![2, 1]),
        ("bass", true, vec![1, 2]),
        ("bas", true, vec![]),
        ("bat", true, vec![]),
        ("F7731", true, vec![]),
        ("数捷", true, vec![]),
    ] {
        let found: Vec<i64> = session.value_of(sql, &[&query, &typos]).await?;
        ensure!(found == expected, "{query:?} finds {found:?} and not {expected:?}");
    }
    // Known words do not count towards the limit of corrected words.
    let known = (0..20).map(|word| "known".to_owned() + &"x".repeat(word)).collect::<Vec<_>>().join(" ");
    session.execute("INSERT INTO t VALUES (10, NULL, $1)", &[&known]).await?;
    session.batch_execute("SELECT rag.refresh_collection('c')").await?;
    let found: Vec<i64> = session.value_of(sql, &[&format!("{known} vacuming"), &true]).await?;
    ensure!(found.contains(&3), "a typo after known words finds {found:?}");
    Ok(())
}

async fn operators_are_read_in_a_database_that_is_not_in_utf8() -> Result<()> {
    let server = shared().await?;
    let name = server.empty_database("ENCODING 'LATIN1' LOCALE 'C'").await?;
    let session = server.connect(&name).await?;
    session
        .batch_execute(
            "CREATE EXTENSION ragstone CASCADE;
             CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'Größe und Gewicht'), (2, 'größer als');
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual', language => 'german')",
        )
        .await?;
    finds(
        &session,
        &[("\"größe UND\"", &[1]), ("größ*", &[1, 2]), ("gröse~", &[1, 2]), ("größ* -gewicht", &[2])],
        "text",
    )
    .await?;
    session
        .batch_execute(
            "SELECT rag.drop_collection('c'); TRUNCATE t; INSERT INTO t VALUES (1, 'a crème brûlée')",
        )
        .await?;
    session
        .batch_execute("SELECT rag.create_collection('c', 't', 'body', sync => 'manual', language => 'simple', ignore_accents => true)")
        .await?;
    finds(&session, &[("creme", &[1]), ("\"crème brulee\"", &[1]), ("brul*", &[1])], "text").await
}

async fn nothing_that_is_typed_is_an_error() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session, "").await?;
    for query in [
        "\"",
        "\"\"",
        "\"\"~",
        "\"a\"~",
        "\"a b\"~99999999999999",
        "-\"",
        "-",
        "- -",
        "--a",
        "*",
        "~",
        "a**",
        "a~~",
        "OR",
        "OR OR",
        "a OR",
        "OR a",
        "a OR OR b",
        "-OR",
        "\"OR\"",
        "a OR -b OR c",
        "\"the\"",
        "-the",
        "the OR a",
        "%*",
        "é*",
        "😀~",
        "\"😀\"",
        "数*",
        "数~",
        "a' OR '1'='1",
        "\\*",
        "\u{ad}*",
        "_*",
        "a* b* c*",
        "\u{301}\"",
    ] {
        for mode in ["text", "hybrid"] {
            session
                .query("SELECT rank FROM rag.search('c', $1, mode => $2, syntax => 'web')", &[&query, &mode])
                .await?;
        }
    }
    session.take_notices();
    let long = "\"a b\" -c d* e~ f OR g ".repeat(30_000)
        + &"h".repeat(300_000)
        + "* "
        + &"i".repeat(300_000)
        + "~ backup";
    session.query("SELECT rank FROM rag.search('c', $1, mode => 'text', syntax => 'web')", &[&long]).await?;
    let notices = session.take_notices();
    ensure!(notices.iter().any(|notice| notice.message.contains("the first 64 operators")), "{notices:?}");
    let word = format!("-{} \"{}\" {}~", "x".repeat(300_000), "y".repeat(300_000), "z".repeat(300_000));
    session.query("SELECT rank FROM rag.search('c', $1, mode => 'text', syntax => 'web')", &[&word]).await?;
    Ok(())
}
