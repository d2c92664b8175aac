//! A fault affects one collection or one row only: a problem with a provider, a text or a key stops nothing
//! else.

use crate::accounting::with_provider;
use crate::followed::{current, make};
use crate::generate::with;
use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::process::Process;
use ragstone_tests::provider::{Gate, Provider, Reply, Seen};
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_text_that_a_provider_refuses_is_one_failed_row,
        an_embedding_that_is_missing_is_one_failed_row,
        a_wrong_key_stops_one_collection_and_says_so,
        a_killed_engine_asks_again_only_for_what_was_not_answered,
        collections_take_turns,
        work_goes_on_while_a_provider_is_waited_for,
        a_key_that_is_not_unique_is_a_failed_row,
        failed_rows_of_a_collection_without_a_source_hide_no_others,
        advisory_locks_of_a_role_hold_up_nothing,
        triggers_of_a_collections_name_on_another_roles_table_hold_up_nothing,
    ]
}

/// A collection with a provider's model; the text of one of its rows contains `poison`.
pub async fn poisoned(session: &Session) -> Result<()> {
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text);
             INSERT INTO notes SELECT i, CASE i WHEN 70 THEN 'poison' ELSE 'note number ' || i END
             FROM generate_series(1, 300) i;
             SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')",
        )
        .await?;
    Ok(())
}

fn texts(request: &Value) -> Vec<String> {
    let texts = request["input"].as_array().cloned().unwrap_or_default();
    texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

pub fn has_poison(request: &Value) -> bool {
    texts(request).iter().any(|text| text.contains("poison"))
}

/// Waits until all rows but one are searchable, and fails unless that row is listed with `sqlstate`.
async fn one_failed(session: &Session, sqlstate: &str) -> Result<()> {
    wait::until("all rows but one are searchable", async || {
        let chunks: i64 = session.value("SELECT count(*) FROM notes_chunks").await?;
        let failed: i64 = session.value("SELECT count(*) FROM rag.failed").await?;
        Ok((chunks == 299 && failed == 1).then_some(()))
    })
    .await?;
    let row = session.query_one("SELECT key::text, sqlstate FROM rag.failed", &[]).await?;
    ensure!(row.get::<_, String>(0) == "{70}" && row.get::<_, String>(1) == sqlstate, "{row:?}");
    let state: String =
        session.value("SELECT state FROM rag.stat_collection WHERE collection = 'notes'").await?;
    ensure!(["current", "indexing", "filling"].contains(&state.as_str()), "{state}");
    Ok(())
}

async fn a_text_that_a_provider_refuses_is_one_failed_row() -> Result<()> {
    let reply = Reply::by(|seen| match has_poison(&seen.body) {
        true => Reply::status(400),
        false => Reply::embeddings_of(&seen.body["input"], 8),
    });
    let (session, provider) = with([reply]).await?;
    poisoned(&session).await?;
    one_failed(&session, "38000").await?;
    let mut times: HashMap<String, usize> = HashMap::new();
    for request in provider.requests().iter().filter(|seen| !has_poison(&seen.body)) {
        texts(&request.body).into_iter().for_each(|text| *times.entry(text).or_default() += 1);
    }
    times.retain(|text, count| *count > 1 && text.starts_with("note"));
    ensure!(times.is_empty(), "embedded more than once: {times:?}");
    session.batch_execute("UPDATE notes SET body = 'honey' WHERE id = 70").await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 0);
    Ok(())
}

async fn an_embedding_that_is_missing_is_one_failed_row() -> Result<()> {
    let reply = Reply::by(|seen| {
        let texts = texts(&seen.body).into_iter().filter(|text| text != "poison").collect::<Vec<_>>();
        Reply::embeddings_of(&texts.into(), 8)
    });
    let (session, _provider) = with([reply]).await?;
    poisoned(&session).await?;
    one_failed(&session, "08P01").await
}

