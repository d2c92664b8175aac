//! Databases in other encodings than UTF-8.

use crate::sample::same;
use anyhow::ensure;
use libtest_mimic::Trial;
use pgvector::Vector;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        invalid_bytes_in_sql_ascii_are_refused,
        valid_utf8_in_sql_ascii_is_read,
        latin1_is_converted_both_ways,
        characters_outside_latin1_cannot_be_returned_but_do_no_harm,
    ]
}

async fn in_encoding(encoding: &str) -> Result<Session> {
    let server = shared().await?;
    let name = server.empty_database(&format!("ENCODING '{encoding}' LOCALE 'C'")).await?;
    let session = server.connect(&name).await?;
    session.batch_execute("CREATE EXTENSION ragstone CASCADE").await?;
    Ok(session)
}

async fn invalid_bytes_in_sql_ascii_are_refused() -> Result<()> {
    let session = in_encoding("SQL_ASCII").await?;
    for call in ["rag.embed(E'caf\\351')", "rag.embed(ARRAY['a', E'caf\\351'])", "rag.chunk(E'caf\\351')"] {
        let refusal = session.refusal(&format!("SELECT {call}")).await?;
        refusal.expect("22021", "not valid UTF-8 at byte 4", "convert_from")?;
    }
    session.execute("SELECT rag.embed('still here')", &[]).await?;
    Ok(())
}

async fn valid_utf8_in_sql_ascii_is_read() -> Result<()> {
    let ascii = in_encoding("SQL_ASCII").await?;
    let utf8 = shared().await?.session().await?;
    let expected: Vector = utf8.value("SELECT rag.embed('café au lait')").await?;
    let actual: Vector = ascii.value("SELECT rag.embed(E'caf\\303\\251 au lait')").await?;
    same(&[actual], &[expected])
}

async fn latin1_is_converted_both_ways() -> Result<()> {
    let latin1 = in_encoding("LATIN1").await?;
    let utf8 = shared().await?.session().await?;
    let expected: Vector = utf8.value("SELECT rag.embed('café au lait')").await?;
    let actual: Vector = latin1.value("SELECT rag.embed(E'caf\\351 au lait')").await?;
    same(&[actual], &[expected])?;
    let whole: bool = latin1
        .value("SELECT content = E'caf\\351 au lait' AND end_at = 12 FROM rag.chunk(E'caf\\351 au lait')")
        .await?;
    ensure!(whole, "the chunk is not the text");
    Ok(())
}

async fn characters_outside_latin1_cannot_be_returned_but_do_no_harm() -> Result<()> {
    let latin1 = in_encoding("LATIN1").await?;
    // The client writes UTF-8; the server itself refuses what LATIN1 lacks.
    let refusal = latin1.refusal("SELECT rag.embed('日本')").await?;
    ensure!(refusal.code == "22P05", "{refusal:?}");
    latin1.execute("SELECT rag.embed('still here')", &[]).await?;
    Ok(())
}
