//! Embedding and reranking models of providers.

use crate::generate::with;
use anyhow::ensure;
use libtest_mimic::Trial;
use pgvector::Vector;
use ragstone_tests::Result;
use ragstone_tests::provider::{Provider, Reply, embedding};
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use serde_json::{Value, json};
use std::time::Duration;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_collection_of_a_providers_model_follows_with_its_owners_key,
        an_immediate_collection_takes_its_owners_key_too,
        a_manual_fill_divides_what_a_provider_refuses,
        texts_are_embedded_by_a_provider_as_by_this_host,
        many_requests_take_longer_together_than_one_may,
        an_array_is_divided_where_a_provider_takes_less,
        vectors_of_two_models_never_mix,
        documents_are_reranked,
    ]
}

const NOTES: &str = "CREATE TABLE notes (id int PRIMARY KEY, body text);
                     INSERT INTO notes SELECT i, 'note number ' || i FROM generate_series(1, 20) i";

/// A role with a table of notes, which may use the provider with a key of its own.
async fn owner(session: &Session, role: &str) -> Result<()> {
    session
        .batch_execute(&format!(
            "DROP ROLE IF EXISTS {role}; CREATE ROLE {role}; GRANT CREATE ON SCHEMA public TO {role};
             GRANT USAGE ON FOREIGN SERVER stub TO {role};
             CREATE USER MAPPING FOR {role} SERVER stub OPTIONS (api_key 'sk-{role}'); SET ROLE {role}; {NOTES}"
        ))
        .await?;
    Ok(())
}

fn keys_of(provider: &Provider) -> Vec<String> {
    provider.requests().iter().filter_map(|seen| seen.header("authorization").map(str::to_owned)).collect()
}

async fn a_collection_of_a_providers_model_follows_with_its_owners_key() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(8)]).await?;
    owner(&session, "note_owner").await?;
    session
        .batch_execute("SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')")
        .await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    session.batch_execute("RESET ROLE; INSERT INTO notes VALUES (100, 'the hundredth')").await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    let keys = keys_of(&provider);
    ensure!(keys.iter().all(|key| key == "Bearer sk-note_owner"), "{keys:?}");
    let key: Value = session
        .value("SELECT source_key FROM rag.search('notes', 'the hundredth', k => 1, mode => 'vector')")
        .await?;
    ensure!(key == json!({ "id": 100 }));
    ensure!(
        keys_of(&provider).last().is_some_and(|key| key == "Bearer sk-server"),
        "the searcher's key was not taken"
    );
    // An outage is charged to no row, and rows that were written during it are indexed afterwards.
    provider.script([Reply::status(503)]);
    session.batch_execute("INSERT INTO notes VALUES (101, 'during the outage')").await?;
    let asked = provider.requests().len();
    ensure!(provider.wait_for_requests(asked + 2), "the worker does not try again");
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 0);
    provider.script([Reply::embeddings(8)]);
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    ensure!(session.value::<i64>("SELECT count(*) FROM notes_chunks WHERE key_1 = 101").await? == 1);
    session.batch_execute("SELECT rag.drop_collection('notes'); DROP TABLE notes; DROP OWNED BY note_owner; DROP ROLE note_owner").await?;
    Ok(())
}

async fn an_immediate_collection_takes_its_owners_key_too() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(8)]).await?;
    owner(&session, "prompt_owner").await?;
    session.batch_execute("SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small', sync => 'immediate')").await?;
    session.batch_execute("RESET ROLE; INSERT INTO notes VALUES (100, 'at once')").await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM notes_chunks WHERE key_1 = 100").await? == 1);
    let keys = keys_of(&provider);
    ensure!(keys.iter().all(|key| key == "Bearer sk-prompt_owner"), "{keys:?}");
    session.batch_execute("SELECT rag.drop_collection('notes'); DROP TABLE notes; DROP OWNED BY prompt_owner; DROP ROLE prompt_owner").await?;
    Ok(())
}

fn texts(body: &Value) -> Vec<Value> {
    body["input"].as_array().cloned().unwrap_or_default()
}

/// The responses of a provider that refuses more than four texts per request, and a certain text.
fn up_to_four_texts() -> Reply {
    Reply::by(|seen| match texts(&seen.body) {
        texts if texts.len() > 4 || texts.contains(&json!("poison")) => Reply::status(400),
        _ => Reply::embeddings_of(&seen.body["input"], 8),
    })
}

/// A request that is too large is sent in parts. A text that is refused alone is named in the error, and
/// nothing of the fill remains.
async fn a_manual_fill_divides_what_a_provider_refuses() -> Result<()> {
    let (session, provider) = with([up_to_four_texts()]).await?;
    session.batch_execute(NOTES).await?;
    let create =
        "SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small', sync => 'manual')";
    session.batch_execute(create).await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM notes_chunks").await? == 20);
    let sizes: Vec<usize> = provider.requests().iter().map(|seen| texts(&seen.body).len()).collect();
    session
        .batch_execute("UPDATE notes SET body = body || '.'; SELECT rag.refresh_collection('notes')")
        .await?;
    let later: Vec<usize> =
        provider.requests()[sizes.len()..].iter().map(|seen| texts(&seen.body).len()).collect();
    ensure!(later.iter().all(|size| *size <= 4), "nothing was learnt: {sizes:?}, then {later:?}");
    session.batch_execute("UPDATE notes SET body = 'poison' WHERE id = 7").await?;
    let refusal = session.refusal("SELECT rag.refresh_collection('notes')").await?;
    refusal.expect("38000", "provider \"stub\"", "")?;
    ensure!(refusal.detail.ends_with("The row's key is 7."), "{refusal:?}");
    ensure!(
        session.value::<i64>("SELECT count(*) FROM notes_chunks WHERE content LIKE 'note%.'").await? == 20
    );
    Ok(())
}

