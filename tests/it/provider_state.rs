//! A refusal by a provider affects all collections that call it in the same way, and no others: they wait
//! together, and one batch finds out whether the refusal persists.

use crate::followed::{current, make};
use crate::generate::{provide, with};
use crate::one_trouble::{has_poison, poisoned};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Counter, Gate, Provider, Reply, Script, Seen, gated};
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::collections::BTreeMap;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        ten_collections_ask_once_after_each_pause_and_recover_together,
        a_failure_covers_those_that_share_its_cause,
        a_text_that_makes_a_provider_fail_is_one_failed_row,
        a_key_that_is_made_anew_leaves_nothing_of_a_pause,
        a_spent_budget_covers_the_role_that_it_is_for,
        a_limit_of_calls_stops_no_local_collection,
        a_smaller_request_is_learnt_from_refusals,
        fewer_bytes_are_learnt_from_refusals_for_their_size,
        the_option_embedding_batch_limits_requests,
    ]
}

fn answer(seen: &Seen) -> Reply {
    Reply::embeddings_of(&seen.body["input"], 8)
}

fn texts(seen: &Seen) -> usize {
    seen.body["input"].as_array().map_or(0, Vec::len)
}

fn key(seen: &Seen) -> &str {
    seen.header("authorization").unwrap_or_default()
}

