//! Several workers of a database share the findings of one of them.

use crate::followed::{current, make};
use crate::generate::provide;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Gate, Provider, Reply, Script, gated};
use ragstone_tests::server::{Options, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        one_worker_finds_out_whether_a_provider_still_refuses,
        a_worker_that_creates_an_index_leaves_providers_to_the_other,
    ]
}

/// More requests than one worker has in flight for a collection, with one batch each.
const REQUESTS_OF_TWO_WORKERS: usize = 4;

/// A server with two workers for each database. A database has the collection `c` with a local model, and the
/// collection `notes` with a provider's model.
async fn notes() -> Result<(Server, Session, Provider, Script)> {
    let server = Server::start_with(Options::default().set("rag.sync_workers", "2")).await?;
    let session = server.session().await?;
    let script = Script::new(|seen| Reply::embeddings_of(&seen.body["input"], 8));
    let provider = Provider::start([script.reply()])?;
    provide(&session, &provider).await?;
    // One batch of rows is one request.
    session.batch_execute("ALTER SERVER stub OPTIONS (ADD embedding_batch '128')").await?;
    make(&session, 3, "").await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')",
        )
        .await?;
    notes_are_current(&session).await?;
    Ok((server, session, provider, script))
}

async fn notes_are_current(session: &Session) -> Result<()> {
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    Ok(())
}

async fn one_worker_finds_out_whether_a_provider_still_refuses() -> Result<()> {
    let (_server, session, _provider, script) = notes().await?;
    let gate = Gate::new();
    let (reply, asked) = gated(&gate, |_| Reply::status(401));
    script.set(reply);
    session.batch_execute("INSERT INTO notes SELECT i, 'note ' || i FROM generate_series(1, 2000) i").await?;
    wait::until("both workers ask", async || Ok((asked.count() >= REQUESTS_OF_TWO_WORKERS).then_some(())))
        .await?;
    gate.open();
    wait::until("the pauses have grown", async || {
        let grown = "SELECT coalesce(bool_or(next_try > clock_timestamp() + interval '600 ms'), false)
                     FROM rag.collections WHERE state = 'waiting'";
        Ok(session.value::<bool>(grown).await?.then_some(()))
    })
    .await?;
    let next = Gate::new();
    let (reply, asked) = gated(&next, |_| Reply::status(401));
    script.set(reply);
    wait::until("the provider is asked again", async || Ok((asked.count() > 0).then_some(()))).await?;
    for row in 4..8 {
        session.batch_execute(&format!("INSERT INTO t VALUES ({row}, 'of a local model')")).await?;
        current(&session).await?;
    }
    ensure!(asked.count() == 1, "{} requests at once", asked.count());
    let (reply, _) = gated(&next, |seen| Reply::embeddings_of(&seen.body["input"], 8));
    script.set(reply);
    session
        .batch_execute("ALTER USER MAPPING FOR PUBLIC SERVER stub OPTIONS (SET api_key 'sk-right')")
        .await?;
    next.open();
    notes_are_current(&session).await
}

/// A worker's CREATE INDEX waits while the table `closed` has a row.
const SLOW_INDEXES: &str = "
    CREATE TABLE closed ();
    CREATE FUNCTION wait_until_open() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN
      WHILE EXISTS (SELECT FROM public.closed, pg_stat_activity WHERE pid = pg_backend_pid() AND backend_type = 'ragstone worker')
      LOOP PERFORM pg_sleep(0.01); END LOOP;
    END $$;
    CREATE EVENT TRIGGER slow ON ddl_command_start WHEN tag IN ('CREATE INDEX') EXECUTE FUNCTION wait_until_open();
    CREATE TABLE other (id int PRIMARY KEY, body text); INSERT INTO other SELECT i, 'text ' || i FROM generate_series(1, 5) i";

/// Number of rounds. Chance decides which of the two workers creates an index; in this number of rounds each
/// of them does.
const ROUNDS: i32 = 6;

async fn a_worker_that_creates_an_index_leaves_providers_to_the_other() -> Result<()> {
    let (_server, session, _provider, script) = notes().await?;
    session.batch_execute(SLOW_INDEXES).await?;
    let workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ragstone worker'";
    for round in 0..ROUNDS {
        script.set(|_| Reply::status(401));
        session
            .batch_execute(&format!(
                "INSERT INTO notes SELECT i, 'note ' || i FROM generate_series(2000 * {round}, 2000 * {round} + 1999) i"
            ))
            .await?;
        wait::until("the provider is waited for by two workers", async || {
            let waiting =
                "SELECT EXISTS (SELECT FROM rag.collections WHERE name = 'notes' AND state = 'waiting')";
            Ok((session.value::<bool>(waiting).await? && session.value::<i64>(workers).await? == 2)
                .then_some(()))
        })
        .await?;
        session.batch_execute("INSERT INTO closed DEFAULT VALUES").await?;
        session.batch_execute("SELECT rag.create_collection('other', 'other', 'body')").await?;
        wait::until("a worker creates an index", async || {
            let inside = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'ragstone worker' AND wait_event = 'PgSleep')";
            Ok(session.value::<bool>(inside).await?.then_some(()))
        })
        .await?;
        script.set(|seen| Reply::embeddings_of(&seen.body["input"], 8));
        notes_are_current(&session).await?;
        let waiting = "SELECT count(*) FROM rag.collections WHERE name = 'notes' AND reason IS NOT NULL";
        ensure!(session.value::<i64>(waiting).await? == 0, "it is shown as waiting in round {round}");
        session.batch_execute("DELETE FROM closed").await?;
        ensure!(session.value::<bool>("SELECT rag.wait_until_current('other', '60s')").await?);
        session.batch_execute("SELECT rag.drop_collection('other')").await?;
    }
    Ok(())
}
