//! Rebuilds of the text index: with other options, with changed dictionaries, after damage.

use crate::generate::with;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::provider::{Gate, Reply};
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use ragstone_tests::{Result, rebuilt, wait};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        another_language_embeds_nothing,
        writers_meanwhile_lose_no_word,
        changed_dictionaries_and_damage_are_mended,
        restricted_searches_find_the_same_after_chunks_have_other_lengths,
        a_migration_takes_another_language_along,
        each_row_may_have_a_language,
        each_row_may_have_a_parser,
        words_that_a_worker_found_by_former_dictionaries_are_found_again,
        no_model_is_needed_where_no_row_has_changed,
        what_cannot_be_altered_is_refused,
    ]
}

/// True if a query finds the row with this number first in text mode.
async fn finds(session: &Session, query: &str, row: i64) -> Result<bool> {
    let sql = "SELECT (source_key->>'id')::bigint FROM rag.search('c', $1, mode => 'text', typos => false) WHERE rank = 1";
    let found = session.query(sql, &[&query]).await?;
    Ok(found.first().is_some_and(|found| found.get::<_, i64>(0) == row))
}

/// Number of rows that a query finds in text mode.
async fn found(session: &Session, query: &str) -> Result<i64> {
    let sql = "SELECT count(*) FROM rag.search('c', $1, 10000, 'text', typos => false)";
    session.value_of(sql, &[&query]).await
}

async fn another_language_embeds_nothing() -> Result<()> {
    for sync in ["manual", "background", "immediate"] {
        let (session, provider) = with([Reply::embeddings(8)]).await?;
        session
            .batch_execute(&format!(
                "CREATE TABLE t (id int PRIMARY KEY, heading text, body text);
                 INSERT INTO t SELECT i, 'Überschriften ' || i, 'Ein Häuser-Verzeichnis in Band ' || i FROM generate_series(1, 300) i;
                 SELECT rag.create_collection('c', 't', 'body', 'heading', model => 'stub/small', sync => '{sync}')"
            ))
            .await?;
        if sync != "manual" {
            session.batch_execute("SELECT rag.wait_until_current('c')").await?;
        }
        let asked = provider.requests().len();
        ensure!(found(&session, "haus").await? == 0, "english finds a German plural");
        let searcher = shared().await?.connect_beside(&session).await?;
        session
            .batch_execute(
                "BEGIN; SELECT rag.alter_collection('c', language => 'german', ignore_accents => true)",
            )
            .await?;
        ensure!(found(&session, "haus").await? == 300, "its own transaction does not see the change");
        let others = (found(&searcher, "haus").await?, found(&searcher, "häuser").await?);
        ensure!(others == (0, 300), "another transaction finds {others:?} rows");
        session.batch_execute("COMMIT").await?;
        for query in ["haus", "hausern", "uberschrift"] {
            ensure!(found(&searcher, query).await? == 300, "{query} is not found");
        }
        ensure!(provider.requests().len() == asked, "texts were embedded");
        let language: String = session.value("SELECT language FROM rag.collection").await?;
        ensure!(language == "german");
        let rows: i64 = session.value("SELECT source_rows FROM rag.collections").await?;
        ensure!(rows == 300, "{rows} rows are counted");
        if sync != "manual" {
            session.batch_execute("INSERT INTO t VALUES (301, 'Titel', 'Zwei Bäume')").await?;
            session.batch_execute("SELECT rag.wait_until_current('c')").await?;
            ensure!(finds(&session, "baum", 301).await?);
        }
    }
    Ok(())
}

async fn writers_meanwhile_lose_no_word() -> Result<()> {
    for sync in ["background", "immediate"] {
        let (session, _provider) = with([Reply::embeddings(8)]).await?;
        session
            .batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text, kind text NOT NULL DEFAULT 'new')")
            .await?;
        let more = format!(", model => 'stub/small', sync => '{sync}'");
        rebuilt::create(&session, "c", &more).await?;
        let writer = shared().await?.connect_beside(&session).await?;
        let write = async {
            for id in 0..60 {
                writer
                    .batch_execute(&format!(
                        "INSERT INTO t SELECT {id} * 10 + n, 'houses and Häuser of ' || n FROM generate_series(0, 9) n;
                         UPDATE t SET body = body || ' again' WHERE id % 7 = {id} % 7"
                    ))
                    .await?;
            }
            Result::Ok(())
        };
        let alter = async {
            for language in ["german", "simple", "english", "german"] {
                session
                    .batch_execute(&format!("SELECT rag.alter_collection('c', language => '{language}')"))
                    .await?;
            }
            Result::Ok(())
        };
        futures_util::future::try_join(write, alter).await?;
        session.batch_execute("SELECT rag.wait_until_current('c')").await?;
        rebuilt::check(&session, "c", ", model => 'stub/small', language => 'german'").await?;
    }
    Ok(())
}

