//! Databases with encodings other than UTF-8.

use crate::accounting::recorded;
use crate::generate::provide;
use anyhow::ensure;
use libtest_mimic::Trial;
use pgvector::Vector;
use ragstone_tests::Result;
use ragstone_tests::provider::{Provider, Reply};
use ragstone_tests::sample::same;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use serde_json::{Value, json};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        invalid_bytes_in_sql_ascii_are_refused,
        valid_utf8_in_sql_ascii_is_read,
        latin1_is_converted_both_ways,
        characters_outside_latin1_cannot_be_returned_but_do_no_harm,
        an_answer_that_was_paid_for_is_had_in_every_encoding,
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
    // The client sends UTF-8; the server itself refuses characters that LATIN1 lacks.
    let refusal = latin1.refusal("SELECT rag.embed('日本')").await?;
    ensure!(refusal.code == "22P05", "{refusal:?}");
    latin1.execute("SELECT rag.embed('still here')", &[]).await?;
    Ok(())
}

/// The text that a model returns, and its form in LATIN1.
const SAID: (&str, &str) = ("café ☕ 🦀\0!", "café ? ??!");

/// The same text as JSON with escaped characters, as some providers write it.
const ESCAPED: &str =
    r#"{"it": "caf\u00e9 \u2615 \ud83e\udd80\u0000!", "path": "C:\\u00e9", "line": "\u000a"}"#;

async fn an_answer_that_was_paid_for_is_had_in_every_encoding() -> Result<()> {
    for (encoding, expected) in [("LATIN1", SAID.1), ("SQL_ASCII", "café ☕ 🦀\u{fffd}!")] {
        let session = in_encoding(encoding).await?;
        let provider = Provider::start([Reply::chat(SAID.0)])?;
        provide(&session, &provider).await?;
        session.batch_execute("SET rag.log_prompts = on; SET rag.default_llm = 'stub'").await?;
        asked(&session, expected).await?;
        streamed(&session, &provider, expected).await?;
        structured(&session, &provider, expected).await?;
        of_a_job(&session, &provider, expected).await?;
        let requests = i64::try_from(provider.requests().len())?;
        recorded(&session, requests).await?;
        let kept: i64 = session
            .value_of("SELECT count(*) FROM rag.calls WHERE prompt IS NOT NULL AND reply = $1", &[&expected])
            .await?;
        ensure!(kept >= 6, "{encoding}: {kept} of {requests} calls are kept with their texts");
    }
    Ok(())
}

async fn asked(session: &Session, expected: &str) -> Result<()> {
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text); INSERT INTO notes VALUES (1, 'coffee in a cup');
             SELECT rag.create_collection('notes', 'notes', 'body', sync => 'manual')",
        )
        .await?;
    let chat = "SELECT answer FROM rag.chat(rag.create_session(), 'hi')";
    for call in [
        "SELECT rag.generate('hi')",
        "SELECT (rag.generate(ARRAY['hi']))[1]",
        "SELECT content FROM rag.complete('hi')",
        "SELECT answer FROM rag.ask('notes', 'coffee?', min_similarity => -1)",
        chat,
    ] {
        let answer: String = session.value(call).await?;
        ensure!(answer == expected, "{call}: {answer:?}");
    }
    Ok(())
}

async fn streamed(session: &Session, provider: &Provider, expected: &str) -> Result<()> {
    provider.script([Reply::chat_stream(&["café ☕", " 🦀\0!"])]);
    for call in ["rag.stream('hi')", "rag.chat_stream(rag.create_session(), 'hi')"] {
        let sql = format!("SELECT string_agg(piece, '') FROM (SELECT {call} AS piece OFFSET 0) pieces");
        let answer: String = session.value(&sql).await?;
        ensure!(answer == expected, "{call}: {answer:?}");
    }
    Ok(())
}

async fn structured(session: &Session, provider: &Provider, expected: &str) -> Result<()> {
    let whole = json!({ "it": expected, "path": "C:\\u00e9", "line": "\n" });
    provider.script([Reply::chat(ESCAPED)]);
    let answer: Value = session.value("SELECT rag.generate_json('hi', '{\"type\": \"object\"}')").await?;
    ensure!(answer == whole, "{answer}");
    let function = json!({ "name": "look", "arguments": ESCAPED });
    let message = json!({ "role": "assistant", "content": null,
        "tool_calls": [{ "id": "1", "type": "function", "function": function }] });
    provider
        .script([Reply::json(json!({ "choices": [{ "message": message, "finish_reason": "tool_calls" }] }))]);
    let name: String =
        session.value("SELECT tool_calls -> 0 -> 'function' ->> 'name' FROM rag.complete('hi')").await?;
    ensure!(name == "look");
    Ok(())
}

async fn of_a_job(session: &Session, provider: &Provider, expected: &str) -> Result<()> {
    provider.script([Reply::chat_stream(&["café ☕", " 🦀\0!"])]);
    let id: i64 =
        session.value("SELECT rag.submit('generate', '{\"prompt\": \"hi\", \"model\": \"stub\"}')").await?;
    session.batch_execute(&format!("CALL rag.wait_for_job({id}, '60s')")).await?;
    let result: String = session.value(&format!("SELECT rag.job_result({id}) #>> '{{}}'")).await?;
    let pieces: String = session
        .value(&format!("SELECT string_agg(piece, '' ORDER BY seq) FROM rag.job_pieces({id})"))
        .await?;
    ensure!(result == expected && pieces == expected, "{result:?} {pieces:?}");
    Ok(())
}