async fn states(session: &Session) -> Result<BTreeMap<String, String>> {
    let rows = session.query("SELECT collection, state FROM rag.stat_collection", &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn until_state(session: &Session, collection: &str, state: &str) -> Result<()> {
    wait::until(&format!("{collection} is {state}"), async || {
        Ok((states(session).await?.get(collection).is_some_and(|it| it == state)).then_some(()))
    })
    .await
}

/// Waits until one request is held back, and fails if other requests arrive before a local collection becomes
/// current.
async fn one_is_asked(session: &Session, held: &Counter, row: i32) -> Result<()> {
    wait::until("the provider is asked", async || Ok((held.count() > 0).then_some(()))).await?;
    session.batch_execute(&format!("INSERT INTO t VALUES ({row}, 'of a local model')")).await?;
    current(session).await?;
    let asked = held.count();
    ensure!(asked == 1, "{asked} requests at once");
    Ok(())
}

async fn ten_collections_ask_once_after_each_pause_and_recover_together() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let script = Script::new(answer);
    let provider = Provider::start([script.reply()])?;
    provide(&session, &provider).await?;
    make(&session, 3, "").await?;
    for number in 1..=10 {
        session
            .batch_execute(&format!(
                "CREATE TABLE notes{number} (id int PRIMARY KEY, body text); INSERT INTO notes{number} VALUES (1, 'note {number}');
                 SELECT rag.create_collection('notes{number}', 'notes{number}', 'body', model => 'stub/small')"
            ))
            .await?;
    }
    let all = "SELECT bool_and(rag.wait_until_current(name::name, '60s')) FROM rag.collections";
    ensure!(session.value::<bool>(all).await?);
    script.set(|_| Reply::status(401));
    for number in 1..=10 {
        session.batch_execute(&format!("INSERT INTO notes{number} VALUES (2, 'another {number}')")).await?;
    }
    // The pauses grow, so by then all requests in flight at the first refusal have been refused.
    wait::until("all ten wait for the same reason, and not only briefly", async || {
        let row = session
            .query_one(
                "SELECT count(*), count(DISTINCT reason), coalesce(min(next_try) > clock_timestamp() + interval '600 ms', false)
                 FROM rag.collections WHERE state = 'waiting'",
                &[],
            )
            .await?;
        Ok(((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, bool>(2)) == (10, 1, true)).then_some(()))
    })
    .await?;
    let gate = Gate::new();
    let (reply, held) = gated(&gate, |_| Reply::status(401));
    script.set(reply);
    one_is_asked(&session, &held, 100).await?;
    // The key is corrected, and again one batch finds that out.
    let next = Gate::new();
    let (reply, held) = gated(&next, |seen| match key(seen) {
        "Bearer sk-right" => answer(seen),
        _ => Reply::status(401),
    });
    script.set(reply);
    session
        .batch_execute("ALTER USER MAPPING FOR PUBLIC SERVER stub OPTIONS (SET api_key 'sk-right')")
        .await?;
    gate.open();
    one_is_asked(&session, &held, 101).await?;
    next.open();
    ensure!(session.value::<bool>(all).await?);
    ensure!(states(&session).await?.values().all(|state| state == "current"));
    let log = server.log()?;
    let (waits, ends) = (
        log.matches("collections wait for a provider").count(),
        log.matches("collections no longer wait").count(),
    );
    ensure!((waits, ends) == (1, 1), "{waits} lines of the beginning, {ends} of the end");
    Ok(())
}

/// A table and a collection of a role, which uses the provider with a key of its own.
async fn owned(session: &Session, role: &str, model: &str) -> Result<()> {
    session
        .batch_execute(&format!(
            "DROP ROLE IF EXISTS {role}; CREATE ROLE {role}; GRANT CREATE ON SCHEMA public TO {role};
             GRANT USAGE ON FOREIGN SERVER stub TO {role};
             CREATE USER MAPPING FOR {role} SERVER stub OPTIONS (api_key 'sk-{role}'); SET ROLE {role};
             CREATE TABLE {role}_notes (id int PRIMARY KEY, body text); INSERT INTO {role}_notes VALUES (1, 'first of {role}');
             SELECT rag.create_collection('{role}', '{role}_notes', 'body', model => 'stub/{model}'); RESET ROLE"
        ))
        .await?;
    ensure!(session.value::<bool>(&format!("SELECT rag.wait_until_current('{role}', '60s')")).await?);
    Ok(())
}

async fn insert(session: &Session, role: &str, row: i32) -> Result<()> {
    session.batch_execute(&format!("INSERT INTO {role}_notes VALUES ({row}, 'row {row} of {role}')")).await?;
    Ok(())
}

async fn a_failure_covers_those_that_share_its_cause() -> Result<()> {
    let script = Script::new(answer);
    let (session, _provider) = with([script.reply()]).await?;
    for (role, model) in [("scope_bad", "small"), ("scope_good", "small"), ("scope_gone", "old")] {
        owned(&session, role, model).await?;
    }
    script.set(|seen| match (key(seen), seen.body["model"].as_str()) {
        ("Bearer sk-scope_bad", _) => Reply::status(402),
        (_, Some("old")) => Reply::status(404),
        _ => answer(seen),
    });
    insert(&session, "scope_bad", 2).await?;
    insert(&session, "scope_gone", 2).await?;
    until_state(&session, "scope_bad", "waiting").await?;
    until_state(&session, "scope_gone", "waiting").await?;
    insert(&session, "scope_good", 2).await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('scope_good', '60s')").await?);
    let reasons: String = session
        .value("SELECT string_agg(substring(reason FROM 'status ...'), ', ' ORDER BY collection) FROM rag.stat_collection WHERE state = 'waiting'")
        .await?;
    ensure!(reasons == "status 402, status 404", "{reasons}");
    // A temporary failure affects all collections of the server.
    script.set(|_| Reply::status(503));
    insert(&session, "scope_good", 3).await?;
    wait::until("all wait for the server", async || {
        let all: bool = session
            .value("SELECT bool_and(state = 'waiting' AND reason LIKE '%status 503%') FROM rag.collections")
            .await?;
        Ok(all.then_some(()))
    })
    .await?;
    script.set(answer);
    for role in ["scope_bad", "scope_good", "scope_gone"] {
        ensure!(session.value::<bool>(&format!("SELECT rag.wait_until_current('{role}', '120s')")).await?);
    }
    Ok(())
}

/// Some services return 500, or no response, for a text for which their model cannot compute a vector.
async fn a_text_that_makes_a_provider_fail_is_one_failed_row() -> Result<()> {
    let replies = [|| Reply::status(500), || Reply::hang_up()];
    for reply in replies {
        let script = Script::new(answer);
        let (session, _provider) = with([script.reply()]).await?;
        script.set(move |seen| if has_poison(&seen.body) { reply() } else { answer(seen) });
        session
            .batch_execute(
                "CREATE TABLE charged (key text[]);
                 CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                   'BEGIN INSERT INTO public.charged VALUES (NEW.key); RETURN NEW; END';
                 CREATE TRIGGER note BEFORE INSERT ON rag._failure FOR EACH ROW EXECUTE FUNCTION note()",
            )
            .await?;
        poisoned(&session).await?;
        wait::until("one row has failed and the others are found", async || {
            let row = session
                .query_one(
                    "SELECT coalesce((SELECT string_agg(key::text, ' ') FROM rag.failed), ''),
                            (SELECT count(*) FROM notes_chunks)",
                    &[],
                )
                .await?;
            Ok((row.get::<_, &str>(0) == "{70}" && row.get::<_, i64>(1) == 299).then_some(()))
        })
        .await?;
        let others: i64 = session.value("SELECT count(*) FROM charged WHERE key <> '{70}'").await?;
        ensure!(others == 0, "{others} other rows were charged");
        script.set(answer);
        ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    }
    Ok(())
}

/// The pause was for a user mapping that no longer exists.
async fn a_key_that_is_made_anew_leaves_nothing_of_a_pause() -> Result<()> {
    let script = Script::new(answer);
    let (session, _provider) = with([script.reply()]).await?;
    owned(&session, "scope_anew", "small").await?;
    script.set(|seen| if key(seen) == "Bearer sk-new" { answer(seen) } else { Reply::status(401) });
    insert(&session, "scope_anew", 2).await?;
    until_state(&session, "scope_anew", "waiting").await?;
    session
        .batch_execute(
            "DROP USER MAPPING FOR scope_anew SERVER stub;
             CREATE USER MAPPING FOR scope_anew SERVER stub OPTIONS (api_key 'sk-new')",
        )
        .await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('scope_anew', '60s')").await?);
    let gate = Gate::new();
    let (reply, held) = gated(&gate, answer);
    script.set(reply);
    insert(&session, "scope_anew", 3).await?;
    wait::until("the provider is asked", async || Ok((held.count() > 0).then_some(()))).await?;
    let state = states(&session).await?["scope_anew"].clone();
    ensure!(state == "indexing", "{state}");
    gate.open();
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('scope_anew', '60s')").await?);
    Ok(())
}

async fn a_spent_budget_covers_the_role_that_it_is_for() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    for role in ["budget_poor", "budget_rich"] {
        owned(&session, role, "small").await?;
    }
    session
        .batch_execute("INSERT INTO rag.budgets (role, period, max_calls) VALUES ('budget_poor', 'day', 0)")
        .await?;
    insert(&session, "budget_poor", 2).await?;
    until_state(&session, "budget_poor", "waiting").await?;
    let reason: String =
        session.value("SELECT reason FROM rag.collections WHERE name = 'budget_poor'").await?;
    ensure!(reason.starts_with("53400: budget "), "{reason}");
    insert(&session, "budget_rich", 2).await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('budget_rich', '60s')").await?);
    session.batch_execute("UPDATE rag.budgets SET max_calls = 1000").await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('budget_poor', '60s')").await?);
    Ok(())
}