async fn changed_dictionaries_and_damage_are_mended() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TEXT SEARCH CONFIGURATION mine (COPY = pg_catalog.simple);
             CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'Two houses'), (2, 'No house');
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual', language => 'mine')",
        )
        .await?;
    ensure!(!finds(&session, "housing", 1).await?);
    session
        .batch_execute("ALTER TEXT SEARCH CONFIGURATION mine ALTER MAPPING FOR asciiword WITH english_stem")
        .await?;
    let refreshed = "SELECT embedded, unchanged FROM rag.refresh_collection('c', text => true)";
    let row = session.query_one(refreshed, &[]).await?;
    ensure!((row.get::<_, i64>(0), row.get::<_, i64>(1)) == (0, 2));
    ensure!(finds(&session, "housing two", 1).await?);
    session.batch_execute("UPDATE c_terms SET data = substr(data, 1, length(data) / 2)").await?;
    let refusal = session.refusal("SELECT * FROM rag.search('c', 'house', mode => 'text')").await?;
    refusal.expect("XX001", "of the text index is damaged", "text => true")?;
    session.batch_execute("SELECT rag.refresh_collection('c', text => true)").await?;
    ensure!(finds(&session, "housing two", 1).await?);
    Ok(())
}

/// Rows and scores of a text search for which all rows are candidates, with more arguments or conditions.
fn rows_and_scores(more: &str) -> String {
    format!(
        "SELECT string_agg(format('%s %s', source_key->>'id', round(score::numeric, 9)), ', ' ORDER BY rank)
         FROM rag.search('c', 'the code of the house and of it', k => 60, mode => 'text', typos => false{more}"
    )
}

async fn restricted_searches_find_the_same_after_chunks_have_other_lengths() -> Result<()> {
    let session = shared().await?.session().await?;
    let reader: String = session.value("SELECT 'reader_of_' || current_database()").await?;
    session
        .batch_execute(&format!(
            "CREATE ROLE {reader};
             CREATE TABLE t (id int PRIMARY KEY, kind int, tenant name, body text);
             INSERT INTO t SELECT i, i % 10, CASE WHEN i <= 20 THEN '{reader}' ELSE 'somebody' END,
                                  'the code of the house ' || i || repeat(' and of it', i % 7)
             FROM generate_series(1, 60) i;
             GRANT SELECT ON t TO {reader};
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON t FOR SELECT USING (tenant = current_user);
             SELECT rag.create_collection('c', 't', 'body', metadata => '{{kind}}', sync => 'manual')"
        ))
        .await?;
    for (language, has_lengths) in [("english", false), ("simple", true)] {
        session.batch_execute(&format!("SELECT rag.alter_collection('c', language => '{language}')")).await?;
        // Lengths that differ from those in the chunk table are stored in the index.
        let noted = "SELECT EXISTS (SELECT FROM c_terms WHERE page > 0)";
        ensure!(session.value::<bool>(noted).await? == has_lengths, "{language}: lengths of chunks");
        let expected: String =
            session.value(&rows_and_scores(") WHERE (metadata->>'kind')::int = 3")).await?;
        let filtered: Option<String> =
            session.value(&rows_and_scores(", filter => '{\"kind\": 3}')")).await?;
        ensure!(filtered.as_ref() == Some(&expected), "{language}: {filtered:?} instead of {expected}");
        let in_hybrid = "SELECT string_agg(source_key->>'id', ', ' ORDER BY text_rank)
                         FROM rag.search('c', 'the code of the house and of it', k => 60, filter => '{\"kind\": 3}')";
        let in_hybrid: Option<String> = session.value(in_hybrid).await?;
        let rows: Vec<_> = expected.split(", ").filter_map(|row| row.split(' ').next()).collect();
        ensure!(rows.len() == 6 && in_hybrid == Some(rows.join(", ")), "{language}: {in_hybrid:?} in hybrid");
        let expected: String =
            session.value(&rows_and_scores(") WHERE (source_key->>'id')::int <= 20")).await?;
        session.batch_execute(&format!("SET ROLE {reader}")).await?;
        let visible: Option<String> = session.value(&rows_and_scores(")")).await?;
        session.batch_execute("RESET ROLE").await?;
        ensure!(visible.as_ref() == Some(&expected), "{language}: {visible:?} instead of {expected}");
    }
    Ok(())
}

async fn a_migration_takes_another_language_along() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'Drei Häuser');
             SELECT rag.create_collection('c', 't', 'body', model => 'stub/small')",
        )
        .await?;
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    session.batch_execute("SELECT rag.alter_collection('c', chunk_size => 64, language => 'german')").await?;
    let refusal = session.refusal("SELECT rag.alter_collection('c', language => 'english')").await?;
    refusal.expect("55006", "is in a migration", "rag.finish_migration")?;
    ragstone_tests::wait::until("the migration is switched", async || {
        let switched = "SELECT coalesce(chunk_size, 0) = 64 FROM rag.collections WHERE name = 'c'";
        Ok(session.value::<bool>(switched).await?.then_some(()))
    })
    .await?;
    ensure!(finds(&session, "haus", 1).await?);
    Ok(())
}