async fn a_wrong_key_stops_one_collection_and_says_so() -> Result<()> {
    let refuses = Arc::new(AtomicBool::new(false));
    let reply = {
        let refuses = refuses.clone();
        Reply::by(move |seen| match refuses.load(Ordering::SeqCst) {
            true => Reply::status(401),
            false => Reply::embeddings_of(&seen.body["input"], 8),
        })
    };
    let (session, _provider) = with([reply]).await?;
    poisoned(&session).await?;
    make(&session, 3, "").await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    refuses.store(true, Ordering::SeqCst);
    session.batch_execute("INSERT INTO notes VALUES (1000, 'with a wrong key')").await?;
    let waiting = wait::until("the collection says what it waits for", async || {
        let row = session
            .query_opt(
                "SELECT s.reason, c.state FROM rag.stat_collection s JOIN rag.collections c ON c.name = s.collection
                 WHERE collection = 'notes' AND s.state = 'waiting' AND s.next_try IS NOT NULL AND s.since IS NOT NULL",
                &[],
            )
            .await?;
        Ok(row)
    })
    .await?;
    let (reason, state): (String, String) = (waiting.get(0), waiting.get(1));
    ensure!(reason.starts_with("38000: provider \"stub\" refused the request: status 401"), "{reason}");
    ensure!(reason.contains("(hint: Check the api_key of the user mapping"), "{reason}");
    ensure!(state == "waiting", "{state}");
    session.batch_execute("INSERT INTO t VALUES (4, 'of a local model')").await?;
    current(&session).await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 0);
    // The next worker does not know the provider for which this one waits.
    session
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE backend_type = 'ragstone worker' AND datname = current_database()",
        )
        .await?;
    refuses.store(false, Ordering::SeqCst);
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    wait::until("nothing waits", async || {
        let all: bool = session.value("SELECT bool_and(state = 'current') FROM rag.stat_collection").await?;
        Ok(all.then_some(()))
    })
    .await
}

async fn a_killed_engine_asks_again_only_for_what_was_not_answered() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let answered = Arc::new(Mutex::new(Vec::new()));
    let noted = answered.clone();
    let provider = Provider::start([Reply::by(move |seen| {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = texts(&seen.body);
        // The first request is one of those that get no response.
        if noted.len() == ANSWERED || texts[0] == "note number 1" {
            return Reply::stall();
        }
        noted.push(texts);
        Reply::embeddings_of(&seen.body["input"], 8).after(ANSWER_TIME)
    })])?;
    with_provider(&session, &provider).await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text);
             INSERT INTO notes SELECT i, 'note number ' || i FROM generate_series(1, 2000) i;
             SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')",
        )
        .await?;
    ensure!(provider.wait_for_requests(ANSWERED + 1));
    // The responses arrive while the workers are stopped; these then find them together with the end of the
    // connection.
    let workers = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ragstone worker'";
    let workers: Vec<Process> =
        session.query(workers, &[]).await?.iter().map(|row| Process(row.get(0))).collect();
    for worker in &workers {
        worker.stop_at_latch().await?;
    }
    // A call is recorded once the engine has passed its response on.
    wait::until("the answered calls are recorded", async || {
        let calls: i64 = session.value("SELECT count(*) FROM rag.calls WHERE status = 'answered'").await?;
        Ok((calls >= ANSWERED as i64).then_some(()))
    })
    .await?;
    provider.script([Reply::embeddings(8)]);
    for engine in server.engines() {
        engine.signal(Signal::SIGKILL);
    }
    workers.iter().for_each(|worker| worker.signal(Signal::SIGCONT));
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '120s')").await?);
    let mut times: HashMap<String, usize> = HashMap::new();
    for request in provider.requests() {
        texts(&request.body).into_iter().for_each(|text| *times.entry(text).or_default() += 1);
    }
    let answered = answered.lock().unwrap_or_else(PoisonError::into_inner).concat();
    let again = answered.iter().find(|text| times[*text] > 1);
    ensure!(again.is_none(), "{again:?} was answered, and asked for again");
    ensure!(times.values().all(|times| *times <= 2), "a request was made more than twice");
    ensure!(session.value::<i64>("SELECT count(*) FROM notes_chunks").await? == 2000);
    Ok(())
}

/// Number of requests to which the provider responds before the engine is killed.
const ANSWERED: usize = 4;

/// Time that a response takes, during which workers are stopped.
const ANSWER_TIME: Duration = Duration::from_millis(300);