async fn a_limit_of_calls_stops_no_local_collection() -> Result<()> {
    let (session, _provider) = with([Reply::embeddings(8)]).await?;
    make(&session, 3, "").await?;
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text);
             SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')",
        )
        .await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '60s')").await?);
    session
        .batch_execute(
            "ALTER SERVER stub OPTIONS (ADD requests_per_minute '1', ADD timeout_ms '500');
             INSERT INTO notes SELECT i, 'note ' || i FROM generate_series(1, 300) i",
        )
        .await?;
    until_state(&session, "notes", "waiting").await?;
    let reason: String = session.value("SELECT reason FROM rag.collections WHERE name = 'notes'").await?;
    ensure!(reason.starts_with("53400: no turn to call provider \"stub\""), "{reason}");
    session.batch_execute("INSERT INTO t VALUES (4, 'of a local model')").await?;
    current(&session).await?;
    session.batch_execute("ALTER SERVER stub OPTIONS (DROP requests_per_minute)").await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '120s')").await?);
    Ok(())
}

/// Fills a collection of 300 rows, and returns the sizes of the requests that embedded rows.
async fn filled(session: &Session, provider: &Provider) -> Result<Vec<usize>> {
    session
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text);
             INSERT INTO notes SELECT i, 'note number ' || i FROM generate_series(1, 300) i;
             SELECT rag.create_collection('notes', 'notes', 'body', model => 'stub/small')",
        )
        .await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '120s')").await?);
    ensure!(session.value::<i64>("SELECT count(*) FROM notes_chunks").await? == 300);
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.failed").await? == 0);
    Ok(provider.requests().iter().map(texts).collect())
}

