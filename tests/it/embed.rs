//! `rag.embed` and `rag.embed_batch`.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use pgvector::Vector;
use ragstone_tests::Result;
use ragstone_tests::install::Installation;
use ragstone_tests::sample::{cosine, same, texts};
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use serde::Deserialize;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        golden_sentences_have_the_values_of_the_manifest,
        an_array_gives_the_same_as_single_texts,
        null_gives_null,
        an_empty_array_gives_an_empty_array,
        empty_text_is_refused,
        an_unknown_model_is_refused,
        a_model_name_cannot_leave_the_folder,
        an_unknown_kind_is_refused,
        overlong_text_is_noticed_once_per_statement,
        overlong_text_is_an_error_by_option,
        overlong_text_is_ignored_by_option,
        a_document_of_100_mb_is_refused_and_the_session_goes_on,
        embed_batch_pairs_rows_and_embeddings,
        embed_batch_works_within_partitions,
        embed_batch_needs_over,
        the_queue_refuses_more_than_its_limit_or_serves_it,
    ]
}

async fn session() -> Result<Session> {
    shared().await?.session().await
}

#[derive(Deserialize)]
struct Manifest {
    golden: Vec<Golden>,
}

#[derive(Deserialize)]
struct Golden {
    text: String,
    values: Vec<f32>,
}

async fn golden_sentences_have_the_values_of_the_manifest() -> Result<()> {
    let session = session().await?;
    let path = Installation::find()?.default_model().join("manifest.json");
    let manifest: Manifest = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    ensure!(!manifest.golden.is_empty());
    for golden in manifest.golden {
        let vector: Vector = session.value_of("SELECT rag.embed($1)", &[&golden.text]).await?;
        ensure!(vector.as_slice().len() == 384);
        for (actual, expected) in vector.as_slice().iter().zip(&golden.values) {
            ensure!((actual - expected).abs() < 0.004, "{actual} is not {expected} for {:?}", golden.text);
        }
    }
    Ok(())
}

async fn an_array_gives_the_same_as_single_texts() -> Result<()> {
    let session = session().await?;
    let texts = texts(40, 30);
    let together: Vec<Vector> = session.value_of("SELECT rag.embed($1::text[])", &[&texts]).await?;
    let mut single: Vec<Vector> = Vec::new();
    for text in &texts {
        single.push(session.value_of("SELECT rag.embed($1::text)", &[text]).await?);
    }
    same(&together, &single)?;
    ensure!(cosine(&single[0], &single[1]) < 0.9999, "two texts have one embedding");
    Ok(())
}

async fn null_gives_null() -> Result<()> {
    let session = session().await?;
    ensure!(session.value::<bool>("SELECT rag.embed(NULL::text) IS NULL").await?);
    ensure!(session.value::<bool>("SELECT rag.embed(NULL::text[]) IS NULL").await?);
    let mixed: Vec<Option<Vector>> = session.value("SELECT rag.embed(ARRAY['a', NULL, 'b'])").await?;
    let nulls: Vec<bool> = mixed.iter().map(Option::is_none).collect();
    ensure!(nulls == [false, true, false], "{nulls:?}");
    Ok(())
}

async fn an_empty_array_gives_an_empty_array() -> Result<()> {
    let none: Vec<Vector> = session().await?.value("SELECT rag.embed(ARRAY[]::text[])").await?;
    ensure!(none.is_empty());
    Ok(())
}

async fn empty_text_is_refused() -> Result<()> {
    let session = session().await?;
    for sql in ["SELECT rag.embed('')", "SELECT rag.embed(E' \\n ')", "SELECT rag.embed(ARRAY['a', ''])"] {
        session.refusal(sql).await?.expect("22023", "input is empty", "nullif")?;
    }
    Ok(())
}

async fn an_unknown_model_is_refused() -> Result<()> {
    let refusal = session().await?.refusal("SELECT rag.embed('a', model => 'no-such-model')").await?;
    refusal.expect("42704", "model \"no-such-model\" is not installed", "rag.models()")
}

async fn a_model_name_cannot_leave_the_folder() -> Result<()> {
    let session = session().await?;
    for name in ["../all-MiniLM-L6-v2", "/etc", ".."] {
        let refusal = session.refusal_of("SELECT rag.embed('a', model => $1)", &[&name]).await?;
        ensure!(["42704", "22023"].contains(&refusal.code.as_str()), "{refusal:?}");
    }
    Ok(())
}