async fn texts_are_embedded_by_a_provider_as_by_this_host() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(4)]).await?;
    let expected = |text: &str| Vector::from(embedding(text, 4));
    ensure!(session.value::<Vector>("SELECT rag.embed('one', 'stub/small')").await? == expected("one"));
    // A server name without a slash and a model stands for the server's default model.
    ensure!(session.value::<Vector>("SELECT rag.embed('two', 'stub/')").await? == expected("two"));
    ensure!(provider.requests()[1].body["model"] == "small");
    let many: Vec<Option<Vector>> =
        session.value("SELECT rag.embed(ARRAY['one', NULL, 'three'], 'stub/small')").await?;
    ensure!(many == [Some(expected("one")), None, Some(expected("three"))]);
    let rows = session
        .query(
            "SELECT rag.embed_batch(word, 'stub/small') OVER () FROM unnest('{one,two}'::text[]) WITH ORDINALITY it (word, n)
             ORDER BY n",
            &[],
        )
        .await?;
    ensure!(rows.iter().map(|row| row.get::<_, Vector>(0)).eq([expected("one"), expected("two")]));
    ensure!(provider.requests().len() == 4);
    session.refusal("SELECT rag.embed(' ', 'stub/small')").await?.expect("22023", "input is empty", "")
}

async fn an_array_is_divided_where_a_provider_takes_less() -> Result<()> {
    let (session, provider) = with([up_to_four_texts()]).await?;
    let embed = "SELECT rag.embed(array_agg('note number ' || i ORDER BY i), 'stub/small') FROM generate_series(1, 20) i";
    let expected: Vec<Vector> =
        (1..=20).map(|number| Vector::from(embedding(&format!("note number {number}"), 8))).collect();
    ensure!(session.value::<Vec<Vector>>(embed).await? == expected);
    let asked = provider.requests().len();
    ensure!(session.value::<Vec<Vector>>(embed).await? == expected);
    let later: Vec<usize> = provider.requests()[asked..].iter().map(|seen| texts(&seen.body).len()).collect();
    ensure!(later.iter().all(|size| *size <= 4), "nothing was learnt: {later:?}");
    let refusal = session.refusal("SELECT rag.embed(ARRAY['one', 'poison', 'three'], 'stub/small')").await?;
    refusal.expect("38000", "provider \"stub\"", "")
}

/// The server accepts one request at a time, and responds to each within the timeout.
async fn many_requests_take_longer_together_than_one_may() -> Result<()> {
    let session = shared().await?.session().await?;
    let reply =
        Reply::by(|seen| Reply::embeddings_of(&seen.body["input"], 8).after(Duration::from_millis(300)));
    let provider = Provider::start([reply])?;
    let options = r#"{"retries": 0, "timeout_ms": 1000, "concurrency": 1, "embedding_batch": 5,
                      "default_embedding_model": "small"}"#;
    let create = "SELECT rag.create_provider('stub', kind => 'openai', api_key => 'sk', base_url => $1,
                                             options => $2::text::jsonb)";
    session.execute(create, &[&provider.url(), &options]).await?;
    let embedded: i64 = session
        .value(
            "SELECT count(*) FROM unnest(rag.embed((SELECT array_agg('text ' || i) FROM generate_series(1, 100) i),
                                                   model => 'stub/small'))",
        )
        .await?;
    let asked = provider.requests().len();
    ensure!((embedded, asked) == (100, 20), "{embedded} embeddings of {asked} requests");
    // A request that takes too long is still ended.
    provider.script([Reply::stall()]);
    session.refusal("SELECT rag.embed('a text', model => 'stub/small')").await?.expect(
        "08006",
        "did not answer within",
        "",
    )?;
    Ok(())
}

async fn vectors_of_two_models_never_mix() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    session.batch_execute(NOTES).await?;
    session
        .batch_execute(
            "SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small', sync => 'manual')",
        )
        .await?;
    let other = Provider::start([Reply::embeddings(8)])?;
    session.batch_execute(&format!("ALTER SERVER stub OPTIONS (SET base_url '{}')", other.url())).await?;
    let refusal = session.refusal("SELECT * FROM rag.search('notes', 'number 3')").await?;
    refusal.expect("55000", "another version of its model", "rag.refresh_collection")
}

async fn documents_are_reranked() -> Result<()> {
    let session = shared().await?.session().await?;
    let scores =
        json!([{ "index": 1, "score": 0.9 }, { "index": 0, "score": 0.2 }, { "index": 2, "score": 0.5 }]);
    let provider = Provider::start([Reply::json(scores)])?;
    let create = "SELECT rag.create_provider('judge', kind => 'tei', base_url => $1)";
    session.execute(create, &[&provider.url()]).await?;
    let rerank = "SELECT array_agg(ordinal ORDER BY rank) FROM rag.rerank('why?', ARRAY['a', NULL, 'b', 'c'], 'judge/any')";
    ensure!(session.value::<Vec<i32>>(rerank).await? == [3, 4, 1]);
    ensure!(
        provider.requests()[0].body["texts"] == json!(["a", "b", "c"]),
        "{}",
        provider.requests()[0].body
    );
    session.refusal("SELECT rag.rerank('why?', ARRAY['a'], 'all-MiniLM-L6-v2')").await?.expect(
        "42704",
        "reranking model",
        "'server/model'",
    )?;
    provider.script([Reply::json(json!([{ "index": 7, "score": 0.9 }]))]);
    session.refusal("SELECT rag.rerank('why?', ARRAY['a'], 'judge/any')").await?.expect("08P01", "", "")
}