/// Two collections of one provider, whose responses are held back until the queues are full.
async fn collections_take_turns() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(8)]).await?;
    session
        .batch_execute(
            "CREATE TABLE imported (id int PRIMARY KEY, body text); CREATE TABLE docs (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('imported', 'imported', 'body', model => 'stub/small'),
                    rag.create_collection('docs', 'docs', 'body', model => 'stub/small');
             INSERT INTO imported VALUES (0, 'first')",
        )
        .await?;
    for name in ["imported", "docs"] {
        ensure!(session.value::<bool>(&format!("SELECT rag.wait_until_current('{name}', '60s')")).await?);
    }
    let gate = Gate::new();
    provider.script([Reply::embeddings(8).behind(&gate)]);
    let before = provider.requests().len();
    session
        .batch_execute("INSERT INTO imported SELECT i, 'imported row ' || i FROM generate_series(1, 3000) i")
        .await?;
    ensure!(provider.wait_for_requests(before + 1), "the import does not begin");
    session.batch_execute("INSERT INTO docs VALUES (1, 'one changed row')").await?;
    let is_changed_row = |seen: &Seen| texts(&seen.body).iter().any(|text| text == "one changed row");
    wait::until("the changed row is asked for while nothing of the import is answered", async || {
        Ok(provider.requests().iter().any(is_changed_row).then_some(()))
    })
    .await?;
    gate.open();
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('docs', '60s')").await?);
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('imported', '120s')").await?);
    let order = &provider.requests()[before..];
    let position = order.iter().position(is_changed_row);
    // Three batches of the import may be in flight, of one or two requests each.
    ensure!(position.is_some_and(|position| position <= 8), "{position:?} of {} requests", order.len());
    ensure!(order.len() > 20, "{} requests", order.len());
    Ok(())
}

async fn work_goes_on_while_a_provider_is_waited_for() -> Result<()> {
    let (session, provider) = with([Reply::embeddings(8)]).await?;
    make(&session, 3, "").await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')",
        )
        .await?;
    let gate = Gate::new();
    let asked = provider.requests().len();
    provider.script([Reply::embeddings(8).behind(&gate)]);
    session.batch_execute("INSERT INTO notes SELECT i, 'note ' || i FROM generate_series(1, 20) i").await?;
    ensure!(provider.wait_for_requests(asked + 1), "the provider is not asked");
    session.batch_execute("INSERT INTO t VALUES (4, 'of a local model')").await?;
    current(&session).await?;
    let job: i64 =
        session.value(r#"SELECT rag.submit('search', '{"collection": "c", "query": "a model"}')"#).await?;
    wait::until("the job has ended", async || {
        let status: String = session.value(&format!("SELECT status FROM rag.jobs WHERE id = {job}")).await?;
        Ok((status == "done").then_some(()))
    })
    .await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM notes_chunks").await? == 0, "the gate is open");
    gate.open();
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    Ok(())
}

async fn a_key_that_is_not_unique_is_a_failed_row() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE parents (id int PRIMARY KEY, body text); CREATE TABLE children () INHERITS (parents);
             INSERT INTO parents SELECT i, 'boat ' || i FROM generate_series(1, 20) i;
             INSERT INTO children VALUES (7, 'bread');
             SELECT rag.create_collection('parents', 'parents', 'body')",
        )
        .await?;
    let row = wait::until("the key is listed", async || {
        let row = session.query_opt("SELECT key::text, sqlstate FROM rag.failed", &[]).await?;
        let chunks: i64 = session.value("SELECT count(DISTINCT key_1) FROM parents_chunks").await?;
        Ok(row.filter(|_| chunks >= 19))
    })
    .await?;
    ensure!(row.get::<_, String>(0) == "{7}" && row.get::<_, String>(1) == "23505", "{row:?}");
    // A manual collection has a chunk of one of them, and returns its text.
    session
        .batch_execute(
            "CREATE TABLE twins (id int, body text); INSERT INTO twins VALUES (1, 'a boat'); ALTER TABLE twins ADD UNIQUE (id);
             SELECT rag.create_collection('twins', 'twins', 'body', key => '{id}', sync => 'manual');
             ALTER TABLE twins DROP CONSTRAINT twins_id_key; INSERT INTO twins VALUES (1, 'a boat')",
        )
        .await?;
    let empty: i64 =
        session.value("SELECT count(*) FROM rag.search('twins', 'boat') WHERE content = ''").await?;
    ensure!(empty == 0, "a hit has no text");
    Ok(())
}