async fn each_row_may_have_a_language() -> Result<()> {
    for sync in ["manual", "background", "immediate"] {
        let (session, _provider) = with([Reply::embeddings(8)]).await?;
        session
            .batch_execute(&format!(
                "CREATE TABLE t (id int PRIMARY KEY, lang text, body text);
                 INSERT INTO t VALUES (1, 'de', 'Drei Häuser'), (2, 'en-GB', 'three houses'), (3, 'simple', 'Houses Häuser'),
                                      (4, NULL, 'no horses'), (5, 'klingon', 'two goats');
                 SELECT rag.create_collection('c', 't', 'body', model => 'stub/small', sync => '{sync}', ignore_accents => true,
                                              language => 'english', language_column => 'lang')"
            ))
            .await?;
        let is_manual = sync == "manual";
        let settle = if is_manual { "rag.refresh_collection('c')" } else { "rag.wait_until_current('c')" };
        let settle = format!("SELECT {settle}");
        session.batch_execute(&settle).await?;
        for (query, row) in [("haus", 1), ("housing", 2), ("hauser houses", 3), ("horse", 4), ("goat", 5)] {
            ensure!(finds(&session, query, row).await?, "{sync}: {query} does not find {row}");
        }
        // The column is metadata like any other, and may be renamed if the collection follows its source.
        let column = if is_manual { "lang" } else { "tongue" };
        if !is_manual {
            session.batch_execute("ALTER TABLE t RENAME lang TO tongue").await?;
        }
        session.batch_execute(&format!("UPDATE t SET {column} = 'de' WHERE id = 3")).await?;
        session.batch_execute(&settle).await?;
        let marks = "SELECT string_agg(DISTINCT lexeme, ',' ORDER BY lexeme) FROM rag._postings('c') WHERE lexeme ~ 'language '";
        let marks: String = session.value(marks).await?;
        ensure!(marks == "\u{1}language english,\u{1}language german", "{sync}: {marks}");
        let filtered: i64 = session
            .value(&format!(
                "SELECT count(*) FROM rag.search('c', 'haus', mode => 'text', filter => '{{\"{column}\": \"de\"}}')"
            ))
            .await?;
        ensure!(filtered == 2, "{sync}: {filtered} German rows");
        session.batch_execute("SELECT rag.refresh_collection('c', text => true)").await?;
        let both = (found(&session, "haus").await?, found(&session, "housing").await?);
        ensure!(both == (2, 2), "{sync}: {both:?}");
        let shown: String = session.value("SELECT language_column FROM rag.collections").await?;
        ensure!(shown == column, "{shown}");
        let phrases = "SELECT count(*) FROM rag.search('c', '\"drei häuser\" OR horse', mode => 'text', syntax => 'web')";
        ensure!(session.value::<i64>(phrases).await? == 2);
    }
    Ok(())
}

async fn each_row_may_have_a_parser() -> Result<()> {
    let session = shared().await?.session().await?;
    // A parser with another OID, like those for Chinese: a run without spaces is one word.
    session
        .batch_execute(
            "CREATE TEXT SEARCH PARSER whole (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
             CREATE TEXT SEARCH CONFIGURATION whole (PARSER = whole);
             ALTER TEXT SEARCH CONFIGURATION whole ADD MAPPING FOR word, asciiword WITH simple;
             CREATE TABLE t (id int PRIMARY KEY, lang text, body text);
             INSERT INTO t VALUES (1, 'public.whole', '数据库'), (2, 'en', '数据库系统 of two houses'), (3, 'ja', '検索エンジン'), (4, NULL, 'houses')",
        )
        .await?;
    for language in ["english", "whole"] {
        session
            .batch_execute(&format!(
                "SELECT rag.create_collection('c', 't', 'body', sync => 'manual', language => '{language}', language_column => 'lang')"
            ))
            .await?;
        let whole = "SELECT EXISTS (SELECT FROM rag._postings('c') JOIN c_chunks USING (chunk_id) WHERE key_1 = 1 AND lexeme = '数据库')";
        ensure!(session.value::<bool>(whole).await?, "{language}: pairs are made for a parser of its own");
        for (query, rows) in [("数据库", 2), ("系统", 1), ("house", 2 - i64::from(language == "whole"))]
        {
            let found = found(&session, query).await?;
            ensure!(found == rows, "{language}: {query} finds {found} rows instead of {rows}");
        }
        let in_web =
            "SELECT count(*) FROM rag.search('c', '\"数据库\" -houses', mode => 'text', syntax => 'web')";
        ensure!(session.value::<i64>(in_web).await? == 1, "{language}: a phrase without a word");
        let by_either = found(&session, if language == "english" { "検索" } else { "検索エンジン" }).await?;
        ensure!(by_either == 1, "{language}: a language without a configuration has that of the collection");
        session.batch_execute("SELECT rag.drop_collection('c')").await?;
    }
    Ok(())
}