/// A provider that accepts up to ten texts per request.
async fn a_smaller_request_is_learnt_from_refusals() -> Result<()> {
    let reply = Reply::by(|seen| if texts(seen) > 10 { Reply::status(400) } else { answer(seen) });
    let (session, provider) = with([reply]).await?;
    filled(&session, &provider).await?;
    session.batch_execute("UPDATE notes SET body = 'changed note number ' || id").await?;
    let before = provider.requests().len();
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '120s')").await?);
    let refused = provider.requests()[before..].iter().filter(|seen| texts(seen) > 10).count();
    ensure!(refused == 0, "{refused} requests were refused again");
    let taken: usize = provider.requests()[1..].iter().map(texts).filter(|size| *size <= 10).sum();
    ensure!(taken == 600, "{taken} texts were embedded for 600 rows");
    Ok(())
}

/// A provider that accepts up to 500 bytes per request, with any number of texts.
async fn fewer_bytes_are_learnt_from_refusals_for_their_size() -> Result<()> {
    let bytes = |seen: &Seen| -> usize {
        let texts = seen.body["input"].as_array().cloned().unwrap_or_default();
        texts.iter().filter_map(|text| text.as_str()).map(str::len).sum()
    };
    let reply = Reply::by(move |seen| if bytes(seen) > 500 { Reply::status(413) } else { answer(seen) });
    let (session, provider) = with([reply]).await?;
    filled(&session, &provider).await?;
    let before = provider.requests().len();
    session.batch_execute("UPDATE notes SET body = 'n' || id WHERE id > 150").await?;
    session.batch_execute("UPDATE notes SET body = repeat('changed ', 20) || id WHERE id <= 150").await?;
    ensure!(session.value::<bool>("SELECT rag.wait_until_current('notes', '120s')").await?);
    let sizes: Vec<usize> = provider.requests()[before..].iter().map(bytes).collect();
    ensure!(sizes.iter().all(|size| *size <= 500), "{sizes:?}");
    let most = provider.requests()[before..].iter().map(texts).max().unwrap_or(0);
    ensure!(most > 10, "the number of texts was limited to {most} as well");
    Ok(())
}

async fn the_option_embedding_batch_limits_requests() -> Result<()> {
    let reply = Reply::by(|seen| if texts(seen) > 10 { Reply::status(400) } else { answer(seen) });
    let (session, provider) = with([reply]).await?;
    session.batch_execute("ALTER SERVER stub OPTIONS (ADD embedding_batch '10')").await?;
    let sizes = filled(&session, &provider).await?;
    ensure!(sizes.iter().all(|size| *size <= 10), "{sizes:?}");
    let embedded: i64 = session
        .value("SELECT count(*) FROM unnest(rag.embed((SELECT array_agg(body) FROM notes), model => 'stub/small')) e")
        .await?;
    ensure!(embedded == 300, "{embedded}");
    session.refusal("ALTER SERVER stub OPTIONS (SET embedding_batch '0')").await?.expect(
        "22023",
        "option \"embedding_batch\" must be a whole number from 1 to 128",
        "",
    )
}