async fn failed_rows_of_a_collection_without_a_source_hide_no_others() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 3, "").await?;
    session
        .batch_execute(
            "CREATE TABLE gone (id int PRIMARY KEY, body text); SELECT rag.create_collection('gone', 'gone', 'body');
             DROP TABLE gone",
        )
        .await?;
    session
        .batch_execute(
            "INSERT INTO rag._failure (collection, key, attempts, retry_at, sqlstate, message)
               SELECT id, ARRAY[i::text], 1, clock_timestamp() - interval '1 hour', '22000', 'is tried again'
               FROM rag.collection, generate_series(1, 20) i WHERE name = 'gone'
               UNION ALL SELECT id, '{1}', 1, clock_timestamp(), '22000', 'is tried again' FROM rag.collection WHERE name = 'c';
             INSERT INTO t VALUES (4, 'wakes the worker')",
        )
        .await?;
    wait::until("the row of the other collection is tried again", async || {
        let left: i64 = session
            .value("SELECT count(*) FROM rag._failure JOIN rag.collection c ON c.id = collection WHERE name = 'c'")
            .await?;
        Ok((left == 0).then_some(()))
    })
    .await
}

/// The names that the extension's locks once had, in both spaces of advisory locks.
const LOCKS: &str = "SELECT count(pg_advisory_lock(hashtextextended(name, 0))), count(pg_advisory_lock(hashtext(name), 0))
     FROM (SELECT 'ragstone collection c' UNION ALL SELECT 'ragstone ' || what || ' ' || i
           FROM generate_series(1, 5) i, unnest('{index,restore}'::text[]) what
           UNION ALL SELECT 'ragstone row ' || i || ' ' || key FROM generate_series(1, 5) i, generate_series(1, 10) key) t (name)";

async fn advisory_locks_of_a_role_hold_up_nothing() -> Result<()> {
    let server = shared().await?;
    let database = server.database().await?;
    let (session, other) = (server.connect(&database).await?, server.connect(&database).await?);
    session.batch_execute("CREATE EXTENSION IF NOT EXISTS ragstone CASCADE").await?;
    other.query(LOCKS, &[]).await?;
    make(&session, 3, "").await?;
    session.batch_execute("INSERT INTO t VALUES (4, 'one more')").await?;
    current(&session).await?;
    // No SQL function takes the locks of the extension, which use a lock type of their own.
    wait::until("the worker has released its locks", async || {
        let own: i64 = session
            .value(
                "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
                 WHERE datname = current_database() AND locktype = 'advisory' AND objsubid = 3",
            )
            .await?;
        Ok((own == 0).then_some(()))
    })
    .await
}

/// A session that changes or drops a collection looks up its triggers, and waits for locks on their tables.
async fn triggers_of_a_collections_name_on_another_roles_table_hold_up_nothing() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    make(&session, 3, "").await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    let role = format!("mallory_{database}");
    session
        .batch_execute(&format!("CREATE ROLE {role} LOGIN; CREATE SCHEMA mallory AUTHORIZATION {role}"))
        .await?;
    let mallory = server.connect_as(&role, &database).await?;
    let id: i64 = session.value("SELECT id FROM rag.collections WHERE name = 'c'").await?;
    mallory
        .batch_execute(&format!(
            "CREATE TABLE mallory.t (id int);
             CREATE TRIGGER ragstone_{id}_insert AFTER INSERT ON mallory.t REFERENCING NEW TABLE AS new_rows
               FOR EACH STATEMENT EXECUTE FUNCTION rag._capture('{id}', '1', 'id', 'id');
             BEGIN; LOCK TABLE mallory.t"
        ))
        .await?;
    session
        .batch_execute(
            "SET lock_timeout = '5s'; ALTER TABLE t RENAME COLUMN body TO content; SELECT rag.drop_collection('c')",
        )
        .await?;
    Ok(())
}