async fn an_unknown_kind_is_refused() -> Result<()> {
    let refusal = session().await?.refusal("SELECT rag.embed('a', kind => 'quary')").await?;
    refusal.expect("22023", "unknown kind \"quary\"", "'query' or 'document'")
}

const LONG: &str = "repeat('a longer text than the model can read ', 100)";

async fn overlong_text_is_noticed_once_per_statement() -> Result<()> {
    let session = session().await?;
    let sql = format!(
        "SELECT rag.embed(ARRAY[{LONG}, {LONG} || 'b']), rag.embed({LONG} || g) FROM generate_series(1, 3) g"
    );
    for _ in 0..2 {
        session.query(&sql, &[]).await?;
        let notices = session.take_notices();
        ensure!(notices.len() == 1, "{notices:?}");
        ensure!(notices[0].message.contains("longer than the 256"), "{notices:?}");
        ensure!(notices[0].hint.contains("rag.chunk"), "{notices:?}");
    }
    Ok(())
}

async fn overlong_text_is_an_error_by_option() -> Result<()> {
    let session = session().await?;
    session.batch_execute("SET rag.overlong_input = 'error'").await?;
    let refusal = session.refusal(&format!("SELECT rag.embed({LONG})")).await?;
    refusal.expect("54000", "longer than the 256", "rag.chunk")
}

async fn overlong_text_is_ignored_by_option() -> Result<()> {
    let session = session().await?;
    session.batch_execute("SET rag.overlong_input = 'ignore'").await?;
    session.query(&format!("SELECT rag.embed({LONG})"), &[]).await?;
    ensure!(session.take_notices().is_empty());
    Ok(())
}

async fn a_document_of_100_mb_is_refused_and_the_session_goes_on() -> Result<()> {
    let session = session().await?;
    let document = "repeat('word ', 20 * 1024 * 1024)";
    for call in [format!("rag.embed({document})"), format!("rag.embed(ARRAY[{document}])")] {
        session.refusal(&format!("SELECT {call}")).await?.expect("54000", "over the limit", "Split")?;
    }
    let refusal = session.refusal(&format!("SELECT count(*) FROM rag.chunk({document})")).await?;
    refusal.expect("54000", "over the limit", "Split")?;
    session.execute("SELECT rag.embed('still here')", &[]).await?;
    Ok(())
}

async fn embed_batch_pairs_rows_and_embeddings() -> Result<()> {
    let session = session().await?;
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text)").await?;
    let bodies = texts(1500, 4);
    session
        .execute(
            "INSERT INTO t SELECT o, nullif(b, $2) FROM unnest($1::text[]) WITH ORDINALITY u(b, o)",
            &[&bodies, &bodies[6]],
        )
        .await?;
    let rows = session.query("SELECT id, rag.embed_batch(body) OVER () FROM t ORDER BY id DESC", &[]).await?;
    let expected: Vec<Vector> = session.value_of("SELECT rag.embed($1::text[])", &[&bodies]).await?;
    ensure!(rows.len() == bodies.len());
    for row in rows {
        let index = row.get::<_, i32>(0) as usize - 1;
        let vector: Option<Vector> = row.get(1);
        if index == 6 {
            ensure!(vector.is_none(), "NULL gave an embedding");
        } else {
            same(&[vector.context("no embedding")?], &expected[index..=index])?;
        }
    }
    Ok(())
}

async fn embed_batch_works_within_partitions() -> Result<()> {
    let session = session().await?;
    let wrong: i64 = session
        .value(
            "SELECT count(*) FROM (SELECT b, rag.embed_batch(b) OVER (PARTITION BY length(b)) AS v
               FROM (SELECT repeat('x ', 1 + g % 3) || g AS b FROM generate_series(1, 60) g) t) s
             WHERE v <=> rag.embed(b) > 0.0005",
        )
        .await?;
    ensure!(wrong == 0, "{wrong} rows have another row's embedding");
    Ok(())
}

async fn embed_batch_needs_over() -> Result<()> {
    let refusal = session().await?.refusal("SELECT rag.embed_batch('a')").await?;
    ensure!(refusal.code == "42809", "{refusal:?}");
    Ok(())
}

/// One call may have more texts than the queue has room for, because it sends them in slices.
async fn the_queue_refuses_more_than_its_limit_or_serves_it() -> Result<()> {
    let session = session().await?;
    let texts = texts(3000, 1);
    let vectors: Vec<Vector> = session.value_of("SELECT rag.embed($1::text[])", &[&texts]).await?;
    ensure!(vectors.len() == 3000);
    Ok(())
}