async fn words_that_a_worker_found_by_former_dictionaries_are_found_again() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(8)]).await?;
    session
        .batch_execute(
            "CREATE TEXT SEARCH DICTIONARY stems (TEMPLATE = snowball, Language = english);
             CREATE TEXT SEARCH CONFIGURATION mine (COPY = pg_catalog.simple);
             ALTER TEXT SEARCH CONFIGURATION mine ALTER MAPPING FOR asciiword WITH stems;
             CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'the first house');
             SELECT rag.create_collection('c', 't', 'body', model => 'stub/small', language => 'mine')",
        )
        .await?;
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    let gate = Gate::new();
    provider.script([Reply::embeddings(8).behind(&gate)]);
    let asked = provider.requests().len();
    session.batch_execute("INSERT INTO t VALUES (2, 'the second house')").await?;
    wait::until("the worker has found words and asks for an embedding", async || {
        Ok((provider.requests().len() > asked).then_some(()))
    })
    .await?;
    // The index is rebuilt with its current options.
    session
        .batch_execute(
            "ALTER TEXT SEARCH DICTIONARY stems (StopWords = english);
             SELECT rag.alter_collection('c', word_parts => true)",
        )
        .await?;
    gate.open();
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    let stop_words = "SELECT string_agg(key_1::text, ',') FROM rag._postings('c') JOIN c_chunks USING (chunk_id) WHERE lexeme = 'the'";
    let with_stop_words: Option<String> = session.value(stop_words).await?;
    ensure!(with_stop_words.is_none(), "rows {with_stop_words:?} have words by the former dictionary");
    ensure!(found(&session, "house").await? == 2);
    Ok(())
}

async fn no_model_is_needed_where_no_row_has_changed() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'Two houses'), (2, 'No house');
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual');
             UPDATE rag.collection SET model = 'gone';
             UPDATE c_terms SET data = substr(data, 1, length(data) / 2); DELETE FROM t WHERE id = 2",
        )
        .await?;
    let refresh = "SELECT array[added, changed, deleted, unchanged, embedded] FROM rag.refresh_collection('c', text => true)";
    let counts: Vec<i64> = session.value(refresh).await?;
    ensure!(counts == [0, 0, 1, 1, 0], "{counts:?}");
    ensure!(found(&session, "house").await? == 1);
    session.batch_execute("INSERT INTO t VALUES (3, 'A new house')").await?;
    for text in ["true", "false"] {
        let refused = session.refusal(&format!("SELECT rag.refresh_collection('c', text => {text})")).await?;
        refused.expect("42704", "gone", "")?;
    }
    Ok(())
}

async fn what_cannot_be_altered_is_refused() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'Two houses');
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual')",
        )
        .await?;
    let alter = "SELECT rag.alter_collection('c', language => 'german')";
    session.refusal(&alter.replace("'c'", "'nobody'")).await?.expect(
        "42704",
        "does not exist",
        "rag.collections",
    )?;
    session.refusal(&alter.replace("german", "klingon")).await?.expect("42704", "klingon", "")?;
    session.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    session.refusal(alter).await?.expect(
        "55000",
        "only in a transaction of isolation level READ COMMITTED",
        "",
    )?;
    session.batch_execute("ROLLBACK").await?;
    session.batch_execute("SET ROLE pg_monitor").await?;
    session.refusal(alter).await?.expect("42501", "", "")?;
    let refresh = "SELECT rag.refresh_collection('c', text => true)";
    session.refusal(refresh).await?.expect("42501", "", "")?;
    session.batch_execute("RESET ROLE").await?;
    ensure!(finds(&session, "house", 1).await?);
    Ok(())
}
